//! By which interface packets of a TCP connection come in: sockets say so of a connection that was accepted.

use std::io;
use std::os::fd::BorrowedFd;

use socket2::{Domain, SockRef};

use super::repair::{self, Level};

/// `struct cmsghdr` with `struct in_pktinfo` of linux/in.h.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Said4 {
    length: usize,
    level: libc::c_int,
    kind: libc::c_int,
    interface: u32,
    addresses: [u32; 2],
    pad: u32,
}

/// The same with `struct in6_pktinfo` of linux/ipv6.h.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Said6 {
    length: usize,
    level: libc::c_int,
    kind: libc::c_int,
    address: [u32; 4],
    interface: u32,
    pad: u32,
}

/// The interface by which the handshake of a connection came that was accepted; none: the socket does not tell.
/// (`IP_PKTOPTIONS` of net/ipv4/ip_sockglue.c.)
///
/// # Errors
/// It is no TCP socket.
pub fn accepted_by(socket: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let is_v6 = SockRef::from(&socket).domain()? == Domain::IPV6;
    let (level, wanted, kind) = if is_v6 {
        (Level::Ip6, libc::IPV6_RECVPKTINFO, libc::IPV6_PKTINFO)
    } else {
        (Level::Ip4, libc::IP_PKTINFO, libc::IP_PKTINFO)
    };
    repair::set_number(socket, level, wanted, 1)?;
    let (of_kind, interface) = if is_v6 {
        let said = repair::get_of(socket, level, libc::IPV6_2292PKTOPTIONS, Said6::default())?;
        (said.kind, said.interface)
    } else {
        let said = repair::get_of(socket, level, libc::IP_PKTOPTIONS, Said4::default())?;
        (said.kind, said.interface)
    };
    repair::set_number(socket, level, wanted, 0)?;
    Ok((of_kind == kind && interface != 0).then_some(interface))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    const LOOPBACK: u32 = 1;

    fn pair(at: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(at).unwrap();
        let client =
            TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn an_accepted_connection_tells_its_interface() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let (_client, server) = pair(at);
            assert_eq!(accepted_by(server.as_fd()).unwrap(), Some(LOOPBACK), "{at}");
        }
    }
}
