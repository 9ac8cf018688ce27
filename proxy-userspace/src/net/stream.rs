//! The seam between protocols and the way bytes move: what speaks HTTP, and what copies, knows these traits alone.
//! Behind them stands epoll (tokio) today.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::task::{Context, Poll};

use bytes::BytesMut;

use super::pipe::Pipe;

/// A connection, as a protocol sees it. Used by one task of one thread.
pub trait Stream: fmt::Debug + 'static {
    /// Whether there may be something to read; it need not be.
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads into the spare capacity of `into`, which there must be, and gives the number of bytes; 0: the peer has
    /// ended its side.
    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// Writes some of these, in order, and gives the number of bytes. Never 0 for something.
    fn poll_write(&mut self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Sends what is buffered. A socket buffers nothing.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends our side; the peer's stays.
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Tells the peer that our side ends, where there is a word for it: before a connection is closed of which it has
    /// got all it was to get. A socket has none.
    fn poll_farewell(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// When this is dropped, the peer is told by a reset, and what is on its way is lost.
    fn reset_at_end(&mut self) {}

    /// Moves what there is to read into a pipe, without looking at it; 0: the peer has ended its side. Only where
    /// [`Stream::can_splice`] says so.
    fn poll_fill(&mut self, _context: &mut Context<'_>, _pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Sends what a pipe holds. Likewise.
    fn poll_drain(&mut self, _context: &mut Context<'_>, _pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }

    /// Whether bytes can go by a pipe: what is read is what was sent.
    fn can_splice(&self) -> bool {
        false
    }

    /// The socket, if bytes on it are what peers mean.
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Whether the peer has reset the connection, though nobody reads from it.
    fn is_broken(&self) -> bool {
        false
    }

    /// Whether a connection that nobody uses may still be used: it was neither closed nor sent anything, as far as
    /// is known without a system call.
    fn is_quiet(&mut self) -> bool;
}

/// Where a connection goes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Target {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// UDP: where clients send datagrams to.
    Udp(SocketAddr),
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(address) => write!(f, "{address} (udp)"),
        }
    }
}

/// How connections come about, and how bytes move between two of them without a protocol. One for each thread.
pub trait Driver: Clone + fmt::Debug + 'static {
    /// A socket that waits for clients.
    type Listener: fmt::Debug + 'static;
    /// A connection.
    type Stream: Stream;

    /// The next client, and where it is; none for a Unix socket.
    fn poll_accept(
        &self,
        listener: &Self::Listener,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(Self::Stream, Option<SocketAddr>)>>;

    /// A new connection.
    fn connect(&self, target: &Target) -> impl Future<Output = io::Result<Self::Stream>>;
}
