//! What a client's certificate says, for backends and for the log.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::facts::{fingerprint, hex};
use super::name;

/// What a client's certificate says. All of it is printable ASCII.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerCertificate {
    /// Whose it is (RFC 4514).
    pub subject: Box<str>,
    /// Who issued it (RFC 4514).
    pub issuer: Box<str>,
    /// The serial number, hexadecimal.
    pub serial: Box<str>,
    /// SHA-256 of it, hexadecimal.
    pub fingerprint: Box<str>,
}

impl PeerCertificate {
    /// Of a certificate that rustls has verified; none: it cannot be read, which it then can.
    pub fn of(der: &[u8]) -> Option<Self> {
        let (_, one) = X509Certificate::from_der(der).ok()?;
        Some(Self {
            subject: name::text(one.subject()),
            issuer: name::text(one.issuer()),
            serial: hex(one.raw_serial()).into(),
            fingerprint: fingerprint(der),
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{DistinguishedName, DnType};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::super::testing::Ca;
    use super::*;

    #[test]
    fn whose_a_certificate_is_stands_in_one_line_whatever_the_name() {
        let ca = Ca::new("Clients, \"Ltd\"");
        let pair = ca.leaf_with(&["someone.test"], |params| {
            params.serial_number = Some(vec![0x2a, 0xff].into());
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, "Eins + Zwei=3");
            params.distinguished_name.push(DnType::CommonName, " Zoë\r\nX-Admin: yes");
        });
        let der = CertificateDer::from_pem_slice(pair.chain.as_bytes()).unwrap();
        let peer = PeerCertificate::of(&der).unwrap();
        assert_eq!(&*peer.subject, "CN=\\ Zo\\C3\\AB\\0D\\0AX-Admin: yes,O=Eins \\+ Zwei\\=3");
        assert!(peer.issuer.contains("CN=Clients\\, \\\"Ltd\\\""), "{}", peer.issuer);
        assert_eq!(&*peer.serial, "2aff");
        assert_eq!(peer.fingerprint, pair.certificate().fingerprint);
        assert_eq!(PeerCertificate::of(b"nothing"), None);
    }
}
