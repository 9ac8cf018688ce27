//! The driver that stands on epoll, by tokio: TCP and Unix sockets.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net as unix;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite, Interest};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};

use super::defer::{Acknowledge, acknowledge};
use super::pipe::Pipe;
use super::stream::{Driver, Stream, Target};

/// epoll.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epoll;

/// A socket that waits for clients.
#[derive(Debug)]
pub enum EpollListener {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A connection.
#[derive(Debug)]
pub enum EpollStream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

/// A connection that belongs to no thread: it can be lent from one worker to another.
#[derive(Debug)]
pub enum Detached {
    /// TCP.
    Tcp(net::TcpStream),
    /// A Unix socket.
    Unix(unix::UnixStream),
}

impl EpollListener {
    /// Waits on a TCP socket. Its connections inherit that small writes are sent at once.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn tcp(socket: net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        socket2::SockRef::from(&socket).set_tcp_nodelay(true)?;
        TcpListener::from_std(socket).map(Self::Tcp)
    }

    /// Waits on a Unix socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn unix(socket: unix::UnixListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        UnixListener::from_std(socket).map(Self::Unix)
    }
}

impl Driver for Epoll {
    type Listener = EpollListener;
    type Stream = EpollStream;

    fn poll_accept(
        &self,
        listener: &EpollListener,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<(EpollStream, Option<SocketAddr>)>> {
        match listener {
            EpollListener::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(context))?;
                Poll::Ready(Ok((EpollStream::Tcp(stream), Some(peer))))
            }
            EpollListener::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(context))?;
                Poll::Ready(Ok((EpollStream::Unix(stream), None)))
            }
        }
    }

    async fn connect(&self, target: &Target) -> io::Result<EpollStream> {
        match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(EpollStream::Tcp(stream))
            }
            Target::Unix(path) => UnixStream::connect(path).await.map(EpollStream::Unix),
            // Nothing is connected to there.
            Target::Udp(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl EpollStream {
    /// Takes it from this thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn detach(self) -> io::Result<Detached> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Detached::Tcp),
            Self::Unix(stream) => stream.into_std().map(Detached::Unix),
        }
    }

    /// Gives it to this thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn attach(detached: Detached) -> io::Result<Self> {
        match detached {
            Detached::Tcp(stream) => TcpStream::from_std(stream).map(Self::Tcp),
            Detached::Unix(stream) => UnixStream::from_std(stream).map(Self::Unix),
        }
    }

    /// Both ends' addresses: the peer's, then ours. A Unix socket has none.
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => Some((stream.peer_addr().ok()?, stream.local_addr().ok()?)),
            Self::Unix(_) => None,
        }
    }

    fn try_read_one(&self) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(&mut [0]),
            Self::Unix(stream) => stream.try_read(&mut [0]),
        }
    }
}

