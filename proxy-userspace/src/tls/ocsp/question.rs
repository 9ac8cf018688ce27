//! What a responder is asked (RFC 6960 §4.1), of one certificate, without a nonce: answers may come from a cache.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_OCSP;
use x509_parser::prelude::FromDer as _;

use super::der::{INTEGER, OCTETS, SEQUENCE, value};
use super::fault::OcspFault;

/// SHA-1, without parameters but NULL. It names certificates here, and signs nothing: every responder knows it
/// (RFC 5019 §2.1.1).
const SHA1: [u8; 11] = [0x30, 9, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0];

/// Which certificate is meant: its serial number, and who issued it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct CertId {
    pub(super) issuer_name: Vec<u8>,
    pub(super) issuer_key: Vec<u8>,
    pub(super) serial: Vec<u8>,
}

impl CertId {
    pub(super) fn of(leaf: &[u8], issuer: &[u8]) -> Result<Self, OcspFault> {
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| OcspFault::NoIssuer)?;
        let (_, issuer) = X509Certificate::from_der(issuer).map_err(|_| OcspFault::NoIssuer)?;
        if leaf.issuer().as_raw() != issuer.subject().as_raw() {
            return Err(OcspFault::NoIssuer);
        }
        Ok(Self {
            issuer_name: sha1(issuer.subject().as_raw()),
            issuer_key: sha1(&issuer.public_key().subject_public_key.data),
            serial: leaf.raw_serial().to_vec(),
        })
    }

    /// `CertID` (RFC 6960 §4.1.1).
    pub(super) fn der(&self) -> Vec<u8> {
        let name = value(OCTETS, &[&self.issuer_name]);
        let key = value(OCTETS, &[&self.issuer_key]);
        value(SEQUENCE, &[&SHA1, &name, &key, &value(INTEGER, &[&self.serial])])
    }

    /// `OCSPRequest`.
    pub(super) fn request(&self) -> Vec<u8> {
        let request = value(SEQUENCE, &[&self.der()]);
        let list = value(SEQUENCE, &[&request]);
        value(SEQUENCE, &[&value(SEQUENCE, &[&list])])
    }
}

/// The responder that a certificate names (RFC 5280 §4.2.2.1), by HTTP.
pub(super) fn responder(leaf: &[u8]) -> Option<Box<str>> {
    let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
    leaf.extensions().iter().find_map(|extension| {
        let ParsedExtension::AuthorityInfoAccess(access) = extension.parsed_extension() else { return None };
        access.iter().find_map(|way| match way.access_location {
            GeneralName::URI(url)
                if way.access_method == OID_PKIX_ACCESS_DESCRIPTOR_OCSP && url.starts_with("http://") =>
            {
                Some(url.into())
            }
            _ => None,
        })
    })
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref().to_vec()
}
