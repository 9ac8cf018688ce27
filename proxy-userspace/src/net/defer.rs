//! A listening socket that makes no socket of a client before it says something.
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
    fn what_is_no_tcp_socket_is_an_error() {
        let (socket, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(defer_accept(socket.as_fd(), Duration::ZERO).is_err());
    }
}