impl Stream for EpollStream {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        // What is not full was all there was: tokio then waits for the next edge, and does not read again.
        match self {
            Self::Tcp(stream) => pin!(stream.read_buf(into)).poll(context),
            Self::Unix(stream) => pin!(stream.read_buf(into)).poll(context),
        }
    }

    fn poll_write(&mut self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match (self, from) {
            (Self::Tcp(stream), [one]) => Pin::new(stream).poll_write(context, one),
            (Self::Tcp(stream), many) => Pin::new(stream).poll_write_vectored(context, many),
            (Self::Unix(stream), [one]) => Pin::new(stream).poll_write(context, one),
            (Self::Unix(stream), many) => Pin::new(stream).poll_write_vectored(context, many),
        }
    }

    fn poll_flush(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn reset_at_end(&mut self) {
        // No time to linger: what closes the socket resets the connection (tcp(7), RFC 9293 §3.10.4 ABORT).
        if let Self::Tcp(stream) = self
            && let Err(error) = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO))
        {
            tracing::debug!("a connection is closed, not reset: {error}");
        }
    }

    fn poll_fill(&mut self, context: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let Self::Tcp(stream) = self else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        loop {
            ready!(stream.poll_read_ready(context))?;
            match stream.try_io(Interest::READABLE, || pipe.fill(&*stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_drain(&mut self, context: &mut Context<'_>, pipe: &mut Pipe) -> Poll<io::Result<usize>> {
        let Self::Tcp(stream) = self else { return Poll::Ready(Err(io::ErrorKind::Unsupported.into())) };
        loop {
            ready!(stream.poll_write_ready(context))?;
            match stream.try_io(Interest::WRITABLE, || pipe.drain(&*stream)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn can_splice(&self) -> bool {
        matches!(self, Self::Tcp(_))
    }

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Tcp(stream) => Some(stream.as_fd()),
            Self::Unix(_) => None,
        }
    }

    fn is_broken(&self) -> bool {
        let error = match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
        };
        !matches!(error, Ok(None))
    }

    fn is_quiet(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        match self.poll_readable(&mut context) {
            Poll::Pending => true,
            // Readiness may be left over from a read that filled its buffer: then a read says so.
            Poll::Ready(_) => {
                matches!(self.try_read_one(), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
        }
    }
}

impl Epoll {
    /// A new connection by TCP, from a socket that `prepare` has seen before. The SYN-ACK and what comes first are acknowledged
    /// with what is sent next: there is something to say at once.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn connect_prepared(
        &self,
        address: SocketAddr,
        prepare: impl FnOnce(BorrowedFd<'_>),
    ) -> io::Result<EpollStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        acknowledge(socket.as_fd(), Acknowledge::WithTheNext)?;
        prepare(socket.as_fd());
        socket.connect(address).await.map(EpollStream::Tcp)
    }

    /// The next client.
    ///
    /// # Errors
    /// What the kernel says.
    pub async fn accept(&self, listener: &EpollListener) -> io::Result<(EpollStream, Option<SocketAddr>)> {
        poll_fn(|context| self.poll_accept(listener, context)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pair() -> (EpollStream, EpollStream) {
        let socket = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::Tcp(socket.local_addr().unwrap());
        let listener = EpollListener::tcp(socket).unwrap();
        let client = Epoll.connect(&target).await.unwrap();
        let (server, peer) = Epoll.accept(&listener).await.unwrap();
        assert_eq!(peer, client.addresses().map(|(_, ours)| ours));
        (client, server)
    }

    async fn read(stream: &mut EpollStream) -> BytesMut {
        let mut into = BytesMut::with_capacity(100);
        poll_fn(|context| stream.poll_read(context, &mut into)).await.unwrap();
        into
    }

    async fn write(stream: &mut EpollStream, parts: &[&[u8]]) {
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        poll_fn(|context| stream.poll_write(context, &slices)).await.unwrap();
    }

    #[tokio::test]
    async fn bytes_go_both_ways_and_small_writes_are_not_held_back() {
        let (mut client, mut server) = pair().await;
        let EpollStream::Tcp(tcp) = &server else { panic!("tcp") };
        assert!(tcp.nodelay().unwrap());
        write(&mut client, &[b"ab", b"cd"]).await;
        assert_eq!(&read(&mut server).await[..], b"abcd");
        write(&mut server, &[b"ef"]).await;
        assert_eq!(&read(&mut client).await[..], b"ef");
    }

    #[tokio::test]
    async fn a_connection_is_quiet_until_the_peer_says_something_or_goes() {
        let (mut client, mut server) = pair().await;
        assert!(client.is_quiet());
        write(&mut server, &[b"x"]).await;
        poll_fn(|context| client.poll_readable(context)).await.unwrap();
        assert!(!client.is_quiet());
        drop(client);
        poll_fn(|context| server.poll_readable(context)).await.unwrap();
        assert!(!server.is_quiet());
    }

    #[tokio::test]
    async fn a_connection_can_be_used_by_another_thread() {
        let (mut client, server) = pair().await;
        let server = server.detach().unwrap();
        let other = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut server = EpollStream::attach(server).unwrap();
                write(&mut server, &[b"lent"]).await;
            });
        });
        assert_eq!(&read(&mut client).await[..], b"lent");
        other.join().unwrap();
    }
}
