//! `[acme.dns]`.

use super::secret::{from_environment, read_secret};
use crate::config::acme::{DnsConfig, DnsProvider};
use crate::config::diagnostic::Fact;
use crate::config::keys::dns as keys;
use crate::config::keys::dns::ProviderWord;
use crate::config::reader::Entries;
use crate::config::report::{Report, Reported};
use crate::config::table::{Key, Kind};

/// Reads everything, then fails if anything was wrong.
pub(super) fn read_dns(entries: &Entries, report: &mut Report<'_>) -> Result<DnsConfig, Reported> {
    let resolvers = entries.find(&keys::RESOLVERS, report);
    let propagation = entries.get(&keys::PROPAGATION, report);
    let ttl = entries.get(&keys::TTL, report);
    let provider = entries.get(&keys::PROVIDER, report).and_then(|word| {
        let strange = refuse_strange(entries, word.value, report);
        let provider = match word.value {
            ProviderWord::Rfc2136 => rfc2136(entries, report),
            ProviderWord::Cloudflare => cloudflare(entries, report),
            ProviderWord::Route53 => route53(entries, report),
            ProviderWord::Exec => exec(entries, report),
        };
        strange.and(provider)
    });
    let resolvers = resolvers?.map_or_else(Vec::new, |list| list.value);
    Ok(DnsConfig {
        provider: provider?,
        resolvers: resolvers.into_iter().map(|server| server.value).collect(),
        propagation: propagation?.value,
        ttl: ttl?.value,
    })
}

fn rfc2136(entries: &Entries, report: &mut Report<'_>) -> Result<DnsProvider, Reported> {
    let server = need(entries, &keys::SERVER, report);
    let key_name = entries.find(&keys::KEY_NAME, report);
    let algorithm = entries.get(&keys::ALGORITHM, report);
    let secret = read_secret(entries, &keys::SECRET, &keys::SECRET_FILE, None, report);
    let (key_name, secret) = (key_name?, secret?);
    if key_name.is_some() != secret.is_some() {
        return Err(report.error(&entries.span, &HalfAKey));
    }
    Ok(DnsProvider::Rfc2136 {
        server: server?,
        key_name: key_name.map(|name| name.value),
        algorithm: algorithm?.value.into(),
        secret: secret.unwrap_or_default(),
    })
}

fn cloudflare(entries: &Entries, report: &mut Report<'_>) -> Result<DnsProvider, Reported> {
    let variable = "CLOUDFLARE_API_TOKEN";
    let token = read_secret(entries, &keys::TOKEN, &keys::TOKEN_FILE, Some(variable), report);
    let endpoint = entries.find(&keys::ENDPOINT, report);
    let token = token?.ok_or_else(|| report.error(&entries.span, &NoSecret { key: "token", variable }))?;
    Ok(DnsProvider::Cloudflare { token, endpoint: endpoint?.map(|endpoint| endpoint.value) })
}

fn route53(entries: &Entries, report: &mut Report<'_>) -> Result<DnsProvider, Reported> {
    let access_key = entries.find(&keys::ACCESS_KEY, report);
    let variable = "AWS_SECRET_ACCESS_KEY";
    let secret_key = read_secret(entries, &keys::SECRET_KEY, &keys::SECRET_KEY_FILE, Some(variable), report);
    let session_token = entries.find(&keys::SESSION_TOKEN, report);
    let endpoint = entries.find(&keys::ENDPOINT, report);
    // A token belongs to the key that it came with.
    let own_key = entries.has(&keys::ACCESS_KEY);
    let access_key = access_key?.map(|key| key.value).or_else(|| from_environment("AWS_ACCESS_KEY_ID"));
    let session_token = session_token?.map(|token| token.value);
    let session_token =
        session_token.or_else(|| if own_key { None } else { from_environment("AWS_SESSION_TOKEN") });
    let mut missing = |key, variable| report.error(&entries.span, &NoSecret { key, variable });
    let access_key = access_key.ok_or_else(|| missing("access_key", "AWS_ACCESS_KEY_ID"));
    let secret_key = secret_key?.ok_or_else(|| missing("secret_key", variable));
    Ok(DnsProvider::Route53 {
        access_key: access_key?,
        secret_key: secret_key?,
        session_token,
        endpoint: endpoint?.map(|endpoint| endpoint.value),
    })
}

