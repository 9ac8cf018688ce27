//! What is spoken with a backend that has the choice (ALPN): the first connection finds it out, others wait for that.

use super::connect::{Offer, wire};
use super::origins::Origins;
use super::unconnected::Unconnected;
use crate::config::WebPoolConfig;
use crate::l7::request::Request;
use crate::upstream::{Permit, Spoken, Wire};

impl Origins {
    /// Finds out what the permit's backend speaks, unless it is known meanwhile. Gives the connection that was made for
    /// it, if it is one of HTTP/1.1: those of HTTP/2 are where streams find them.
    pub(in crate::l7) async fn agree(
        &self,
        permit: &mut Permit,
        web: &WebPoolConfig,
        request: &Request,
    ) -> Result<Option<Wire>, Unconnected> {
        let made = tokio::time::timeout(web.connect_timeout, self.find_out(permit, web, request)).await;
        let made = made.unwrap_or(Err(Unconnected::TooSlow));
        if made.is_err() {
            permit.closed();
        }
        made
    }

    async fn find_out(
        &self,
        permit: &mut Permit,
        web: &WebPoolConfig,
        request: &Request,
    ) -> Result<Option<Wire>, Unconnected> {
        let streams = self.streams(permit.backend());
        let _opening = streams.opening.lock().await;
        // Counted whether there is room or not: nothing is known yet that could become free.
        if permit.backend().spoken().is_some() || !permit.open(u32::MAX) {
            return Ok(None);
        }
        let stream = self.open(permit.backend(), web, &request.connection, Offer::All).await?;
        let spoken = stream.spoken();
        if spoken == Spoken::Http1 {
            permit.backend().speaks(spoken);
            return Ok(Some(wire(stream)));
        }
        permit.closed();
        // Who introduces clients needs a connection for each: this one was for finding out.
        if web.send_proxy_protocol.is_none()
            && let Some(slot) = permit.backend().slot(u32::MAX, true)
        {
            streams.add(stream, slot, web.keepalive).await?;
        }
        permit.backend().speaks(spoken);
        Ok(None)
    }
}
