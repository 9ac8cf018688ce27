//! Addresses of this host, as rtnetlink tells of them.

use std::io;
use std::net::IpAddr;

use super::netlink::{Message, Socket, flag, kind};
use super::route::ip;

/// `RTM_GETADDR`
const GET_ADDRESS: u16 = 22;
/// `RT_SCOPE_LINK`: addresses of one link alone, and of the host alone, are from here on.
const SCOPE_LINK: u8 = 253;

/// The addresses that others can reach: of all devices, but for those of one link or of the host alone.
pub fn reachable(socket: &mut Socket) -> io::Result<Vec<IpAddr>> {
    let answers = socket.request(GET_ADDRESS, flag::DUMP, &[0; 8])?;
    let mut addresses: Vec<IpAddr> =
        answers.iter().filter(|message| message.kind == kind::NEW_ADDRESS).filter_map(address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// The address that a message tells of. On a link between two `IFA_LOCAL` is ours, `IFA_ADDRESS` the other's.
fn address(message: &Message) -> Option<IpAddr> {
    const ADDRESS: u16 = 1;
    const LOCAL: u16 = 2;
    let (head, attributes) = message.split(8)?;
    let (mut ours, mut theirs) = (None, None);
    for (kind, value) in attributes {
        match kind {
            LOCAL => ours = ip(value),
            ADDRESS => theirs = ip(value),
            _ => {}
        }
    }
    (head[3] < SCOPE_LINK).then_some(ours.or(theirs)).flatten()
}
