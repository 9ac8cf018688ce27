//! TLS-ALPN-01 (RFC 8737): a certificate that only who asks by `acme-tls/1` sees.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::config::ChallengeType;
use crate::tls::Challenges;

use super::super::solver::{Presented, Proof, SolveError, Solver};
use super::full::Full;

/// Who failed.
const BY: &str = "tls-alpn-01";

/// Puts certificates where handshakes find them.
#[derive(Clone, Debug)]
pub(super) struct TlsAlpn01 {
    challenges: Arc<Challenges>,
}

impl TlsAlpn01 {
    /// Certificates go here.
    pub(super) fn new(challenges: Arc<Challenges>) -> Self {
        Self { challenges }
    }
}

impl Solver for TlsAlpn01 {
    fn kind(&self) -> ChallengeType {
        ChallengeType::TlsAlpn01
    }

    async fn present(&self, proof: &Proof) -> Result<Presented, SolveError> {
        let asked = asked_name(&proof.name);
        let key = certificate(proof).map_err(|cause| SolveError::new(BY, cause))?;
        if !self.challenges.put_alpn(&asked, key) {
            return Err(SolveError::new(BY, Full));
        }
        Ok(Presented::Alpn { name: asked })
    }

    async fn cleanup(&self, presented: Presented) -> Result<(), SolveError> {
        if let Presented::Alpn { name } = presented {
            self.challenges.remove_alpn(&name);
        }
        Ok(())
    }
}

/// What a CA names in its ClientHello: an address cannot stand there, its reverse name does (RFC 8738 §6).
pub(in crate::acme) fn asked_name(name: &str) -> Box<str> {
    match name.parse() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa").into()
        }
        Ok(IpAddr::V6(address)) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            let mut reverse: String = nibbles.map(|nibble| format!("{nibble:x}.")).collect();
            reverse.push_str("ip6.arpa");
            reverse.into()
        }
        Err(_) => name.into(),
    }
}

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
enum CannotMake {
    #[error("a certificate for the proof cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("the key of the proof's certificate is not usable: {0}")]
    Key(#[from] rustls::Error),
}

/// RFC 8737 §3: self-signed, for this name alone, with the critical extension that holds the digest.
fn certificate(proof: &Proof) -> Result<Arc<CertifiedKey>, CannotMake> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    // Becomes a dNSName or, of an address, an iPAddress (RFC 8738 §6).
    let mut params = CertificateParams::new([proof.name.to_string()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(&proof.digest)];
    let leaf = params.self_signed(&key)?;
    let key = any_supported_type(&PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))?;
    Ok(Arc::new(CertifiedKey::new(vec![leaf.der().clone()], key)))
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::*;

    use super::super::testing::proof;
    use super::*;

    #[tokio::test]
    async fn the_certificate_is_for_the_name_alone_and_has_the_digest_as_a_critical_extension() {
        let challenges = Arc::new(Challenges::default());
        let solver = TlsAlpn01::new(Arc::clone(&challenges));
        let proof = proof("app.example.com", false);
        let shown = solver.present(&proof).await.unwrap();

        let key = challenges.alpn("app.example.com").unwrap();
        let (_, leaf) = X509Certificate::from_der(&key.cert[0]).unwrap();
        assert_eq!(&*key.key.public_key().unwrap(), leaf.public_key().raw);
        leaf.verify_signature(None).unwrap();
        let names = leaf.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names, [GeneralName::DNSName("app.example.com")]);
        let acme = leaf.extensions().iter().find(|x| x.oid.to_id_string() == "1.3.6.1.5.5.7.1.31").unwrap();
        assert!(acme.critical);
        assert_eq!(acme.value, [&[4, 32], &proof.digest[..]].concat(), "an OCTET STRING of 32 bytes");

        solver.cleanup(shown).await.unwrap();
        assert!(challenges.alpn("app.example.com").is_none());
    }

    #[tokio::test]
    async fn an_address_is_asked_for_by_its_reverse_name() {
        let challenges = Arc::new(Challenges::default());
        let solver = TlsAlpn01::new(Arc::clone(&challenges));
        for (address, asked, octets) in [
            ("192.0.2.17", "17.2.0.192.in-addr.arpa", &[192, 0, 2, 17][..]),
            (
                "2001:db8::1",
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
                &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            ),
        ] {
            solver.present(&proof(address, false)).await.unwrap();
            let key = challenges.alpn(asked).unwrap();
            let (_, leaf) = X509Certificate::from_der(&key.cert[0]).unwrap();
            let names = leaf.subject_alternative_name().unwrap().unwrap();
            assert_eq!(names.value.general_names, [GeneralName::IPAddress(octets)]);
        }
    }
}
