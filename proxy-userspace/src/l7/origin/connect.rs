//! How a connection to a backend comes about: an idle one of this worker, one lent by another, or a new one.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::BytesMut;
use rustls::AlertDescription;

use super::origins::Origins;
use super::unconnected::Unconnected;
use crate::config::{ProxyProtocolVersion, WebPoolConfig};
use crate::l7::request::Connection;
use crate::net::deadline::Deadline;
use crate::net::epoll::EpollStream;
use crate::net::proxy_protocol::{self, Addresses, Said};
use crate::net::stream::{Driver, Stream};
use crate::net::tls::{Fault, TlsStream};
use crate::upstream::{Backend, BackendStream, Permit, Wire};

/// How soon a connection that is about to be free is looked for again.
const AGAIN: Duration = Duration::from_millis(1);

/// What a new connection may be agreed to be, where the pool leaves the choice to the backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::l7) enum Offer {
    /// What the pool speaks.
    All,
    /// HTTP/1.1: what it is for cannot be done otherwise.
    Http1,
}

impl Origins {
    /// A connection that was not idle at this worker: lent, or new. The second is true of a new one.
    pub(in crate::l7) async fn connect(
        &self,
        permit: &mut Permit,
        web: &WebPoolConfig,
        client: &Connection,
        offer: Offer,
    ) -> Result<(Wire, bool), Unconnected> {
        if let Some(wire) = self.borrow(permit) {
            return Ok((wire, false));
        }
        let made = async {
            while !permit.open(web.max_connections) {
                // All are open, and none is idle: one of them is being put down, or closed, just now.
                tokio::time::sleep(AGAIN).await;
                if let Some(wire) = self.borrow(permit) {
                    return Ok((wire, false));
                }
            }
            Ok((wire(self.open(permit.backend(), web, client, offer).await?), true))
        };
        let made = tokio::time::timeout(web.connect_timeout, made).await.unwrap_or(Err(Unconnected::TooSlow));
        if made.is_err() {
            permit.closed();
        }
        made
    }

    /// An idle connection of another worker's, moved to this one's thread. Its timer stays behind.
    fn borrow(&self, permit: &mut Permit) -> Option<Wire> {
        loop {
            let lent = permit.borrowed(self.worker)?.stream.detach().ok();
            if let Some(stream) = lent.and_then(|lent| BackendStream::attach(lent).ok()) {
                return Some(wire(stream));
            }
            permit.closed();
        }
    }

    /// A new connection.
    pub(super) async fn open(
        &self,
        backend: &Backend,
        web: &WebPoolConfig,
        client: &Connection,
        offer: Offer,
    ) -> Result<BackendStream, Unconnected> {
        let mut stream = self.driver.connect(&backend.target).await?;
        if let Some(version) = web.send_proxy_protocol {
            let addresses = Addresses { source: client.client, destination: client.local };
            introduce(&mut stream, version, addresses, Said::default()).await?;
        }
        if backend.tls.is_none() {
            return Ok(BackendStream::Clear(stream));
        }
        let secured = secure(stream, backend, offer).await.map_err(Unconnected::from);
        secured.inspect_err(|error| backend.refused(error))
    }
}

/// What an error of a new connection says if it is the backend's word on who we are: by TLS 1.3 it comes after our side
/// of the handshake has ended (RFC 8446 §4.4.2.4, §6.2). Nothing was processed.
pub(in crate::l7) fn turned_away(error: &io::Error) -> Option<Unconnected> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let unwelcome = matches!(
        error,
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError
                | AlertDescription::HandshakeFailure
        )
    );
    unwelcome.then(|| Unconnected::NoTls(Fault::Tls(error.clone())))
}

/// A connection that nothing was sent on yet.
pub(super) fn wire(stream: BackendStream) -> Wire {
    Wire { stream, deadline: Deadline::default() }
}

/// TLS, until both sides can speak.
pub(in crate::l7) async fn secure(
    stream: EpollStream,
    backend: &Backend,
    offer: Offer,
) -> Result<BackendStream, Fault> {
    let Some(tls) = &backend.tls else { return Ok(BackendStream::Clear(stream)) };
    let connection = match offer {
        Offer::All => tls.connect(),
        Offer::Http1 => tls.connect_http1(),
    };
    let mut stream = TlsStream::client(stream, connection?);
    poll_fn(|context| stream.poll_handshake(context)).await?;
    Ok(BackendStream::Tls(Box::new(stream)))
}

/// Says who the connection is for.
pub(in crate::l7) async fn introduce<S: Stream>(
    stream: &mut S,
    version: ProxyProtocolVersion,
    addresses: Addresses,
    said: Said<'_>,
) -> io::Result<()> {
    let mut header = BytesMut::new();
    match version {
        ProxyProtocolVersion::V1 => proxy_protocol::write_v1(&mut header, Some(addresses)),
        ProxyProtocolVersion::V2 => proxy_protocol::write_v2_saying(&mut header, Some(addresses), said),
    }
    let mut left = &header[..];
    while !left.is_empty() {
        let count = poll_fn(|context| stream.poll_write(context, &[io::IoSlice::new(left)])).await?;
        left = &left[count..];
    }
    Ok(())
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
