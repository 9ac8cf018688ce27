//! rtnetlink and sock_diag, as far as we need them: requests and their answers, and announcements (rtnetlink(7),
//! sock_diag(7), netlink(7)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink as family, recv,
    sendto, socket_with,
};

/// Message types (linux/rtnetlink.h).
pub mod kind {
    /// A device is there, or changed.
    pub const NEW_LINK: u16 = 16;
    /// A device is gone.
    pub const DEL_LINK: u16 = 17;
    /// Asks for devices.
    pub const GET_LINK: u16 = 18;
    /// A route is there, or changed.
    pub const NEW_ROUTE: u16 = 24;
    /// A route is gone.
    pub const DEL_ROUTE: u16 = 25;
    /// Asks for the way to an address.
    pub const GET_ROUTE: u16 = 26;
    /// An address of the host is there.
    pub const NEW_ADDRESS: u16 = 20;
    /// An address of the host is gone.
    pub const DEL_ADDRESS: u16 = 21;
    /// A rule of policy routing is there.
    pub const NEW_RULE: u16 = 32;
    /// A rule of policy routing is gone.
    pub const DEL_RULE: u16 = 33;
    /// A neighbour is there, or changed.
    pub const NEW_NEIGHBOUR: u16 = 28;
    /// A neighbour is gone.
    pub const DEL_NEIGHBOUR: u16 = 29;
    /// Asks for neighbours.
    pub const GET_NEIGHBOUR: u16 = 30;
    /// Asks for sockets, and each of them (linux/sock_diag.h).
    pub const SOCKETS: u16 = 20;
}

/// Flags of a request.
pub mod flag {
    /// It is one.
    pub const REQUEST: u16 = 1;
    /// Answer even if there is nothing to say.
    pub const ACK: u16 = 4;
    /// All of them.
    pub const DUMP: u16 = 0x300;
    /// Replace what is there.
    pub const REPLACE: u16 = 0x100;
    /// Make it if it is not there.
    pub const CREATE: u16 = 0x400;
}

/// Announcements to subscribe to, as bits: devices, neighbours, addresses, routes and rules of both families.
pub const ANNOUNCEMENTS: u32 = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 18;

const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;
/// More than any datagram the kernel makes unless asked for more.
const BUFFER: usize = 1 << 16;

/// A message, without its header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Its type: [`kind`].
    pub kind: u16,
    /// A fixed part that depends on the type, then attributes.
    pub payload: Vec<u8>,
}

impl Message {
    /// The fixed part and the attributes behind it; none if it is too short.
    pub fn split(&self, fixed: usize) -> Option<(&[u8], Attributes<'_>)> {
        let (head, rest) = self.payload.split_at_checked(fixed)?;
        Some((head, Attributes(rest)))
    }
}

/// A walk over attributes: type and value.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16::from_ne_bytes(self.0.get(..2)?.try_into().ok()?));
        // The two upper bits say "nested" and "in network order".
        let kind = u16::from_ne_bytes(self.0.get(2..4)?.try_into().ok()?) & 0x3fff;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// Appends an attribute to a message that is being made.
pub fn attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
    to.extend_from_slice(&kind.to_ne_bytes());
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// A number of the machine's byte order, from an attribute.
pub fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.get(..4)?.try_into().ok()?))
}

/// A socket to the kernel's routing part, or to what knows its sockets, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
}

impl Socket {
    /// Opens one for requests.
    pub fn open() -> io::Result<Self> {
        Self::subscribed(0)
    }

    /// Opens one that hears of `groups`.
    pub fn subscribed(groups: u32) -> io::Result<Self> {
        // NETLINK_ROUTE, which is 0.
        Self::to(None, groups)
    }

    /// Opens one that tells of sockets.
    pub fn of_sockets() -> io::Result<Self> {
        Self::to(Some(family::SOCK_DIAG), 0)
    }

    fn to(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        bind(&fd, &family::SocketAddrNetlink::new(0, groups))?;
        Ok(Self { fd, sequence: 0 })
    }

    /// Sends a request and collects what comes back: nothing but an acknowledgement, one message, or all of a dump.
    pub fn request(&mut self, kind: u16, flags: u16, body: &[u8]) -> io::Result<Vec<Message>> {
        self.sequence += 1;
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend_from_slice(&((HEADER + body.len()) as u32).to_ne_bytes());
        message.extend_from_slice(&kind.to_ne_bytes());
        message.extend_from_slice(&(flags | flag::REQUEST).to_ne_bytes());
        message.extend_from_slice(&self.sequence.to_ne_bytes());
        message.extend_from_slice(&0u32.to_ne_bytes());
        message.extend_from_slice(body);
        sendto(&self.fd, &message, SendFlags::empty(), &family::SocketAddrNetlink::new(0, 0))?;
        let mut answers = Vec::new();
        loop {
            let (messages, end) = self.receive_for(Some(self.sequence), RecvFlags::empty())?;
            let got = !messages.is_empty();
            answers.extend(messages);
            if end || (got && flags & (flag::DUMP | flag::ACK) == 0) {
                return Ok(answers);
            }
        }
    }

    /// Announcements that have come; none: there are no more.
    pub fn announced(&self) -> io::Result<Option<Vec<Message>>> {
        match self.receive_for(None, RecvFlags::DONTWAIT) {
            Ok((messages, _)) => Ok(Some(messages)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// One datagram's messages, and whether it ends an answer.
    fn receive_for(&self, sequence: Option<u32>, flags: RecvFlags) -> io::Result<(Vec<Message>, bool)> {
        let mut buffer = vec![0u8; BUFFER];
        let (got, _) = recv(&self.fd, &mut buffer[..], flags)?;
        buffer.truncate(got);
        let (mut messages, mut rest) = (Vec::new(), &buffer[..]);
        while let Some((kind, number, payload, next)) = parse(rest) {
            rest = next;
            if sequence.is_some_and(|wanted| wanted != number) {
                continue;
            }
            match kind {
                DONE => return Ok((messages, true)),
                ERROR => return errno(payload).map(|()| (messages, true)),
                kind => messages.push(Message { kind, payload: payload.to_vec() }),
            }
        }
        Ok((messages, false))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Type, sequence number and payload of the first message, and what follows it.
fn parse(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = number(bytes)? as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let payload = bytes.get(HEADER..length)?;
    Some((
        kind,
        number(bytes.get(8..)?)?,
        payload,
        bytes.get(length.next_multiple_of(4)..).unwrap_or_default(),
    ))
}

/// What an error message says; 0 is an acknowledgement.
fn errno(payload: &[u8]) -> io::Result<()> {
    match number(payload).map_or(-libc::EBADMSG, |code| code as i32) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_are_written() {
        let mut bytes = Vec::new();
        attribute(&mut bytes, 3, b"eth0\0");
        attribute(&mut bytes, 4, &1500u32.to_ne_bytes());
        let read: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (4, &1500u32.to_ne_bytes()[..])]);
    }

    #[test]
    fn attributes_that_end_early_are_not_read() {
        for bytes in [&[8, 0, 1][..], &[3, 0, 1, 0], &[9, 0, 1, 0, 1, 2, 3, 4], &[]] {
            assert_eq!(Attributes(bytes).count(), 0, "{bytes:?}");
        }
    }
}
