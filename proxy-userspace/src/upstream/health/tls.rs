//! TLS for checks.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::config::ProbeTls;

/// What a check connects with. None: certificates are to be verified, and there is nothing to verify them by.
pub(super) fn connector(trust: ProbeTls) -> Option<TlsConnector> {
    static VERIFY: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    static ANYTHING: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let config = match trust {
        ProbeTls::Verify => VERIFY.get_or_init(verifying),
        ProbeTls::Trust => ANYTHING.get_or_init(trusting),
    };
    config.clone().map(TlsConnector::from)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn verifying() -> Option<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return None;
    }
    let versions =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().ok()?;
    Some(Arc::new(versions.with_root_certificates(roots).with_no_client_auth()))
}

fn trusting() -> Option<Arc<ClientConfig>> {
    let verifier = Arc::new(Anything { algorithms: provider().signature_verification_algorithms });
    let versions =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().ok()?;
    Some(Arc::new(versions.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

/// `verify = false`: whoever answers is the backend. The handshake's own signatures are checked all the same.
#[derive(Debug)]
struct Anything {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
