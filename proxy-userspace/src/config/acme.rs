//! What a configuration says of certificates that come by themselves.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::host_pattern::HostPattern;

/// `[acme]`. Without the table everything has its default.
#[derive(Clone, PartialEq, Debug)]
pub struct AcmeConfig {
    /// Whom CAs may write to.
    pub email: Option<Box<str>>,
    /// Who is asked, in order: the next one where one fails. At least one.
    pub issuers: Vec<IssuerConfig>,
    /// The folder where keys, certificates, accounts and orders are.
    pub storage: PathBuf,
    /// How names are proved, in the order of preference; what has worked for a name comes first.
    pub challenges: Vec<ChallengeType>,
    /// Where records for DNS-01 are put.
    pub dns: Option<DnsConfig>,
    /// The kind of certificates' keys.
    pub key_type: KeyType,
    /// Certificates at the first handshake.
    pub on_demand: OnDemandConfig,
    /// Our own CA.
    pub internal: InternalCaConfig,
}

/// A CA. `directory = "letsencrypt" | "letsencrypt-staging" | "zerossl" | "https://..."` of `[acme]`, or one of
/// `[[acme.issuer]]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct IssuerConfig {
    /// Its name in `certs list`, metrics and the storage: `letsencrypt`, ..., else the directory's host and port.
    pub name: Box<str>,
    /// The URL of its directory (RFC 8555 §7.1.1).
    pub directory: Box<str>,
    /// A root that this directory's own certificate is signed by, beside the system's.
    pub directory_ca: Option<PathBuf>,
    /// The directory that is tried first after a failure, until it succeeds; none: there is none.
    pub staging: Option<Box<str>>,
    /// External account binding (RFC 8555 §7.3.4): key id and base64url key.
    pub eab: Option<EabConfig>,
    /// The profile that is asked for, where the CA has profiles.
    pub profile: Option<Box<str>>,
}

/// `eab = { key_id = "...", hmac_key = "..." }`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EabConfig {
    /// Which key.
    pub key_id: Box<str>,
    /// The key, base64url without padding. Never shown.
    pub hmac_key: Box<str>,
}

impl std::fmt::Debug for EabConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EabConfig({})", self.key_id)
    }
}

/// How a name is proved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ChallengeType {
    /// A file, by HTTP at port 80 (RFC 8555 §8.3).
    Http01,
    /// A certificate, at port 443 (RFC 8737).
    TlsAlpn01,
    /// A record (RFC 8555 §8.4). The only one for wildcards.
    Dns01,
}

/// `[acme.dns]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsConfig {
    /// Who is told.
    pub provider: DnsProvider,
    /// Resolvers that are asked whether the record is seen (`address:port`); empty: the zone's own servers.
    pub resolvers: Vec<SocketAddr>,
    /// How long a record may take to be seen.
    pub propagation: Duration,
    /// The record's time to live.
    pub ttl: Duration,
}

/// Who holds a zone.
#[derive(Clone, PartialEq, Eq)]
pub enum DnsProvider {
    /// Dynamic updates (RFC 2136), signed (RFC 8945).
    Rfc2136 {
        /// The primary server.
        server: SocketAddr,
        /// The name of the TSIG key; none: unsigned.
        key_name: Option<Box<str>>,
        /// `hmac-sha256`, `hmac-sha384` or `hmac-sha512`.
        algorithm: Box<str>,
        /// Base64.
        secret: Box<str>,
    },
    /// Cloudflare's API.
    Cloudflare {
        /// A token that may edit the zone's records.
        token: Box<str>,
        /// Another endpoint; none: `https://api.cloudflare.com/client/v4`.
        endpoint: Option<Box<str>>,
    },
    /// Amazon's Route 53.
    Route53 {
        /// `AWS_ACCESS_KEY_ID`.
        access_key: Box<str>,
        /// `AWS_SECRET_ACCESS_KEY`.
        secret_key: Box<str>,
        /// `AWS_SESSION_TOKEN`.
        session_token: Option<Box<str>>,
        /// Another endpoint; none: `https://route53.amazonaws.com`.
        endpoint: Option<Box<str>>,
    },
    /// A program: called as `PROGRAM present|cleanup FQDN VALUE`; 0 is success. Bounded in time.
    Exec {
        /// The program and its first arguments.
        command: Vec<Box<str>>,
    },
}

