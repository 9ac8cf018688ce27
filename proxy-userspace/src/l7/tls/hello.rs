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
    /// What kind of client says so, if somebody wants to know.
    pub(super) ja4: Option<Box<str>>,
}

impl Hello {
    /// Reads it. rustls bounds it (64 KiB, however many records it comes in), and is its judge; its only one, where nobody
    /// wants to know what kind of client it is. Else who cannot be told is refused: rustls reads what no client means
    /// well by, such as records that are longer than they may be (RFC 8446 §5.1), and nobody gets past a rule so.
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
                        let ja4 = kept.map(Kept::ja4).transpose()?;
                        return Ok(Self { accepted, ja4 });
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

    fn ja4(self) -> Result<Box<str>, Failed> {
        if !self.whole {
            return Err(Failed::illegible("its ClientHello is not in records as they may be"));
        }
        match ClientHello::read(&self.message) {
            Ok(hello) => Ok(fingerprint::ja4(&hello, Over::Tcp)),
            Err(why) => Err(Failed::illegible(why.to_string())),
        }
    }
}
