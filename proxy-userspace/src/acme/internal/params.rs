//! What a certificate of the CA says (RFC 5280 §4).

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, RsaKeySize, SanType,
    SerialNumber,
};
use time::OffsetDateTime;

use crate::config::KeyType;

/// Certificates are valid from so long before they were made: clocks differ.
const SKEW: Duration = Duration::from_secs(3600);
/// Bytes of a serial number (RFC 5280 §4.1.2.2: at most 20), the first bit of which is 0.
const SERIAL_BYTES: usize = 16;
/// Characters of a common name (RFC 5280, upper bound ub-common-name).
const COMMON_NAME: usize = 64;

/// When a certificate is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Validity {
    pub(super) from: SystemTime,
    pub(super) until: SystemTime,
}

impl Validity {
    /// From a little before now, for so long, but no longer than `most`.
    pub(super) fn lasting(now: SystemTime, lifetime: Duration, most: Option<SystemTime>) -> Self {
        let until = now + lifetime;
        Self { from: now - SKEW, until: most.map_or(until, |most| until.min(most)) }
    }
}

/// A new key.
///
/// # Errors
/// The system has no randomness.
pub fn generate(kind: KeyType) -> Result<KeyPair, rcgen::Error> {
    match kind {
        KeyType::P256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
        KeyType::P384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        KeyType::Rsa4096 => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
    }
}

/// Of a certificate that signs others: `below` is how many signing ones may stand between it and a host's.
pub(super) fn signing(name: &str, below: u8, validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = common(name, validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

/// Of a host's certificate: at least one name.
pub(super) fn host(names: &[Box<str>], validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    // The common name says nothing to clients (RFC 9525 §2), and a name may be too long for it.
    let name = names.first().filter(|name| name.len() <= COMMON_NAME);
    let mut params = common(name.map_or("host", |name| name), validity)?;
    params.subject_alt_names = names.iter().map(|name| san(name)).collect::<Result<_, _>>()?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common(name: &str, validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::from(validity.from);
    params.not_after = OffsetDateTime::from(validity.until);
    let mut serial = [0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn san(name: &str) -> Result<SanType, rcgen::Error> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.try_into()?)),
    }
}
