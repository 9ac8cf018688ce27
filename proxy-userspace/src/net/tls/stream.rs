//! A connection by TLS, as a stream of plain bytes: with clients and with backends.
//!
//! What is read is decrypted in place and copied once; what is written in one piece is encrypted into records and goes
//! to the socket in one piece. Messages of TLS itself (session tickets, the last flight of a handshake, answers to key
//! updates) wait for the next write, or until there is nothing to read: they cost no write of their own when an
//! answer or a request is about to follow.

use std::fmt;
use std::io::{self, BufRead, IoSlice, Write};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use rustls::{ClientConnection, Connection, ServerConnection};

use super::fault::Fault;
use crate::net::buffers;
use crate::net::stream::Stream;

/// Bytes that are taken to be sent before the socket has taken those before: a head, and the largest piece of a body
/// that is read at once.
const MOST_UNSENT: usize = (64 + 16) << 10;

/// A connection by TLS.
pub struct TlsStream<S> {
    inner: S,
    tls: Connection,
    /// Read from the socket and not yet given to TLS. Empty whenever a read waits.
    raw: BytesMut,
    /// Bytes that are decrypted and not yet taken.
    plain: usize,
    end: End,
    /// The socket takes no more for now.
    full: bool,
    /// Our side was ended.
    said_goodbye: bool,
}

/// How far the peer's side is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// It is open.
    Open,
    /// The peer has said that it sends no more (`close_notify`).
    Closed,
    /// The connection was cut, or is not one by TLS any more: what came last may be missing (RFC 8446 §6.1).
    Cut,
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.tls {
            Connection::Client(_) => "client",
            Connection::Server(_) => "server",
        };
        write!(f, "TlsStream({kind}, {:?})", self.end)
    }
}

impl<S> TlsStream<S> {
    /// A connection to a server. Nothing is to be read or written before [`TlsStream::poll_handshake`] has ended.
    pub fn client(inner: S, tls: ClientConnection) -> Self {
        Self::new(inner, Connection::Client(tls), BytesMut::new())
    }

    /// A client's connection, whose handshake goes on with `raw`, which was read already. Likewise.
    pub fn server(inner: S, tls: ServerConnection, raw: BytesMut) -> Self {
        Self::new(inner, Connection::Server(tls), raw)
    }

    fn new(inner: S, mut tls: Connection, raw: BytesMut) -> Self {
        tls.set_buffer_limit(Some(MOST_UNSENT));
        Self { inner, tls, raw, plain: 0, end: End::Open, full: false, said_goodbye: false }
    }

    /// What was agreed on.
    pub fn tls(&self) -> &Connection {
        &self.tls
    }

    /// The protocol that was agreed on (RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    /// The socket that lies below: it can be closed well, but nobody understands what is said there any more.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// The same connection, over what `change` makes of its socket.
    ///
    /// # Errors
    /// What `change` says: then the connection is gone.
    pub fn try_map<T>(self, change: impl FnOnce(S) -> io::Result<T>) -> io::Result<TlsStream<T>> {
        let Self { inner, tls, raw, plain, end, full, said_goodbye } = self;
        Ok(TlsStream { inner: change(inner)?, tls, raw, plain, end, full, said_goodbye })
    }
}

