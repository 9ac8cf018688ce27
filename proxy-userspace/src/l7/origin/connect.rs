//! How a connection to a backend comes about: an idle one of this worker, one lent by another, or a new one.

use std::io;
use std::time::Duration;

use bytes::BytesMut;

use super::origins::Origins;
use super::unconnected::Unconnected;
use crate::config::{ProxyProtocolVersion, WebPoolConfig};
use crate::l7::request::Connection;
use crate::net::deadline::Deadline;
use crate::net::epoll::EpollStream;
use crate::net::proxy_protocol::{self, Addresses};
use crate::net::stream::{Driver, Stream};
use crate::upstream::{Permit, Wire};

/// How soon a connection that is about to be free is looked for again.
const AGAIN: Duration = Duration::from_millis(1);

impl Origins {
    /// A connection that was not idle at this worker: lent, or new. The second is true of a new one.
    pub(in crate::l7) async fn connect(
        &self,
        permit: &mut Permit,
        web: &WebPoolConfig,
        client: &Connection,
    ) -> Result<(Wire, bool), Unconnected> {
        if let Some(wire) = self.borrow(permit) {
            return Ok((wire, false));
        }
        let made = async {
            while !permit.open() {
                // All are open, and none is idle: one of them is being put down, or closed, just now.
                tokio::time::sleep(AGAIN).await;
                if let Some(wire) = self.borrow(permit) {
                    return Ok((wire, false));
                }
            }
            Ok((self.open(permit, web, client).await?, true))
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
            if let Some(stream) = lent.and_then(|lent| EpollStream::attach(lent).ok()) {
                return Some(Wire { stream, deadline: Deadline::default() });
            }
            permit.closed();
        }
    }

    /// A new connection.
    pub(super) async fn open(
        &self,
        permit: &Permit,
        web: &WebPoolConfig,
        client: &Connection,
    ) -> Result<Wire, Unconnected> {
        let mut stream = self.driver.connect(&permit.backend().target).await?;
        if let Some(version) = web.send_proxy_protocol {
            introduce(&mut stream, version, client).await?;
        }
        Ok(Wire { stream, deadline: Deadline::default() })
    }
}

/// Says who the connection is for.
async fn introduce(
    stream: &mut EpollStream,
    version: ProxyProtocolVersion,
    client: &Connection,
) -> io::Result<()> {
    let mut header = BytesMut::new();
    let addresses = Some(Addresses { source: client.client, destination: client.local });
    match version {
        ProxyProtocolVersion::V1 => proxy_protocol::write_v1(&mut header, addresses),
        ProxyProtocolVersion::V2 => proxy_protocol::write_v2(&mut header, addresses),
    }
    let mut left = &header[..];
    while !left.is_empty() {
        let count =
            std::future::poll_fn(|context| stream.poll_write(context, &[io::IoSlice::new(left)])).await?;
        left = &left[count..];
    }
    Ok(())
}
