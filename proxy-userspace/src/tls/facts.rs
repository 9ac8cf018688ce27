//! What a certificate says of itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

use super::certificate_error::CertificateError;

/// What a certificate says of itself.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) names: Vec<Box<str>>,
    /// The name is the subject's common name: there is no alternative name.
    pub(super) by_common_name: bool,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    pub(super) issuer: Box<str>,
    pub(super) serial: Box<str>,
    pub(super) fingerprint: Box<str>,
}

impl Facts {
    /// Of a leaf.
    pub(super) fn of(der: &[u8]) -> Result<Self, CertificateError> {
        let (_, leaf) = X509Certificate::from_der(der)
            .map_err(|error| CertificateError::Unreadable { number: 1, why: error.to_string().into() })?;
        let mut names = alternative_names(&leaf)?;
        let by_common_name = names.is_empty();
        if by_common_name {
            names.extend(common_name(leaf.subject()).filter(|name| is_name(name)).map(lower));
        }
        if names.is_empty() {
            return Err(CertificateError::NoNames);
        }
        Ok(Self {
            names,
            by_common_name,
            not_before: moment(leaf.validity().not_before.timestamp()),
            not_after: moment(leaf.validity().not_after.timestamp()),
            issuer: short(leaf.issuer()),
            serial: hex(leaf.raw_serial()).into(),
            fingerprint: fingerprint(der),
        })
    }
}

/// Whether it is a server's or a client's, and no CA's.
pub(super) fn is_leaf(der: &[u8]) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, one)| !one.is_ca())
}

/// SHA-256 of a certificate, hexadecimal.
pub(super) fn fingerprint(der: &[u8]) -> Box<str> {
    hex(digest(&SHA256, der).as_ref()).into()
}

/// Lower case, without colons.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

fn alternative_names(leaf: &X509Certificate<'_>) -> Result<Vec<Box<str>>, CertificateError> {
    let extension = leaf
        .subject_alternative_name()
        .map_err(|error| CertificateError::Unreadable { number: 1, why: error.to_string().into() })?;
    let Some(extension) = extension else { return Ok(Vec::new()) };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) if is_name(name) => Some(lower(name)),
        GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string().into()),
        _ => None,
    });
    Ok(names.collect())
}

/// RFC 5280 §4.2.1.6: four octets, or sixteen.
fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => <[u8; 4]>::try_from(octets).ok().map(|octets| Ipv4Addr::from(octets).into()),
        _ => <[u8; 16]>::try_from(octets).ok().map(|octets| Ipv6Addr::from(octets).into()),
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte))
}

fn lower(name: &str) -> Box<str> {
    name.trim_end_matches('.').to_ascii_lowercase().into()
}

/// Its common name, else all of it.
fn short(name: &X509Name<'_>) -> Box<str> {
    common_name(name).map_or_else(|| name.to_string().into(), Into::into)
}

fn common_name<'a>(name: &'a X509Name<'_>) -> Option<&'a str> {
    name.iter_common_name().find_map(|one| one.as_str().ok())
}

fn moment(seconds: i64) -> SystemTime {
    let length = Duration::from_secs(seconds.unsigned_abs());
    match seconds {
        0.. => SystemTime::UNIX_EPOCH + length,
        _ => SystemTime::UNIX_EPOCH - length,
    }
}
