//! CAs, certificates and handshakes in memory, for tests.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SigningKey as _,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::Acceptor;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme,
};
use time::OffsetDateTime;

use super::answer::Answer;
use super::certificate::Certificate;
use super::listener::ListenerTls;
use super::ocsp;

/// A CA that signs what it is asked to.
pub(super) struct Ca(pub(super) CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key, PEM.
pub(super) struct Pair {
    pub(super) chain: String,
    pub(super) key: String,
}

pub(super) fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self(CertifiedIssuer::self_signed(Self::params(name), key()).unwrap())
    }

    /// A CA below this one.
    pub(super) fn intermediate(&self, name: &str) -> Self {
        Self(CertifiedIssuer::signed_by(Self::params(name), key(), &self.0).unwrap())
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params
    }

    /// For these names.
    pub(super) fn leaf(&self, names: &[&str]) -> Pair {
        self.leaf_with(names, |_| ())
    }

    /// For these names, from so many days from now to so many.
    pub(super) fn leaf_for_days(&self, names: &[&str], from: i64, to: i64) -> Pair {
        let day = |days| OffsetDateTime::now_utc() + time::Duration::days(days);
        self.leaf_with(names, |params| {
            params.not_before = day(from);
            params.not_after = day(to);
        })
    }

    /// What this CA's responder answers a question with: good, for a week.
    pub(super) fn ocsp_answer(&self, request: &[u8], now: std::time::SystemTime) -> Vec<u8> {
        ocsp::answer_for_tests(request, now, |tbs| self.0.key().sign(tbs).unwrap())
    }

    /// A list of these serial numbers.
    pub(super) fn revoke(&self, serials: &[u8]) -> String {
        let now = OffsetDateTime::now_utc();
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: vec![*serial].into(),
            revocation_time: now - time::Duration::hours(1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: now - time::Duration::hours(1),
            next_update: now + time::Duration::days(1),
            crl_number: vec![1].into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.0).unwrap().pem().unwrap()
    }

    pub(super) fn leaf_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = key();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        Pair { chain: leaf.pem(), key: key.serialize_pem() }
    }
}

impl Pair {
    pub(super) fn certificate(&self) -> Arc<Certificate> {
        Arc::new(Certificate::from_pem(self.chain.as_bytes(), self.key.as_bytes()).unwrap())
    }
}

/// A client that believes everything.
pub(super) fn client() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_no_client_auth()
}

/// The same, with something to show.
pub(super) fn client_with(pair: &Pair) -> ClientConfig {
    use rustls::pki_types::pem::PemObject as _;
    let chain = CertificateDer::pem_slice_iter(pair.chain.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Credulous))
        .with_client_auth_cert(chain, key)
        .unwrap()
}

pub(super) fn credulous() -> Arc<dyn ServerCertVerifier> {
    Arc::new(Credulous)
}

#[derive(Debug)]
struct Credulous;

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What a ClientHello of this client is answered.
pub(super) fn ask(
    listener: &ListenerTls,
    client: &Arc<ClientConfig>,
    name: &str,
) -> (ClientConnection, Acceptor, Answer) {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let accepted = accept(&hello);
    let answer = listener.config_for(&accepted.client_hello(), None);
    // The acceptor is spent; another one reads the same bytes for who wants to go on.
    let mut again = Acceptor::default();
    again.read_tls(&mut &hello[..]).unwrap();
    (client, again, answer)
}

pub(super) fn accept(hello: &[u8]) -> rustls::server::Accepted {
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut &hello[..]).unwrap();
    acceptor.accept().unwrap().unwrap()
}

/// A whole handshake: both ends of the connection, or the first error of either side.
pub(super) fn shake(
    listener: &ListenerTls,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let (client, mut acceptor, answer) = ask(listener, client, name);
    let config = match answer {
        Answer::Serve(chosen) => chosen.config,
        Answer::Challenge(config) => config,
        other => panic!("{other:?}"),
    };
    let accepted = acceptor.accept().map_err(|(error, _)| error)?.unwrap();
    go_on(client, accepted, config)
}

fn go_on(
    mut client: ClientConnection,
    accepted: rustls::server::Accepted,
    config: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut server = accepted.into_connection(config).map_err(|(error, _)| error)?;
    loop {
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let answered = !bytes.is_empty();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let asked = !bytes.is_empty();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        if !answered && !asked {
            return Ok((client, server));
        }
    }
}
