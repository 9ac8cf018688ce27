//! Who has a connection to a port of this host.

use std::io;
use std::net::IpAddr;

use super::netlink::{Message, Socket, flag, kind};
use super::route::ip;

/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `TCP_ESTABLISHED`, as the bit of a set of states.
const ESTABLISHED: u32 = 1 << 1;
/// `struct inet_diag_req_v2`, and `struct inet_diag_msg` (linux/inet_diag.h).
const REQUEST: usize = 56;
const ANSWER: usize = 72;
/// Where a request has the local port, and an answer the address of the far side.
const PORT: usize = 8;
const FAR: usize = 24;

/// The addresses of all that have a connection to this port, of both families. The kernel looks through its table: a
/// fraction of a millisecond, where writing it out as text (`/proc/net/tcp`) takes some for an empty one.
pub fn to_port(socket: &mut Socket, port: u16) -> io::Result<Vec<IpAddr>> {
    let mut all = Vec::new();
    for family in [libc::AF_INET, libc::AF_INET6] {
        let answers = socket.request(kind::SOCKETS, flag::DUMP, &request(family as u8, port))?;
        all.extend(answers.iter().filter_map(far));
    }
    Ok(all)
}

fn request(family: u8, port: u16) -> [u8; REQUEST] {
    let mut body = [0; REQUEST];
    body[..2].copy_from_slice(&[family, TCP]);
    body[4..8].copy_from_slice(&ESTABLISHED.to_ne_bytes());
    body[PORT..PORT + 2].copy_from_slice(&port.to_be_bytes());
    body
}

/// The far side's address.
fn far(message: &Message) -> Option<IpAddr> {
    let (head, _) = message.split(ANSWER)?;
    let length = if i32::from(head[0]) == libc::AF_INET { 4 } else { 16 };
    ip(&head[FAR..FAR + length]).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    #[test]
    fn whoever_has_a_connection_to_a_port_is_found() {
        for (any, from) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1")] {
            let listener = TcpListener::bind(any).unwrap();
            let port = listener.local_addr().unwrap().port();
            let from: IpAddr = from.parse().unwrap();
            let mut socket = Socket::of_sockets().unwrap();
            assert!(to_port(&mut socket, port).unwrap().is_empty(), "{any}");
            let _client =
                TcpStream::connect_timeout(&SocketAddr::new(from, port), Duration::from_secs(5)).unwrap();
            let _accepted = listener.accept().unwrap();
            assert_eq!(to_port(&mut socket, port).unwrap(), [from], "{any}");
        }
    }
}
