//! Another protocol by TLS 1.3. Clients trust anyone: what checking a certificate costs them is not asked here.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup, SignatureScheme,
};

use super::super::case::Hello;
use super::talk::Talk as Protocol;

/// What clients ask for by ALPN.
pub(super) const HTTP11: &[u8] = b"http/1.1";
/// What clients ask for by ALPN.
pub(super) const HTTP2: &[u8] = b"h2";

/// What all clients of a run have in common.
#[derive(Clone, Debug)]
pub(super) struct Client {
    config: Arc<ClientConfig>,
    tickets: Arc<Tickets>,
    expected: HandshakeKind,
    hello: Hello,
}

impl Client {
    /// Clients that begin so and ask for this protocol; their handshakes are full until they are [`Self::resuming`].
    pub(super) fn new(hello: Hello, protocol: &[u8]) -> Result<Self> {
        let group = if hello == Hello::Hybrid { kx_group::X25519MLKEM768 } else { kx_group::X25519 };
        let mut provider = aws_lc_rs::default_provider();
        // One of each: all peers have the same to do.
        provider.kx_groups = vec![group];
        provider.cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone))
            .with_no_client_auth();
        let tickets = Arc::new(Tickets::default());
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = match hello {
            Hello::Resumed => Resumption::store(Arc::clone(&tickets) as Arc<dyn ClientSessionStore>),
            Hello::Full | Hello::Hybrid => Resumption::disabled(),
        };
        Ok(Self { config: Arc::new(config), tickets, expected: HandshakeKind::Full, hello })
    }

    /// From now on tickets are used, where clients shall have them.
    pub(super) fn resuming(mut self) -> Self {
        if self.hello == Hello::Resumed {
            self.expected = HandshakeKind::Resumed;
            self.tickets.used.store(true, Relaxed);
        }
        self
    }
}

/// A client of one connection, and what it speaks inside.
pub(super) struct Talk<T> {
    tls: ClientConnection,
    inner: T,
    expected: HandshakeKind,
    /// What `inner` says and hears.
    plain: Vec<u8>,
}

impl<T> Talk<T> {
    /// A client that has not shaken hands yet.
    pub(super) fn new(client: &Client, inner: T) -> Self {
        let name = ServerName::try_from("bench.test").expect("it is a name");
        let tls = ClientConnection::new(Arc::clone(&client.config), name).expect("TLS 1.3 has its suite");
        Self { tls, inner, expected: client.expected, plain: Vec::new() }
    }

    /// Encrypts what `inner` has said; before the handshake's end it is kept for then.
    fn say(&mut self, out: &mut Vec<u8>) {
        self.tls.writer().write_all(&self.plain).expect("a buffer takes little");
        self.plain.clear();
        while self.tls.wants_write() {
            self.tls.write_tls(out).expect("memory takes everything");
        }
    }
}

impl<T: Protocol> Protocol for Talk<T> {
    fn opening(&mut self, out: &mut Vec<u8>) {
        self.inner.opening(&mut self.plain);
        self.say(out);
    }

    fn ready(&self) -> bool {
        self.inner.ready()
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        self.inner.begin(&mut self.plain);
        self.say(out);
    }

    fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>, ended: &mut Vec<u64>) -> Result<()> {
        let mut heard = Vec::new();
        while !bytes.is_empty() && self.tls.read_tls(&mut bytes)? > 0 {
            let state = self.tls.process_new_packets().context("TLS")?;
            let before = heard.len();
            heard.resize(before + state.plaintext_bytes_to_read(), 0);
            self.tls.reader().read_exact(&mut heard[before..])?;
        }
        if !heard.is_empty() {
            let kind = self.tls.handshake_kind().context("an answer before the handshake's end")?;
            ensure!(kind == self.expected, "the handshake was {kind:?}, not {:?}", self.expected);
            self.inner.take(&heard, &mut self.plain, ended)?;
        }
        self.say(out);
        Ok(())
    }
}

/// Tickets of one server, the newest last.
#[derive(Debug, Default)]
struct Tickets {
    kept: Mutex<VecDeque<Tls13ClientSessionValue>>,
    used: AtomicBool,
}

/// More than connections at a time, and few enough that none gets old.
const MOST_TICKETS: usize = 1024;

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(ticket);
        if kept.len() > MOST_TICKETS {
            kept.pop_front();
        }
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.used.load(Relaxed) { kept.pop_back() } else { None }
    }
}

/// Trusts whoever answers.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
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
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
