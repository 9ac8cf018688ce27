//! A connection to a backend, in clear or by TLS.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll};

use bytes::BytesMut;

use super::spoken::Spoken;
use crate::net::epoll::{Detached, EpollStream};
use crate::net::pipe::Pipe;
use crate::net::stream::Stream;
use crate::net::tls::TlsStream;

/// A connection to a backend.
#[derive(Debug)]
pub enum BackendStream {
    /// In clear.
    Clear(EpollStream),
    /// By TLS, whose handshake is over.
    Tls(Box<TlsStream<EpollStream>>),
}

/// A connection that belongs to no thread: it can be lent from one worker to another.
#[derive(Debug)]
pub enum DetachedStream {
    /// In clear.
    Clear(Detached),
    /// By TLS.
    Tls(Box<TlsStream<Detached>>),
}

impl BackendStream {
    /// What was agreed on: HTTP/2 if the backend chose it, else HTTP/1.1.
    pub fn spoken(&self) -> Spoken {
        match self {
            Self::Tls(stream) if stream.alpn() == Some(b"h2") => Spoken::Http2,
            _ => Spoken::Http1,
        }
    }

    /// Takes it from this thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn detach(self) -> io::Result<DetachedStream> {
        match self {
            Self::Clear(stream) => stream.detach().map(DetachedStream::Clear),
            Self::Tls(stream) => {
                stream.try_map(EpollStream::detach).map(|stream| DetachedStream::Tls(Box::new(stream)))
            }
        }
    }

    /// Gives it to this thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn attach(detached: DetachedStream) -> io::Result<Self> {
        match detached {
            DetachedStream::Clear(stream) => EpollStream::attach(stream).map(Self::Clear),
            DetachedStream::Tls(stream) => {
                stream.try_map(EpollStream::attach).map(|stream| Self::Tls(Box::new(stream)))
            }
        }
    }
}

impl Stream for BackendStream {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(stream) => stream.poll_readable(context),
            Self::Tls(stream) => stream.poll_readable(context),
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(stream) => stream.poll_read(context, into),
            Self::Tls(stream) => stream.poll_read(context, into),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(stream) => stream.poll_write(context, from),
            Self::Tls(stream) => stream.poll_write(context, from),
        }
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(stream) => stream.poll_flush(context),
            Self::Tls(stream) => stream.poll_flush(context),
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(stream) => stream.poll_shutdown(context),
            Self::Tls(stream) => stream.poll_shutdown(context),
        }
    }

    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(stream) => stream.poll_farewell(context),
            Self::Tls(stream) => stream.poll_farewell(context),
        }
    }

    fn reset_at_end(&mut self) {
        match self {
            Self::Clear(stream) => stream.reset_at_end(),
            Self::Tls(stream) => stream.reset_at_end(),
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(stream) => stream.poll_fill(context, pipe),
            Self::Tls(stream) => stream.poll_fill(context, pipe),
        }
    }

    fn poll_drain(&mut self, context: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(stream) => stream.poll_drain(context, pipe),
            Self::Tls(stream) => stream.poll_drain(context, pipe),
        }
    }

    fn can_splice(&self) -> bool {
        match self {
            Self::Clear(stream) => stream.can_splice(),
            Self::Tls(stream) => stream.can_splice(),
        }
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Clear(stream) => stream.socket(),
            Self::Tls(stream) => stream.socket(),
        }
    }

    fn is_broken(&self) -> bool {
        match self {
            Self::Clear(stream) => stream.is_broken(),
            Self::Tls(stream) => stream.is_broken(),
        }
    }

    fn is_quiet(&mut self) -> bool {
        match self {
            Self::Clear(stream) => stream.is_quiet(),
            Self::Tls(stream) => stream.is_quiet(),
        }
    }
}
