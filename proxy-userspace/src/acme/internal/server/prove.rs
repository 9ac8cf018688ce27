//! Looking whether a name is proved: by HTTP (RFC 8555 §8.3) and by TLS (RFC 8737). Whoever answers there is not trusted
//! with our memory or time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use super::super::super::http::Client;
use super::super::super::solve::asked_name;
use super::problem::{Kind, Problem};

/// Looking takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names that are looked at together.
const TOGETHER: usize = 32;
/// `id-pe-acmeIdentifier` (RFC 8737 §6.1).
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";
/// RFC 8737 §6.2.
const PROTOCOL: &[u8] = b"acme-tls/1";

/// Where names are looked at: other ports are for tests.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// HTTP.
    pub http: u16,
    /// TLS.
    pub tls: u16,
}

impl Default for Ports {
    fn default() -> Self {
        Self { http: 80, tls: 443 }
    }
}

/// Looks at names.
#[derive(Debug)]
pub(super) struct Prover {
    ports: Ports,
    client: Client,
    tls: Arc<ClientConfig>,
    turn: Semaphore,
}

impl Prover {
    pub(super) fn new(ports: Ports, client: Client) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
            .with_no_client_auth();
        tls.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self {
            ports,
            client: client.within(PATIENCE),
            tls: Arc::new(tls),
            turn: Semaphore::new(TOGETHER),
        })
    }

    /// A file at the name.
    pub(super) async fn http(&self, name: &str, token: &str, authorization: &str) -> Result<(), Problem> {
        let _turn = self.turn.acquire().await;
        let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let port = match self.ports.http {
            80 => String::new(),
            port => format!(":{port}"),
        };
        let uri = format!("http://{host}{port}/.well-known/acme-challenge/{token}");
        let request = http::Request::get(uri).body(Bytes::new());
        let request = request.map_err(|_| Problem::malformed("the name stands in no URL"))?;
        let answer = self.client.send(request).await;
        let answer = answer.map_err(|error| Problem::new(Kind::Connection, error.to_string()))?;
        if answer.status() != http::StatusCode::OK {
            let detail = format!("{host} answered {} at port {}", answer.status().as_u16(), self.ports.http);
            return Err(Problem::new(Kind::Unauthorized, detail));
        }
        // RFC 8555 §8.3: whitespace after it is ignored.
        if answer.body().trim_ascii_end() == authorization.as_bytes() {
            return Ok(());
        }
        Err(Problem::new(Kind::IncorrectResponse, format!("{host} answered with something else")))
    }

    /// A certificate at the name.
    pub(super) async fn alpn(&self, name: &str, authorization: &str) -> Result<(), Problem> {
        let _turn = self.turn.acquire().await;
        let shown = tokio::time::timeout(PATIENCE, self.certificate(name)).await;
        let leaf = shown.unwrap_or_else(|_| Err(connection(name, "it took too long")))?;
        if is_proof(&leaf, name, authorization) {
            return Ok(());
        }
        let detail = format!("{name} showed a certificate that is no proof of the name");
        Err(Problem::new(Kind::IncorrectResponse, detail))
    }

    /// The certificate that is shown to who asks for the name by `acme-tls/1`.
    async fn certificate(&self, name: &str) -> Result<CertificateDer<'static>, Problem> {
        let asked = ServerName::try_from(asked_name(name).into_string());
        let asked = asked.map_err(|_| Problem::malformed("the name is no name for TLS"))?;
        let socket = TcpStream::connect((name, self.ports.tls)).await;
        let socket = socket.map_err(|error| connection(name, &error))?;
        let stream = TlsConnector::from(self.tls.clone()).connect(asked, socket).await;
        let stream = stream
            .map_err(|error| Problem::new(Kind::Tls, format!("{name}, port {}: {error}", self.ports.tls)))?;
        let (_, tls) = stream.get_ref();
        if tls.alpn_protocol() != Some(PROTOCOL) {
            return Err(Problem::new(Kind::Unauthorized, format!("{name} does not speak acme-tls/1")));
        }
        let leaf = tls.peer_certificates().and_then(|chain| chain.first());
        leaf.map(|leaf| leaf.clone().into_owned()).ok_or_else(|| connection(name, "it showed no certificate"))
    }
}

fn connection(name: &str, why: impl std::fmt::Display) -> Problem {
    Problem::new(Kind::Connection, format!("{name}: {why}"))
}

/// Whether a certificate is the proof of a name (RFC 8737 §3): for it alone, with the digest in a critical extension.
fn is_proof(leaf: &CertificateDer<'_>, name: &str, authorization: &str) -> bool {
    let Ok((_, leaf)) = x509_parser::parse_x509_certificate(leaf) else { return false };
    let wanted = digest(&SHA256, authorization.as_bytes());
    let (mut named, mut proved) = (false, false);
    for extension in leaf.extensions() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension.parsed_extension() {
            named = matches!(names.general_names.as_slice(), [only] if is_name(only, name));
        }
        if extension.oid.to_id_string() == ACME_IDENTIFIER {
            // An OCTET STRING of 32 bytes.
            let value = extension.value.strip_prefix(&[0x04, 0x20]);
            proved = extension.critical && value == Some(wanted.as_ref());
        }
    }
    named && proved
}

fn is_name(general: &GeneralName<'_>, name: &str) -> bool {
    match (general, name.parse::<IpAddr>()) {
        (GeneralName::DNSName(own), Err(_)) => own.eq_ignore_ascii_case(name),
        (GeneralName::IPAddress(own), Ok(IpAddr::V4(address))) => *own == address.octets(),
        (GeneralName::IPAddress(own), Ok(IpAddr::V6(address))) => *own == address.octets(),
        _ => false,
    }
}

/// Takes any certificate, and any signature by it: whoever answers at the name makes the certificate by themselves, and
/// what proves the name is the digest in it. Webpki would refuse its critical extension before it looks at a signature.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
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
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
