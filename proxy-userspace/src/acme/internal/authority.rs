//! Who signs: the root signs intermediates, the intermediate signs certificates of hosts.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;

use super::keep::{Keep, KeepError, Signer, pem};
use super::params::{Validity, generate, host, signing};
use crate::config::{InternalCaConfig, KeyType};

const DAY: Duration = Duration::from_secs(86_400);
/// A root must be told to machines by hand, so it is valid for long.
const ROOT_LIFETIME: Duration = Duration::from_secs(3650 * 86_400);
/// An intermediate is replaced after two thirds of this, unless certificates of hosts are to live longer.
const INTERMEDIATE_LIFETIME: Duration = Duration::from_secs(365 * 86_400);
/// So long before the root is over, the log says so.
const ROOT_ENDS_SOON: Duration = Duration::from_secs(180 * 86_400);

/// Why the CA cannot sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Its keys cannot be read or kept.
    #[error("the internal CA: {0}")]
    Keep(#[from] KeepError),
    /// A certificate cannot be made.
    #[error("the internal CA: no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate that was made.
pub struct Issued {
    /// The certificate and the intermediate, PEM.
    pub chain_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Issued(..)")
    }
}

/// The CA, ready to sign.
#[derive(Debug)]
pub struct Authority {
    keep: Keep,
    name: Box<str>,
    lifetime: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    root: Signing,
    intermediate: Signing,
}

/// A certificate that signs, ready for it.
#[derive(Debug)]
struct Signing {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    until: SystemTime,
}

impl Authority {
    /// Reads the CA's keys, or makes them if there are none.
    ///
    /// # Errors
    /// They cannot be read or kept.
    pub fn open(folder: &Path, config: &InternalCaConfig, now: SystemTime) -> Result<Self, AuthorityError> {
        let keep = Keep::open(folder)?;
        let root = root(&keep, &config.name, now)?;
        let known = keep.intermediate()?.map(Signing::of).transpose()?;
        let (name, lifetime) = (config.name.clone(), config.lifetime);
        let intermediate = match known {
            Some(known) if known.is_signed_by(&root) && !is_due(&known, lifetime, now) => known,
            _ => intermediate(&keep, &name, &root, now)?,
        };
        Ok(Self { keep, name, lifetime, state: Mutex::new(State { root, intermediate }) })
    }

    /// Where its keys are kept, and what the ACME server writes down.
    pub(super) fn keep(&self) -> &Keep {
        &self.keep
    }

    /// Whether a certificate was signed by the present intermediate.
    pub(super) fn has_signed(&self, certificate: &X509Certificate<'_>) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let intermediate = parse(&state.intermediate.certificate);
        intermediate.is_ok_and(|own| certificate.verify_signature(Some(own.public_key())).is_ok())
    }

    /// The root, PEM: what machines are told to trust.
    pub fn root_pem(&self) -> String {
        pem(&self.state.lock().unwrap_or_else(PoisonError::into_inner).root.certificate)
    }

    /// The intermediate's name, as `certs list` shows issuers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long certificates of hosts are valid.
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// A certificate for names, with a new key.
    ///
    /// # Errors
    /// A name is none, or there is no randomness.
    pub fn issue(
        &self,
        names: &[Box<str>],
        key_type: KeyType,
        now: SystemTime,
    ) -> Result<Issued, AuthorityError> {
        let key = generate(key_type)?;
        let chain_pem = self.certify(names, &key, now)?;
        Ok(Issued { chain_pem, key_pem: key.serialize_pem() })
    }

