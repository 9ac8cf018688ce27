//! Packets that need not be: a listening socket that makes no socket of a client before it says something, and
//! acknowledgments that wait for what is to be said anyhow.
#![expect(unsafe_code, reason = "setsockopt(2) takes the address of memory")]

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

/// Waits so long for a client's first bytes (`TCP_DEFER_ACCEPT` of tcp(7)); zero: not at all.
///
/// # Errors
/// It is no TCP socket.
pub fn defer_accept(socket: BorrowedFd<'_>, lasts: Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(lasts.as_secs()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the kernel reads as many bytes as it is told, which live for the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that come are acknowledged with the next ones that are sent, or within 40 ms, not at once (`TCP_QUICKACK` of
/// tcp(7), off). Of a listening socket: on each connection that is accepted from then on. Of a socket that is to be connected:
/// the SYN-ACK, too.
///
/// # Errors
/// It is no TCP socket.
pub fn acknowledge(socket: BorrowedFd<'_>, when: Acknowledge) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_tcp_quickack(socket, when == Acknowledge::AtOnce)?)
}

/// When bytes that come are acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acknowledge {
    /// With a packet of its own for the first ones of a connection.
    AtOnce,
    /// With what is said next.
    WithTheNext,
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;

    use super::*;

    #[test]
    fn nobody_is_taken_before_the_first_byte() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        defer_accept(listener.as_fd(), Duration::from_secs(3600)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = listener.local_addr().unwrap();
        let mut client = TcpStream::connect_timeout(&at, Duration::from_secs(60)).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        client.write_all(b"x").unwrap();
        listener.set_nonblocking(false).unwrap();
        assert_eq!(listener.accept().unwrap().1, client.local_addr().unwrap());
    }

    #[test]
    fn those_who_are_accepted_acknowledge_as_the_listening_socket_was_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (when, quick) in [(Acknowledge::WithTheNext, false), (Acknowledge::AtOnce, true)] {
            acknowledge(listener.as_fd(), when).unwrap();
            let _client =
                TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_secs(60)).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(rustix::net::sockopt::tcp_quickack(&accepted).unwrap(), quick);
        }
    }

    #[test]
    fn what_is_no_tcp_socket_is_an_error() {
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(defer_accept(socket.as_fd(), Duration::ZERO).is_err());
    }
}
