//! Who is kept out.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

use super::name::ListenerName;

/// `[ban]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BanConfig {
    /// Never let in.
    pub deny: Vec<IpNet>,
    /// Never kept out, whatever a list, an operator or an automatic ban says.
    pub allow: Vec<IpNet>,
    /// Lists of prefixes.
    pub lists: Vec<BanListConfig>,
}

/// A list of prefixes, one a line: `"/etc/proxy-now/bad.txt"`, `"https://lists.example.com/bad.txt"`, or a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BanListConfig {
    /// What it is called: its path or URL.
    pub name: Box<str>,
    /// Where it is.
    pub source: BanListSource,
    /// A URL is asked again after this; a file is read again when it changes.
    pub refresh: Duration,
    /// Roots to trust for the URL, in PEM; none: the system's.
    pub ca: Option<PathBuf>,
}

/// Where a list is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum BanListSource {
    /// A file.
    File(PathBuf),
    /// A document, by HTTP or HTTPS.
    Url(Box<str>),
}

/// `[auto-ban.NAME]`: who does so much of this within so long is banned for so long.
#[derive(Clone, PartialEq, Debug)]
pub struct AutoBanConfig {
    /// Its name.
    pub name: Box<str>,
    /// Listeners it holds for; empty: all.
    pub listeners: Vec<ListenerName>,
    /// What is counted: at least one, each once.
    pub events: Vec<AutoBanEvent>,
    /// So many of them, at least 1,
    pub count: u64,
    /// within this.
    pub within: Duration,
    /// Of answers with a status: only if they are at least this share of the client's answers. 0 to 1.
    pub share: f64,
    /// How long the first ban lasts.
    pub duration: Duration,
    /// Each further ban of the same client lasts this many times as long as the one before. At least 1.
    pub growth: u32,
    /// No ban lasts longer.
    pub longest: Duration,
    /// Fingerprints that count for [`AutoBanEvent::Ja4`].
    pub ja4: Vec<Box<str>>,
    /// The table's line in the file, from 1.
    pub line: usize,
}

/// What a client can be banned for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoBanEvent {
    /// `"limit"`: a limit was exceeded, once for each thing that was refused.
    Limit,
    /// `"401"`.
    Unauthorized,
    /// `"403"`.
    Forbidden,
    /// `"404"`.
    NotFound,
    /// `"handshake"`: a TLS handshake that failed.
    Handshake,
    /// `"unknown-sni"`: a name that nothing is served for.
    UnknownSni,
    /// `"h2-attack"`: an HTTP/2 connection that was ended for what it did (resets, frames without progress).
    H2Attack,
    /// `"malformed"`: a request that is none.
    Malformed,
    /// `"ja4"`: a ClientHello with a fingerprint on the list.
    Ja4,
}