    /// A certificate for names and a key that is somebody else's: the chain, PEM.
    ///
    /// # Errors
    /// A name is none.
    pub fn certify(
        &self,
        names: &[Box<str>],
        key: &impl PublicKeyData,
        now: SystemTime,
    ) -> Result<String, AuthorityError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if is_due(&state.intermediate, self.lifetime, now) {
            self.renew(&mut state, now);
        }
        let signer = &state.intermediate;
        let params = host(names, Validity::lasting(now, self.lifetime, Some(signer.until)))?;
        let certificate = params.signed_by(key, &signer.issuer)?;
        Ok(pem(certificate.der()) + &pem(&signer.certificate))
    }

    /// A new intermediate, if one can be made: else the old one goes on.
    fn renew(&self, state: &mut State, now: SystemTime) {
        match intermediate(&self.keep, &self.name, &state.root, now) {
            Ok(new) => state.intermediate = new,
            Err(error) => tracing::warn!("{error}; the intermediate before it goes on"),
        }
    }
}

impl Signing {
    fn of(signer: Signer) -> Result<Self, AuthorityError> {
        let until = parse(&signer.certificate)?.validity().not_after.to_datetime().into();
        let issuer = Issuer::from_ca_cert_der(&signer.certificate, signer.key)?;
        Ok(Self { issuer, certificate: signer.certificate, until })
    }

    fn is_signed_by(&self, root: &Self) -> bool {
        let (Ok(own), Ok(root)) = (parse(&self.certificate), parse(&root.certificate)) else { return false };
        own.verify_signature(Some(root.public_key())).is_ok()
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, AuthorityError> {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    Ok(parsed.map_err(|_| rcgen::Error::CouldNotParseCertificate)?.1)
}

/// Whether an intermediate must be replaced before it signs certificates that live so long.
fn is_due(intermediate: &Signing, lifetime: Duration, now: SystemTime) -> bool {
    let left = intermediate.until.duration_since(now).unwrap_or_default();
    left < (INTERMEDIATE_LIFETIME / 3).max(lifetime.min(INTERMEDIATE_LIFETIME * 2 / 3))
}

/// The root that is kept, or a new one.
fn root(keep: &Keep, name: &str, now: SystemTime) -> Result<Signing, AuthorityError> {
    let known = keep.root()?.map(Signing::of).transpose()?;
    let over = known.as_ref().is_some_and(|known| known.until <= now);
    let root = match known {
        Some(known) if !over => known,
        _ => {
            let validity = Validity::lasting(now, ROOT_LIFETIME, None);
            let key = generate(KeyType::P256)?;
            let certificate = signing(&format!("{name} root"), 1, validity)?.self_signed(&key)?;
            let made = Signer { certificate: certificate.der().clone(), key };
            if over {
                tracing::warn!(
                    "the internal CA's root is over: here is a new one; run `proxy-now certs trust` again"
                );
                keep.replace_root(&made)?;
            } else {
                keep.keep_root(&made)?;
            }
            // Another daemon may have been first.
            keep.root()?.map_or_else(|| Signing::of(made), Signing::of)?
        }
    };
    if let Ok(left) = root.until.duration_since(now)
        && left < ROOT_ENDS_SOON
    {
        let days = left.as_secs() / DAY.as_secs();
        tracing::warn!("the internal CA's root ends in {days} days: a new one must be trusted then");
    }
    if let Err(error) = keep.publish(&pem(&root.certificate)) {
        tracing::warn!("the internal CA's root is not where it should be found: {error}");
    }
    Ok(root)
}

/// A new intermediate, kept if it can be.
fn intermediate(keep: &Keep, name: &str, root: &Signing, now: SystemTime) -> Result<Signing, AuthorityError> {
    let validity = Validity::lasting(now, INTERMEDIATE_LIFETIME, Some(root.until));
    let key = generate(KeyType::P256)?;
    let mut params = signing(&format!("{name} intermediate"), 0, validity)?;
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &root.issuer)?;
    let made = Signer { certificate: certificate.der().clone(), key };
    if let Err(error) = keep.keep_intermediate(&made) {
        tracing::warn!("the internal CA's intermediate is kept in memory alone: {error}");
    }
    Signing::of(made)
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
