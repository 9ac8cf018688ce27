//! A client of HTTPS that says which certificate it was shown.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use proxy_tests::netns::Namespace;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::message::Message;

/// An answer, and who gave it.
#[derive(Debug)]
pub(super) struct Visit {
    /// The answer.
    pub(super) answer: Message,
    /// The certificate that was shown, DER.
    pub(super) certificate: Vec<u8>,
}

/// Longer than any handshake that waits for a certificate may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// Asks `first` (`GET /path`) of the host `name` at `address`, from a namespace. Its certificate must be signed by one
/// of `roots` (PEM).
pub(super) fn ask(
    namespace: &Namespace,
    address: SocketAddr,
    name: &str,
    roots: &Path,
    first: &str,
    body: &str,
) -> Result<Visit> {
    let request = format!(
        "{first} HTTP/1.0\r\nHost: {name}\r\nUser-Agent: harness\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    namespace.enter(|| send(address, name, roots, request.as_bytes()))?
}

/// Sends a request of HTTP/1.0, whose answer ends with its connection, from the namespace of this thread.
pub(super) fn send(address: SocketAddr, name: &str, roots: &Path, request: &[u8]) -> Result<Visit> {
    let mut store = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(roots).with_context(|| roots.display().to_string())? {
        store.add(root?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned())?)?;
    let mut stream = StreamOwned::new(tls, stream);
    stream.write_all(request).with_context(|| format!("TLS with {name} at {address}"))?;
    let mut reader = BufReader::new(stream);
    let answer = Message::read_answer(&mut reader)?;
    let chain = reader.get_ref().conn.peer_certificates().context("no certificate was shown")?;
    let certificate = chain.first().context("an empty chain was shown")?.to_vec();
    Ok(Visit { answer, certificate })
}