impl std::fmt::Debug for DnsProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rfc2136 { .. } => "Rfc2136",
            Self::Cloudflare { .. } => "Cloudflare",
            Self::Route53 { .. } => "Route53",
            Self::Exec { .. } => "Exec",
        })
    }
}

/// The kind of a certificate's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum KeyType {
    /// ECDSA, P-256.
    #[default]
    P256,
    /// ECDSA, P-384.
    P384,
    /// RSA, 2048 bits.
    Rsa2048,
    /// RSA, 4096 bits.
    Rsa4096,
}

/// `[acme.on_demand]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OnDemandConfig {
    /// Asked with `?domain=NAME&client=ADDRESS`: 200 permits, everything else does not. None: nobody is permitted,
    /// and routes with `tls = "on-demand"` are mistakes.
    pub ask: Option<Box<str>>,
    /// New names a minute, of all clients.
    pub per_minute: NonZeroU32,
    /// Names that were refused are remembered for so long.
    pub remember_refused: Duration,
    /// No more than so many of them.
    pub remember_most: u32,
    /// A handshake waits no longer than this.
    pub wait: Duration,
}

/// `[acme.internal]`: our own CA.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InternalCaConfig {
    /// The root's name.
    pub name: Box<str>,
    /// How long a certificate of a host is valid.
    pub lifetime: Duration,
    /// Where it serves ACME for other machines; none: it does not.
    pub serve: Option<InternalAcmeConfig>,
}

/// `[acme.internal] serve = { bind = "10.0.0.1:9443", host = "ca.internal", names = ["*.internal"] }`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InternalAcmeConfig {
    /// Where.
    pub bind: SocketAddr,
    /// The host of its directory's URL, which gets a certificate of the CA.
    pub host: Box<str>,
    /// Names that may be asked for.
    pub names: Vec<HostPattern>,
}

impl IssuerConfig {
    /// Let's Encrypt.
    pub const LETSENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
    /// Its staging environment.
    pub const LETSENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";
    /// ZeroSSL; wants `eab`.
    pub const ZEROSSL: &str = "https://acme.zerossl.com/v2/DV90";

    /// Let's Encrypt, with its staging environment.
    pub fn letsencrypt() -> Self {
        Self {
            name: "letsencrypt".into(),
            directory: Self::LETSENCRYPT.into(),
            directory_ca: None,
            staging: Some(Self::LETSENCRYPT_STAGING.into()),
            eab: None,
            profile: None,
        }
    }
}

impl Default for AcmeConfig {
    fn default() -> Self {
        Self {
            email: None,
            issuers: vec![IssuerConfig::letsencrypt()],
            storage: PathBuf::from("/var/lib/proxy-now"),
            challenges: vec![ChallengeType::TlsAlpn01, ChallengeType::Http01, ChallengeType::Dns01],
            dns: None,
            key_type: KeyType::default(),
            on_demand: OnDemandConfig::default(),
            internal: InternalCaConfig::default(),
        }
    }
}

impl Default for OnDemandConfig {
    fn default() -> Self {
        Self {
            ask: None,
            per_minute: NonZeroU32::new(10).expect("not zero"),
            remember_refused: Duration::from_secs(300),
            remember_most: 10_000,
            wait: Duration::from_secs(30),
        }
    }
}

impl Default for InternalCaConfig {
    fn default() -> Self {
        Self { name: "proxy-now".into(), lifetime: Duration::from_secs(7 * 86_400), serve: None }
    }
}
