//! A client's first flight: its ClientHello, read before anything else looks at it, and kept as it came.

use std::future::poll_fn;

use bytes::BytesMut;
use proxy_common::client_hello::{ClientHello, NoHello, Reassembly, Step};

use crate::l7::refuse::Alert;
use crate::net::buffers;
use crate::net::defer::{Acknowledge, acknowledge};
use crate::net::stream::Stream;
use crate::route::Hello;
use crate::telemetry::steering::Refused;
use crate::tls::canonical;
use crate::tls::fingerprint::{self, Over};

/// Bytes of a first flight, with the heads of its records: a ClientHello has 64 KiB at most, and nobody cuts it into
/// pieces of a few bytes.
const MOST: usize = 96 << 10;

/// What a first flight says.
#[derive(Debug)]
pub(in crate::l7) struct Flight {
    /// The host that the client names, canonical; empty: none.
    pub(in crate::l7) sni: Box<str>,
    /// What routes see of it.
    pub(in crate::l7) hello: Hello,
    /// It wants to see a proof for a CA, and nothing else (RFC 8737).
    pub(super) proof: bool,
}

/// Why there is no first flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoFlight {
    pub(super) why: Refused,
    /// What a client is told that speaks TLS; none: this one does not, or is not there.
    pub(super) alert: Option<Alert>,
}

/// Reads a first flight. `read` is what was read so far, and then all there is: it is looked at, and stays.
pub(super) async fn read<S: Stream>(
    stream: &mut S,
    read: &mut BytesMut,
    wants_ja4: bool,
) -> Result<Flight, NoFlight> {
    let closed = NoFlight { why: Refused::Closed, alert: None };
    let mut reassembly = Reassembly::default();
    let mut message = Vec::new();
    let mut seen = 0;
    loop {
        if seen < read.len() {
            match reassembly.push(&read[seen..], |some| message.extend_from_slice(some)) {
                Step::Done(_) => break,
                Step::Refused(why) => return Err(no_flight(why)),
                Step::NeedMore => {
                    seen = read.len();
                    goes_on(stream);
                }
            }
        }
        if read.len() > MOST {
            return Err(NoFlight { why: Refused::TooLong, alert: Some(Alert::DecodeError) });
        }
        poll_fn(|context| stream.poll_readable(context)).await.map_err(|_| closed)?;
        buffers::room(read);
        match poll_fn(|context| stream.poll_read(context, read)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => {
                buffers::give_if_empty(read);
                return Err(closed);
            }
        }
    }
    Flight::of(&message, wants_ja4, Over::Tcp).map_err(no_flight)
}

/// Whoever sends the rest only when the first bytes are acknowledged (Nagle, RFC 9293 §3.7.4) does not wait for an answer,
/// which would be 40 ms.
fn goes_on<S: Stream>(stream: &S) {
    if let Some(socket) = stream.socket()
        && let Err(error) = acknowledge(socket, Acknowledge::AtOnce)
    {
        tracing::debug!("the rest of a ClientHello may be late: {error}");
    }
}

impl Flight {
    /// Of a ClientHello.
    pub(in crate::l7) fn of(message: &[u8], wants_ja4: bool, over: Over) -> Result<Self, NoHello> {
        let hello = ClientHello::read(message)?;
        let ja4 = wants_ja4.then(|| fingerprint::ja4(&hello, over));
        Ok(Self {
            sni: name(&hello),
            proof: hello.alpn().eq([&b"acme-tls/1"[..]]),
            hello: Hello::of(&hello, ja4),
        })
    }
}

/// The name as routes and certificates have it. An ECH ClientHello names the public name of its outer one here.
fn name(hello: &ClientHello<'_>) -> Box<str> {
    let lower: String =
        hello.server_name().into_iter().flat_map(|name| name.lower()).map(char::from).collect();
    canonical(&lower).into()
}

fn no_flight(why: NoHello) -> NoFlight {
    let (why, alert) = match why {
        NoHello::NotTls | NoHello::ContentType(_) => (Refused::NotTls, None),
        NoHello::Alert => (Refused::Closed, None),
        NoHello::TooLong(_) | NoHello::RecordTooLong(_) => (Refused::TooLong, Some(Alert::DecodeError)),
        _ => (Refused::Malformed, Some(Alert::DecodeError)),
    };
    NoFlight { why, alert }
}