fn exec(entries: &Entries, report: &mut Report<'_>) -> Result<DnsProvider, Reported> {
    let command: Vec<_> = need(entries, &keys::COMMAND, report)?;
    match command.first() {
        Some(program) if !program.value.starts_with('/') => Err(report.error(&program.span, &NotAbsolute)),
        _ => Ok(DnsProvider::Exec { command: command.into_iter().map(|word| word.value).collect() }),
    }
}

/// The value of a key that the provider needs.
fn need<K: Kind>(
    entries: &Entries,
    key: &'static Key<K>,
    report: &mut Report<'_>,
) -> Result<K::Value, Reported> {
    match entries.find(key, report)? {
        Some(found) => Ok(found.value),
        None => Err(entries.missing(key).unwrap_or_else(|| {
            report.error(&entries.span, &Missing { key: key.name, example: key.example })
        })),
    }
}

/// Reports keys that belong to other providers.
fn refuse_strange(
    entries: &Entries,
    provider: ProviderWord,
    report: &mut Report<'_>,
) -> Result<(), Reported> {
    use ProviderWord::{Cloudflare, Exec, Rfc2136, Route53};
    let mut found = Ok(());
    let mut one = |there: bool, span, key: &'static str, of: &'static [ProviderWord]| {
        if there && !of.contains(&provider) {
            found = Err(report.error(&span, &NotOfThisProvider { key, of }));
        }
    };
    macro_rules! only {
        ($($key:ident of $of:expr),* $(,)?) => {
            $(one(entries.has(&keys::$key), entries.span_of(&keys::$key), keys::$key.name, $of);)*
        };
    }
    only! {
        SERVER of &[Rfc2136],
        KEY_NAME of &[Rfc2136],
        ALGORITHM of &[Rfc2136],
        SECRET of &[Rfc2136],
        SECRET_FILE of &[Rfc2136],
        TOKEN of &[Cloudflare],
        TOKEN_FILE of &[Cloudflare],
        ACCESS_KEY of &[Route53],
        SECRET_KEY of &[Route53],
        SECRET_KEY_FILE of &[Route53],
        SESSION_TOKEN of &[Route53],
        ENDPOINT of &[Cloudflare, Route53],
        COMMAND of &[Exec],
    }
    found
}

struct NotOfThisProvider {
    key: &'static str,
    of: &'static [ProviderWord],
}

impl std::fmt::Display for NotOfThisProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of: Vec<_> = self.of.iter().map(|word| word.word()).collect();
        write!(f, "{} has a meaning for the provider {} only", self.key, of.join(" or "))
    }
}

impl Fact for NotOfThisProvider {
    fn help(&self) -> Option<String> {
        Some(format!("remove {}", self.key))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the provider needs {key:?}")]
struct Missing {
    key: &'static str,
    example: &'static str,
}

impl Fact for Missing {
    fn help(&self) -> Option<String> {
        Some(format!("add: {} = {}", self.key, self.example))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the provider needs {key:?}, and the environment has no {variable}")]
struct NoSecret {
    key: &'static str,
    variable: &'static str,
}

impl Fact for NoSecret {
    fn help(&self) -> Option<String> {
        Some(format!("add {}, or start the daemon with {} in its environment", self.key, self.variable))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a TSIG key has a name and a secret")]
struct HalfAKey;

impl Fact for HalfAKey {
    fn help(&self) -> Option<String> {
        Some("write both key_name and secret (or secret_file), or none of them".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the program's path must be absolute")]
struct NotAbsolute;

impl Fact for NotAbsolute {
    fn help(&self) -> Option<String> {
        Some("write it as: [\"/etc/proxy-now/dns\"]".to_owned())
    }
}
