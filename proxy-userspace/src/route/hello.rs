//! What a ClientHello says, and what routes want it to say.

use proxy_common::client_hello::ClientHello;

use crate::config::{HelloCondition, version_word};

/// What a client's ClientHello says, as far as routes can see it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// The protocols that it offers.
    pub alpn: Box<[Box<[u8]>]>,
    /// The highest version that it speaks.
    pub version: u16,
    /// The cipher suites that it offers.
    pub ciphers: Box<[u16]>,
    /// The groups that it offers.
    pub groups: Box<[u16]>,
    /// What kind of client it is, if somebody wants to know.
    pub ja4: Option<Box<str>>,
}

impl Hello {
    /// Of a ClientHello, and its fingerprint.
    pub fn of(hello: &ClientHello<'_>, ja4: Option<Box<str>>) -> Self {
        Self {
            alpn: hello.alpn().map(Box::from).collect(),
            version: hello.version(),
            ciphers: hello.cipher_suites().without_grease().collect(),
            groups: hello.groups().without_grease().collect(),
            ja4,
        }
    }
}

/// A condition on a ClientHello that does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unlike {
    Alpn,
    MinVersion,
    MaxVersion,
    Cipher,
    Group,
    Ja4,
}

/// The first condition that does not hold. Who has sent no ClientHello meets none.
pub(super) fn refusal(wanted: &HelloCondition, hello: &Hello) -> Option<Unlike> {
    let offers = |name: &str| hello.alpn.iter().any(|offered| **offered == *name.as_bytes());
    let lists = [
        (wanted.alpn.is_empty() || wanted.alpn.iter().any(|name| offers(name)), Unlike::Alpn),
        (wanted.min_version.is_none_or(|least| hello.version >= least), Unlike::MinVersion),
        (wanted.max_version.is_none_or(|most| hello.version <= most), Unlike::MaxVersion),
        (
            wanted.ciphers.is_empty() || wanted.ciphers.iter().any(|one| hello.ciphers.contains(one)),
            Unlike::Cipher,
        ),
        (
            wanted.groups.is_empty() || wanted.groups.iter().any(|one| hello.groups.contains(one)),
            Unlike::Group,
        ),
        (
            wanted.ja4.is_empty() || hello.ja4.as_ref().is_some_and(|ja4| wanted.ja4.contains(ja4)),
            Unlike::Ja4,
        ),
    ];
    lists.into_iter().find(|(holds, _)| !holds).map(|(_, unlike)| unlike)
}

/// Why a condition does not hold, in words.
pub(super) fn words(unlike: Unlike, wanted: &HelloCondition, hello: &Hello) -> String {
    let texts = |texts: &[Box<str>]| texts.join(" or ");
    let numbers =
        |list: &[u16]| list.iter().map(|number| format!("{number:#06x}")).collect::<Vec<_>>().join(" or ");
    let version = version_word(hello.version);
    match unlike {
        Unlike::Alpn => {
            let offered: Vec<_> = hello.alpn.iter().map(|name| String::from_utf8_lossy(name)).collect();
            let offered = if offered.is_empty() { "nothing".to_owned() } else { offered.join(", ") };
            format!("the client offers {offered} (ALPN), not {}", texts(&wanted.alpn))
        }
        Unlike::MinVersion => {
            format!(
                "the client speaks {version} at best, not {}",
                version_word(wanted.min_version.unwrap_or(0))
            )
        }
        Unlike::MaxVersion => {
            format!(
                "the client speaks {version}, and {} is the most",
                version_word(wanted.max_version.unwrap_or(0))
            )
        }
        Unlike::Cipher => format!("the client does not offer the cipher suite {}", numbers(&wanted.ciphers)),
        Unlike::Group => format!("the client does not offer the group {}", numbers(&wanted.groups)),
        Unlike::Ja4 => {
            let own = hello.ja4.as_deref().unwrap_or("not known");
            format!("the JA4 of the client is {own}, not {}", texts(&wanted.ja4))
        }
    }
}

/// Whether whoever meets `narrow` meets `wide`.
pub(super) fn implies(narrow: &HelloCondition, wide: &HelloCondition) -> bool {
    fn within<T: PartialEq>(narrow: &[T], wide: &[T]) -> bool {
        wide.is_empty() || !narrow.is_empty() && narrow.iter().all(|one| wide.contains(one))
    }
    within(&narrow.alpn, &wide.alpn)
        && within(&narrow.ciphers, &wide.ciphers)
        && within(&narrow.groups, &wide.groups)
        && within(&narrow.ja4, &wide.ja4)
        && wide.min_version.is_none_or(|least| narrow.min_version.is_some_and(|own| own >= least))
        && wide.max_version.is_none_or(|most| narrow.max_version.is_some_and(|own| own <= most))
}
