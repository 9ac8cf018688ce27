//! Chains, keys, bundles and revocation lists out of PEM.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{Error, PemObject as _};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::SigningKey;

use super::certificate_error::CertificateError;

/// No chain is longer: public ones have two to four.
const MOST_OF_A_CHAIN: usize = 10;

/// All certificates of a text, in its order.
pub(super) fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain = certificates(text)?;
    match chain.len() {
        0 => Err(CertificateError::NoCertificate),
        1..=MOST_OF_A_CHAIN => Ok(chain),
        more => Err(CertificateError::TooLong(more)),
    }
}

/// All certificates of a text, however many.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| bad(&error))
}

/// The first key of a text.
pub(super) fn key(text: &[u8]) -> Result<Arc<dyn SigningKey>, CertificateError> {
    if is_encrypted(text) {
        return Err(CertificateError::EncryptedKey);
    }
    let key = match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => key,
        Err(Error::NoItemsFound) => return Err(CertificateError::NoKey),
        Err(error) => return Err(bad(&error)),
    };
    any_supported_type(&key).map_err(|error| CertificateError::BadKey(error.to_string().into()))
}

/// All revocation lists of a text, or the one that it is itself (DER).
pub(super) fn revocation_lists(
    text: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, CertificateError> {
    // A DER SEQUENCE begins so; PEM never does.
    if text.first() == Some(&0x30) {
        return Ok(vec![CertificateRevocationListDer::from(text.to_vec())]);
    }
    CertificateRevocationListDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| bad(&error))
}

/// PKCS #8 (RFC 5958 §3) says it in the label, the older forms in a header (RFC 1421 §4.6.1.1).
fn is_encrypted(text: &[u8]) -> bool {
    let has = |what: &[u8]| memchr::memmem::find(text, what).is_some();
    has(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || has(b"Proc-Type: 4,ENCRYPTED")
}

/// What is quoted of a text is never a line of it: it may be a key's.
fn bad(error: &Error) -> CertificateError {
    CertificateError::BadPem(match error {
        Error::MissingSectionEnd { .. } => "a section has no end (`-----END ...-----`)".into(),
        Error::IllegalSectionStart { .. } => "a section begins badly (`-----BEGIN ...-----`)".into(),
        Error::Base64Decode(_) => "a section is not base64".into(),
        _ => "it cannot be decoded".into(),
    })
}
