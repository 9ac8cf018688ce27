//! What a configuration says of TLS with clients and backends.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::host_pattern::HostPattern;
use super::name::ListenerName;

/// Certificates of the whole configuration, and who else has a say in them.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TlsConfig {
    /// `[[tls.certificate]]`: pairs of files.
    pub certificates: Vec<CertificateFiles>,
    /// `[tls] directory`: every `NAME.crt` or `NAME.pem` with `NAME.key` beside it, and pairs in one `.pem`.
    pub directories: Vec<PathBuf>,
    /// `[tls] tickets`.
    pub tickets: TicketsConfig,
    /// Names that https listeners serve, and where their certificates come from. What no entry covers gets the
    /// listener's default certificate, or is refused. In the order of names. `HostPattern::every` stands for a route
    /// without a host whose certificates are made on demand.
    pub hosts: BTreeMap<HostPattern, HostTlsConfig>,
}

/// `[[tls.certificate]]`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CertificateFiles {
    /// The chain, leaf first, PEM.
    pub chain: PathBuf,
    /// Its key, PEM; may be the same file.
    pub key: PathBuf,
    /// `ocsp = true`: its responder is asked, and the answer stapled. A URL: this one.
    pub ocsp: Option<OcspConfig>,
}

/// Who is asked whether a certificate was revoked (RFC 6960).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum OcspConfig {
    /// Whom the certificate names.
    Named,
    /// This `http://` URL.
    Url(Box<str>),
}

/// `tickets = { rotate = "12h", key_file = "..." }`: session tickets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TicketsConfig {
    /// A ticket's key encrypts new tickets for so long, and reads them for twice as long.
    pub rotate: Duration,
    /// Keys come from this secret (at least 32 bytes), so that machines that share it read each other's tickets:
    /// each period's key is derived from it and the period's number. None: drawn at random, kept in memory.
    pub key_file: Option<PathBuf>,
}

/// What TLS is like at one `https` listener.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ListenerTlsConfig {
    /// Versions, ciphers and groups.
    pub policy: TlsPolicy,
    /// Who names a host that no certificate covers, or none, is refused (`unrecognized_name`).
    pub strict_sni: bool,
    /// The certificate for those: of this name. None: the first there is.
    pub default: Option<Box<str>>,
    /// Clients show certificates. Hosts may say otherwise.
    pub client_auth: Option<ClientAuthConfig>,
    /// `hsts = true` or a table: a field of every answer by TLS (RFC 6797).
    pub hsts: Option<HstsConfig>,
}

/// Versions, ciphers and groups, by Mozilla's names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TlsPolicy {
    /// TLS 1.3 only.
    Modern,
    /// TLS 1.2 with forward secrecy and AEAD, and 1.3.
    #[default]
    Intermediate,
}

/// `client_auth = { ca = "ca.pem", mode = "required", crl = "ca.crl", headers = true }`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientAuthConfig {
    /// Certificates must be issued by one of these (PEM, a bundle).
    pub ca: PathBuf,
    /// A client without a certificate is served too (`mode = "optional"`); one with a bad certificate never is.
    pub optional: bool,
    /// Revoked certificates (PEM or DER), read again when they change.
    pub crl: Option<PathBuf>,
    /// Backends are told: `X-Client-Cert-Subject`, `-Issuer`, `-Serial`, `-Fingerprint`, and `Client-Cert` (RFC 9440).
    pub headers: bool,
}

/// `hsts = { max_age = "365d", include_subdomains = false, preload = false }`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HstsConfig {
    /// How long.
    pub max_age: Duration,
    /// For names below too.
    pub include_subdomains: bool,
    /// May stand in browsers' lists.
    pub preload: bool,
}

/// One name, or all below it, at `https` listeners.
#[derive(Clone, PartialEq, Debug)]
pub struct HostTlsConfig {
    /// The listeners whose routes name it.
    pub listeners: Vec<ListenerName>,
    /// Where its certificate comes from.
    pub from: CertificateFrom,
    /// Clients of this host show certificates; none: as the listener says.
    pub client_auth: Option<ClientAuthConfig>,
}

/// Where a certificate comes from: `tls = "auto" | "acme" | "internal" | "files" | "on-demand"` of a route.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum CertificateFrom {
    /// Files if one covers the name; else ACME for public names, our own CA for others ([`is_public`]).
    #[default]
    Auto,
    /// ACME, whatever files there are.
    Acme,
    /// Our own CA.
    Internal,
    /// Files only.
    Files,
    /// ACME, at the first handshake that asks for the name and is permitted. For patterns and routes without a host.
    OnDemand,
}

/// `tls = true` or a table, of a pool: TLS to its backends.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PoolTlsConfig {
    /// Certificates must be valid, signed by a trusted root, and for the name (`verify = false`: anything goes).
    pub verify: bool,
    /// Roots that are trusted (PEM, a bundle); none: the system's.
    pub ca: Option<PathBuf>,
    /// The name that is asked for and that certificates must be for; none: the backend's name or address.
    pub sni: Option<Box<str>>,
    /// What we show.
    pub client: Option<CertificateFiles>,
}

impl CertificateFrom {
    /// As the file says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Acme => "acme",
            Self::Internal => "internal",
            Self::Files => "files",
            Self::OnDemand => "on-demand",
        }
    }
}

impl Default for HstsConfig {
    fn default() -> Self {
        Self { max_age: Duration::from_secs(365 * 86_400), include_subdomains: false, preload: false }
    }
}

impl Default for PoolTlsConfig {
    fn default() -> Self {
        Self { verify: true, ca: None, sni: None, client: None }
    }
}

impl Default for TicketsConfig {
    fn default() -> Self {
        Self { rotate: Duration::from_secs(12 * 3600), key_file: None }
    }
}

/// Whether a public CA could vouch for a name: no address of a private or local network, no single label, no name
/// below `localhost`, `local`, `internal`, `home.arpa`, `test`, `example`, `invalid`, `onion`, `lan`, `home`, `corp`.
/// For a pattern, the name below which it matches.
pub fn is_public(name: &str) -> bool {
    if let Ok(address) = name.parse::<IpAddr>() {
        return is_public_address(address);
    }
    const PRIVATE: [&str; 10] =
        ["localhost", "local", "internal", "test", "example", "invalid", "onion", "lan", "home", "corp"];
    let Some((above, last)) = name.rsplit_once('.') else { return false };
    !PRIVATE.contains(&last) && !(last == "arpa" && (above == "home" || above.ends_with(".home")))
}

fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || shared)
        }
        IpAddr::V6(v6) => {
            let documentation = v6.segments()[..2] == [0x2001, 0xdb8];
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || documentation)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_names_are_those_that_a_public_ca_could_vouch_for() {
        for name in ["example.com", "a.b.co.uk", "8.8.8.8", "2600::1", "x.arpa"] {
            assert!(is_public(name), "{name}");
        }
        for name in [
            "localhost",
            "intranet",
            "a.localhost",
            "vault.internal",
            "x.local",
            "x.home.arpa",
            "home.arpa",
            "10.0.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "203.0.113.1",
        ] {
            assert!(!is_public(name), "{name}");
        }
    }
}
