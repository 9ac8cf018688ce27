//! The way to an address, as the routing table has it.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::netlink::{Message, Socket, attribute, kind, number};

/// The way to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// The device it leaves by.
    pub ifindex: u32,
    /// The neighbour to send to; none: the address itself, it is on the link.
    pub gateway: Option<IpAddr>,
    /// Whether the address is the host's own.
    pub local: bool,
}

impl Way {
    /// The neighbour whose link-layer address is needed to send to `destination`.
    pub fn neighbour(&self, destination: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(destination)
    }

    fn parse(message: &Message) -> Option<Self> {
        let (head, attributes) = message.split(12)?;
        // RTN_LOCAL of linux/rtnetlink.h.
        let mut way = Self { ifindex: 0, gateway: None, local: head[7] == 2 };
        for (kind, value) in attributes {
            match kind {
                4 => way.ifindex = number(value)?,
                5 => way.gateway = ip(value),
                // An IPv4 route through an IPv6 neighbour: family, then address.
                18 => way.gateway = value.get(2..).and_then(ip),
                _ => {}
            }
        }
        (way.ifindex != 0).then_some(way)
    }
}

/// An address from its bytes.
pub fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

/// The bytes of an address, and the number of its family.
pub fn ip_bytes(address: IpAddr) -> (u8, Vec<u8>) {
    match address {
        IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    }
}

/// Asks for the way to an address.
pub fn to(socket: &mut Socket, destination: IpAddr) -> io::Result<Way> {
    let (family, bytes) = ip_bytes(destination);
    let mut body = vec![0; 12];
    body[0] = family;
    body[1] = (bytes.len() * 8) as u8;
    attribute(&mut body, 1, &bytes);
    let answers = socket.request(kind::GET_ROUTE, 0, &body)?;
    answers.first().and_then(Way::parse).ok_or_else(|| io::ErrorKind::NetworkUnreachable.into())
}

/// The source address that the host would use towards an address.
pub fn source_towards(destination: IpAddr) -> io::Result<IpAddr> {
    let any = match destination {
        IpAddr::V4(_) => IpAddr::from([0u8; 4]),
        IpAddr::V6(_) => IpAddr::from([0u8; 16]),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    // Connecting a datagram socket sends nothing: it looks the route up.
    socket.connect(SocketAddr::new(destination, 9))?;
    Ok(socket.local_addr()?.ip())
}