impl<S: Stream> TlsStream<S> {
    /// Goes on with the handshake until both sides can speak. What is then still to be sent waits for the first write or
    /// read.
    pub fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.tls.is_handshaking() {
            if !self.raw.is_empty() {
                self.take_in().inspect_err(|_| self.say_last(context))?;
                continue;
            }
            ready!(self.poll_send(context))?;
            ready!(self.poll_receive(context))?;
            if self.end != End::Open {
                return Poll::Ready(Err(Fault::Closed));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what TLS has to say before the connection is closed, such as an alert, as far as that can be done now.
    fn say_last(&mut self, context: &mut Context<'_>) {
        // Nobody waits for it: the connection has failed already.
        let _ = self.poll_send(context);
    }

    /// Reads from the socket, once, into `raw`.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        buffers::room(&mut self.raw);
        let Poll::Ready(result) = self.inner.poll_read(context, &mut self.raw) else {
            buffers::give_if_empty(&mut self.raw);
            return Poll::Pending;
        };
        if !matches!(result, Ok(1..)) {
            buffers::give_if_empty(&mut self.raw);
            self.end = End::Cut;
        }
        Poll::Ready(result.map(drop))
    }

    /// Gives TLS some of what was read.
    fn take_in(&mut self) -> Result<(), Fault> {
        let mut some = &self.raw[..];
        let result = self.tls.read_tls(&mut some);
        let count = self.raw.len() - some.len();
        self.raw.advance(count);
        let state = match result.map(|_| self.tls.process_new_packets()) {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => return Err(self.fail(Fault::Tls(error))),
            Err(error) => return Err(self.fail(Fault::Io(error))),
        };
        self.plain = state.plaintext_bytes_to_read();
        if state.peer_has_closed() {
            self.end = End::Closed;
            // Nothing that follows is of this connection.
            self.raw.clear();
        }
        buffers::give_if_empty(&mut self.raw);
        Ok(())
    }

    fn fail(&mut self, fault: Fault) -> Fault {
        self.end = End::Cut;
        self.raw.clear();
        buffers::give_if_empty(&mut self.raw);
        fault
    }

    /// Makes plain bytes of what comes. Pending: there are none; error: none will come.
    fn poll_plain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.plain == 0 && self.end != End::Closed {
            if !self.raw.is_empty() {
                self.take_in().inspect_err(|_| self.say_last(context))?;
                continue;
            }
            if self.end == End::Cut {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            if let Poll::Ready(result) = self.poll_receive(context) {
                result?;
                continue;
            }
            // There is time for what nobody waits for.
            return match self.poll_send(context) {
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            };
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.full = false;
        while self.tls.wants_write() {
            let mut socket = Socket { inner: &mut self.inner, context };
            match self.tls.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.full = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> Stream for TlsStream<S> {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.plain > 0 || !self.raw.is_empty() || self.end != End::Open {
            return Poll::Ready(Ok(()));
        }
        if self.tls.wants_write()
            && let Poll::Ready(Err(error)) = self.poll_send(context)
        {
            return Poll::Ready(Err(error));
        }
        self.inner.poll_readable(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        ready!(self.poll_plain(context))?;
        let mut taken = 0;
        // Records that have come together are read together.
        while self.plain > 0 && into.capacity() > into.len() {
            let mut reader = self.tls.reader();
            let chunk = reader.fill_buf()?;
            let count = chunk.len().min(into.capacity() - into.len());
            into.extend_from_slice(&chunk[..count]);
            reader.consume(count);
            self.plain -= count;
            taken += count;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // What is left of the last write goes first. What TLS itself has to say goes with this.
        if self.full {
            ready!(self.poll_send(context))?;
        }
        let count = self.tls.writer().write_vectored(from)?;
        match self.poll_send(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // It is ours now: who flushes waits for the rest.
            _ => Poll::Ready(Ok(count)),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_farewell(context))?;
        self.inner.poll_shutdown(context)
    }

    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Nobody listens any more where the connection was cut.
        if self.end != End::Cut && !std::mem::replace(&mut self.said_goodbye, true) {
            self.tls.send_close_notify();
        }
        self.poll_send(context)
    }

    fn reset_at_end(&mut self) {
        self.inner.reset_at_end();
    }

    fn is_quiet(&mut self) -> bool {
        if self.end != End::Open {
            return false;
        }
        // Session tickets may have come since: they are no reason to close a connection.
        let mut context = Context::from_waker(Waker::noop());
        self.poll_plain(&mut context).is_pending()
    }
}

/// What TLS writes to.
struct Socket<'a, 'b, S> {
    inner: &'a mut S,
    context: &'a mut Context<'b>,
}

impl<S: Stream> Write for Socket<'_, '_, S> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(from)])
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.inner.poll_write(self.context, from) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
