//! Both ends of connections by TLS, for tests.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::stream::TlsStream;
use crate::net::stream::Stream;

/// A CA, and what it has issued.
pub(crate) struct TestCa(CertifiedIssuer<'static, KeyPair>);

impl TestCa {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate and its key.
    pub(crate) fn issue(&self, names: &[&str]) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (vec![certificate.der().clone()], key.into())
    }

    /// Who trusts it.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A server for these names, with both versions of HTTP.
    pub(crate) fn server(&self, names: &[&str]) -> ServerConfig {
        let (chain, key) = self.issue(names);
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// A client that trusts it.
    pub(crate) fn client(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }
}

/// A client's end, before the handshake.
pub(crate) fn client_end<S: Stream>(stream: S, config: ClientConfig, name: &str) -> TlsStream<S> {
    let name = name.to_owned().try_into().unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    TlsStream::client(stream, tls)
}

/// A server's end, before the handshake.
pub(crate) fn server_end<S: Stream>(stream: S, config: ServerConfig) -> TlsStream<S> {
    let tls = ServerConnection::new(Arc::new(config)).unwrap();
    TlsStream::server(stream, tls, BytesMut::new())
}

/// Brings the handshake of two ends to its end.
pub(crate) async fn shake<A: Stream, B: Stream>(client: &mut TlsStream<A>, server: &mut TlsStream<B>) {
    let (mut done, mut served) = (false, false);
    poll_fn(|context| {
        if !done && let Poll::Ready(result) = client.poll_handshake(context) {
            result.unwrap();
            done = true;
        }
        // The client's last flight goes with what it says first: here it says nothing.
        assert!(!done || client.poll_flush(context).is_ready());
        if !served && let Poll::Ready(result) = server.poll_handshake(context) {
            result.unwrap();
            served = true;
        }
        if done && served { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
