//! What a configuration says of connections that are steered by their ClientHello.

use std::fmt;

/// What clients of a socket speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Speaks {
    /// HTTP.
    #[default]
    Http,
    /// HTTP by TLS.
    Https,
    /// Anything by TLS: connections are relayed, not requests.
    Tls,
    /// Anything by QUIC: flows of datagrams are passed on, never decrypted.
    Quic,
}

/// What becomes of connections that no request is read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SteerConfig {
    /// `protocol`.
    pub speaks: Speaks,
    /// Connections that are passed through may be handed to the kernel part, where there is one.
    pub handoff: bool,
    /// How clients ask for TLS, where they do not begin with it.
    pub starttls: Option<StartTls>,
}

/// How clients ask for TLS.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartTls {
    /// `SSLRequest` (PostgreSQL, "Message Flow", "SSL Session Encryption"). Clients may begin with TLS, too.
    Postgres,
    /// STARTTLS (RFC 3207), after the greeting that we give.
    Smtp,
}

/// `refuse = "alert" | "reset" | "drop"` of a route: how it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refuse {
    /// By an alert of TLS (`access_denied`).
    Alert,
    /// By a reset.
    Reset,
    /// Without a word: by the kernel part, the packets are dropped; else the connection is closed.
    Drop,
}

/// `client_hello = { … }` of a route. Of each list any must be; all that is said must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HelloCondition {
    /// The client offers one of these protocols.
    pub alpn: Vec<Box<str>>,
    /// The highest version that the client speaks is this or higher (0x0304: TLS 1.3).
    pub min_version: Option<u16>,
    /// The highest version that the client speaks is this or lower.
    pub max_version: Option<u16>,
    /// The client offers one of these cipher suites.
    pub ciphers: Vec<u16>,
    /// The client offers one of these groups.
    pub groups: Vec<u16>,
    /// What kind of client it is: one of these fingerprints.
    pub ja4: Vec<Box<str>>,
}

impl HelloCondition {
    /// How many conditions these are.
    pub fn count(&self) -> u32 {
        let said = [
            !self.alpn.is_empty(),
            self.min_version.is_some(),
            self.max_version.is_some(),
            !self.ciphers.is_empty(),
            !self.groups.is_empty(),
            !self.ja4.is_empty(),
        ];
        said.into_iter().map(u32::from).sum()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

impl Speaks {
    /// As the file says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tls => "tls",
            Self::Quic => "quic",
        }
    }
}

impl Refuse {
    /// As the file says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Reset => "reset",
            Self::Drop => "drop",
        }
    }
}

impl fmt::Display for HelloCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let texts = |name: &str, texts: &[Box<str>]| format!("{name} {}", texts.join("|"));
        let numbers = |name: &str, numbers: &[u16]| {
            let each: Vec<_> = numbers.iter().map(|number| format!("{number:#06x}")).collect();
            format!("{name} {}", each.join("|"))
        };
        if !self.alpn.is_empty() {
            parts.push(texts("alpn", &self.alpn));
        }
        for (name, version) in [("min_version", self.min_version), ("max_version", self.max_version)] {
            parts.extend(version.map(|version| format!("{name} {}", version_word(version))));
        }
        if !self.ciphers.is_empty() {
            parts.push(numbers("cipher", &self.ciphers));
        }
        if !self.groups.is_empty() {
            parts.push(numbers("group", &self.groups));
        }
        if !self.ja4.is_empty() {
            parts.push(texts("ja4", &self.ja4));
        }
        f.write_str(&parts.join(", "))
    }
}

/// A version of TLS, for people.
pub fn version_word(version: u16) -> String {
    match version {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301..=0x0304 => format!("1.{}", version - 0x0301),
        other => format!("{other:#06x}"),
    }
}

impl Default for SteerConfig {
    fn default() -> Self {
        Self { speaks: Speaks::Http, handoff: true, starttls: None }
    }
}
