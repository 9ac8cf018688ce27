//! Neighbours: addresses on a link, and the link-layer addresses behind them.

use std::io;
use std::net::IpAddr;

use super::netlink::{Message, Socket, attribute, flag, kind, number};
use super::route::{ip, ip_bytes};

/// An entry of the neighbour table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// The device it is behind.
    pub ifindex: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its link-layer address, if it is known.
    pub mac: Option<Vec<u8>>,
    /// `NUD_…` of linux/neighbour.h.
    pub state: u16,
    /// Whether the kernel keeps it resolved of itself.
    pub managed: bool,
}

const NUD_FAILED: u16 = 0x20;
/// The states in which a neighbour's link-layer address may be used.
const NUD_VALID: u16 = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80;
const NTF_EXT_MANAGED: u32 = 1;
const NTF_USE: u8 = 1;
const NDA_FLAGS_EXT: u16 = 15;

impl Neighbour {
    /// Whether packets can be sent to it now.
    pub fn is_resolved(&self) -> bool {
        self.state & NUD_VALID != 0 && self.mac.is_some()
    }

    /// Whether nobody answered for its address.
    pub const fn has_failed(&self) -> bool {
        self.state & NUD_FAILED != 0
    }

    /// Reads an announcement or an answer about a neighbour.
    pub fn parse(message: &Message) -> Option<Self> {
        let (head, attributes) = message.split(12)?;
        let (mut address, mut mac, mut managed) = (None, None, false);
        for (kind, value) in attributes {
            match kind {
                1 => address = ip(value),
                2 => mac = Some(value.to_vec()),
                NDA_FLAGS_EXT => managed = number(value)? & NTF_EXT_MANAGED != 0,
                _ => {}
            }
        }
        let state = u16::from_ne_bytes([head[8], head[9]]);
        Some(Self { ifindex: number(&head[4..])?, address: address?, mac, state, managed })
    }
}

/// All neighbours, of both families.
pub fn all(socket: &mut Socket) -> io::Result<Vec<Neighbour>> {
    let answers = socket.request(kind::GET_NEIGHBOUR, flag::DUMP, &[0; 12])?;
    Ok(answers.iter().filter(|m| m.kind == kind::NEW_NEIGHBOUR).filter_map(Neighbour::parse).collect())
}

fn message(ifindex: u32, address: IpAddr, flags: u8) -> Vec<u8> {
    let (family, bytes) = ip_bytes(address);
    let mut body = vec![0; 12];
    body[0] = family;
    body[4..8].copy_from_slice(&ifindex.to_ne_bytes());
    body[10] = flags;
    attribute(&mut body, 1, &bytes);
    body
}

/// Asks the kernel to resolve a neighbour and to keep it resolved, whether this process lives or not. Where the kernel
/// cannot (before 5.16), to resolve it now. An entry that is there already keeps its link-layer address.
pub fn keep_resolved(socket: &mut Socket, ifindex: u32, address: IpAddr) -> io::Result<()> {
    let mut body = message(ifindex, address, 0);
    attribute(&mut body, NDA_FLAGS_EXT, &NTF_EXT_MANAGED.to_ne_bytes());
    let flags = flag::ACK | flag::CREATE | flag::REPLACE;
    match socket.request(kind::NEW_NEIGHBOUR, flags, &body) {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
            socket.request(kind::NEW_NEIGHBOUR, flags, &message(ifindex, address, NTF_USE)).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Removes a neighbour's entry: the kernel makes a new one when it needs it, and lets that grow old.
pub fn remove(socket: &mut Socket, ifindex: u32, address: IpAddr) -> io::Result<()> {
    match socket.request(kind::DEL_NEIGHBOUR, flag::ACK, &message(ifindex, address, 0)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map(drop),
    }
}
