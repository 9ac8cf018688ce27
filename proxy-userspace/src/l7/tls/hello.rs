//! What a client says first.

use std::future::poll_fn;

use bytes::{Buf, BytesMut};
use proxy_common::client_hello::{ClientHello, Reassembly, Step};
use rustls::server::{Accepted, Acceptor};

use super::failed::Failed;
use crate::net::buffers;
use crate::net::stream::Stream;
use crate::net::tls::Fault;
use crate::tls::fingerprint::{self, Over};

/// What a client says first.
pub(super) struct Hello {
    /// As rustls understands it.
    pub(super) accepted: Accepted,
    /// What kind of client says so, if somebody wants to know. None, too: it is not to be told.
    pub(super) ja4: Option<Box<str>>,
}

impl Hello {
    /// Reads it. rustls bounds it (64 KiB, however many records it comes in), and is its only judge: no fingerprint is no
    /// reason to refuse anybody.
    pub(super) async fn read<S: Stream>(
        stream: &mut S,
        read: &mut BytesMut,
        wants_ja4: bool,
    ) -> Result<Self, Failed> {
        let mut acceptor = Acceptor::default();
        let mut kept = wants_ja4.then(Kept::default);
        let mut first = true;
        loop {
            while !read.is_empty() {
                // A method. TLS begins with 22, the type of a handshake's records (RFC 8446 §5.1).
                if std::mem::take(&mut first) && read[0].is_ascii_uppercase() {
                    return Err(Failed::plain_http());
                }
                let mut some = &read[..];
                acceptor.read_tls(&mut some)?;
                let taken = read.len() - some.len();
                if let Some(kept) = &mut kept {
                    kept.push(&read[..taken]);
                }
                read.advance(taken);
                match acceptor.accept() {
                    Ok(Some(accepted)) => {
                        buffers::give_if_empty(read);
                        return Ok(Self { accepted, ja4: kept.and_then(Kept::ja4) });
                    }
                    Ok(None) => {}
                    Err((error, alert)) => return Err(Failed::with_alert(&error, alert)),
                }
            }
            buffers::give_if_empty(read);
            poll_fn(|context| stream.poll_readable(context)).await?;
            buffers::room(read);
            if poll_fn(|context| stream.poll_read(context, read)).await? == 0 {
                return Err(Fault::Closed.into());
            }
        }
    }
}

/// A copy of what rustls was given, which does not show what it was.
#[derive(Default)]
struct Kept {
    reassembly: Reassembly,
    message: Vec<u8>,
    whole: bool,
}

impl Kept {
    fn push(&mut self, piece: &[u8]) {
        let Self { reassembly, message, whole } = self;
        // What is refused ends without a fingerprint.
        *whole = matches!(reassembly.push(piece, |some| message.extend_from_slice(some)), Step::Done(_));
    }

    fn ja4(self) -> Option<Box<str>> {
        let message = self.whole.then_some(&self.message[..])?;
        match ClientHello::read(message) {
            Ok(hello) => Some(fingerprint::ja4(&hello, Over::Tcp)),
            Err(why) => {
                tracing::debug!("no fingerprint: {why}");
                None
            }
        }
    }
}
