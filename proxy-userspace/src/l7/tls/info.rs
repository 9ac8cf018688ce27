//! What is known of a client's TLS, for as long as its connection lasts.

use std::sync::Arc;

use rustls::{CommonState, HandshakeKind, NamedGroup, ProtocolVersion};

use super::client_certificate::ClientCertificate;
use super::listener::TlsListener;
use crate::route::Hello;
use crate::telemetry::handshakes::{Agreed, Alpn, Group, Version};
use crate::tls::Served;

/// What is known of a client's TLS.
#[derive(Debug)]
pub struct TlsInfo {
    /// What the connection was served with: the name that was asked for, and the certificate.
    pub served: Served,
    /// What kind of client it is, by its ClientHello (JA4), if somebody wants to know: see [`TlsListener::wants_ja4`].
    pub ja4: Option<Box<str>>,
    /// What its ClientHello said, if routes ask for it.
    pub hello: Option<Box<Hello>>,
    /// What was agreed on.
    pub agreed: Agreed,
    /// The certificate that the client has shown, if it had to or wanted to.
    pub client: Option<ClientCertificate>,
    /// The listener, as it was at the handshake.
    pub listener: Arc<TlsListener>,
}

impl TlsInfo {
    /// Of a handshake that has come to its end.
    pub(super) fn of(
        state: &CommonState,
        served: Served,
        (ja4, hello): (Option<Box<str>>, Option<Box<Hello>>),
        listener: Arc<TlsListener>,
    ) -> Self {
        let client = state.peer_certificates().and_then(|chain| ClientCertificate::of(chain.first()?));
        Self { served, ja4, hello, agreed: agreed(state), client, listener }
    }

    /// The host that the client asked for by SNI, in lower case; none: it named none.
    pub fn sni(&self) -> Option<&str> {
        self.served.name.as_deref()
    }
}

/// What was agreed on.
pub(super) fn agreed(state: &CommonState) -> Agreed {
    let version = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => Version::Tls12,
        _ => Version::Tls13,
    };
    let group = match state.negotiated_key_exchange_group().map(|group| group.name()) {
        Some(NamedGroup::X25519MLKEM768) => Group::X25519MlKem768,
        Some(NamedGroup::X25519) => Group::X25519,
        Some(NamedGroup::secp256r1) => Group::P256,
        Some(NamedGroup::secp384r1) => Group::P384,
        _ => Group::Other,
    };
    let alpn = match state.alpn_protocol() {
        Some(b"h2") => Alpn::H2,
        Some(b"http/1.1") => Alpn::Http11,
        Some(_) => Alpn::Acme,
        None => Alpn::Unsaid,
    };
    let resumed = state.handshake_kind() == Some(HandshakeKind::Resumed);
    Agreed { version, group, alpn, resumed }
}
