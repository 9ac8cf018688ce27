//! What two sockets say of their connections, and what translates the segments of one into those of the other.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;

use proxy_common::splice::{Shift, Splice, clock, state};
use socket2::SockRef;

use crate::net::handoff::Kept;
use crate::net::repair::{Facts, Numbers};

/// Timestamps go on from so much later than what was sent last: what is on its way out while they are read is older.
/// (A second is 1,000 of them, or 1,000,000.)
const LATER: u32 = 1 << 18;
/// Bytes of options that go with timestamps (RFC 7323 appendix A).
const TIMESTAMPS: u16 = 12;

/// Who talks to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) service: SocketAddr,
    pub(super) source: SocketAddr,
    pub(super) backend: SocketAddr,
}

/// As its packets have it: a socket of both families says IPv4 addresses by IPv6 ones.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A connection's two addresses: ours, and the peer's.
pub(super) fn addresses(socket: BorrowedFd<'_>) -> Result<(SocketAddr, SocketAddr), Kept> {
    let socket = SockRef::from(&socket);
    let ours = socket.local_addr().ok().and_then(|address| address.as_socket());
    let theirs = socket.peer_addr().ok().and_then(|address| address.as_socket());
    // A connection that was reset has no peer any more.
    ours.zip(theirs).map(|(ours, theirs)| (plain(ours), plain(theirs))).ok_or(Kept::Closing)
}

impl Ends {
    /// Of two connections of one family.
    pub(super) fn of(client: BorrowedFd<'_>, backend: BorrowedFd<'_>) -> Result<Self, Kept> {
        let ((service, client), (source, backend)) = (addresses(client)?, addresses(backend)?);
        let ends = Self { client, service, source, backend };
        let v6 = |address: SocketAddr| address.is_ipv6();
        if v6(client) != v6(backend) { Err(Kept::Families) } else { Ok(ends) }
    }

    /// Whom packets go to.
    pub(super) const fn far(&self) -> [IpAddr; 2] {
        [self.client.ip(), self.backend.ip()]
    }
}

/// The longest segment, options and all, that the peer of a connection is seen to take.
pub(super) const fn segment_size(facts: &Facts) -> u16 {
    facts.send_size.saturating_add(if facts.timestamps { TIMESTAMPS } else { 0 })
}

/// Whether the segments of each side can be what the other one takes, as far as that is known beforehand.
pub(super) fn agree(client: &Facts, backend: &Facts) -> Result<(), Kept> {
    if !client.established || !backend.established {
        return Err(Kept::Closing);
    }
    if client.timestamps != backend.timestamps {
        return Err(Kept::Timestamps);
    }
    Ok(())
}

/// A connection's facts and numbers.
pub(super) type State = (Facts, Numbers);

/// What goes between the two.
pub(super) fn splice(client: &State, backend: &State, now: u32) -> Result<Splice, Kept> {
    let ((facts_c, numbers_c), (facts_b, numbers_b)) = (client, backend);
    // A client that takes short segments sends no longer ones, whatever it was told.
    let from_client = facts_c.advertised_size.min(segment_size(facts_c));
    if from_client > numbers_b.peer_size || facts_b.advertised_size > numbers_c.peer_size {
        return Err(Kept::SegmentSize);
    }
    // Each side's timestamps go on from ours, as the other side knows them.
    let firsts = [numbers_b, numbers_c].map(|numbers| numbers.clock.wrapping_add(LATER));
    let clock = |first: u32| if facts_c.timestamps { clock::WAITS | u64::from(first) } else { clock::NONE };
    Ok(Splice {
        state: state::LIVE,
        shifts: [shift(client, backend), shift(backend, client)],
        clocks: firsts.map(clock),
        born: now,
        firsts,
        pad: 0,
    })
}

/// What the segments of one side are changed by on their way to the other.
fn shift((facts, numbers): &State, (facts_to, numbers_to): &State) -> Shift {
    let sack = if facts_to.sack { Shift::SACK } else { 0 };
    let not_ecn = if facts.ecn && !facts_to.ecn { Shift::NOT_ECN } else { 0 };
    Shift {
        // The next byte that is expected of it is the next one that is sent on.
        sequence: numbers_to.sent.wrapping_sub(numbers.received),
        acknowledgment: numbers_to.received.wrapping_sub(numbers.sent),
        window: facts.peer_scale as i8 - facts_to.own_scale as i8,
        flags: sack | not_ecn,
        pad: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            established: true,
            timestamps: true,
            sack: true,
            ecn: false,
            peer_scale: 7,
            own_scale: 9,
            send_size: 1448,
            advertised_size: 1460,
        }
    }

    fn numbers(sent: u32, received: u32) -> Numbers {
        Numbers { sent, received, clock: 1000, peer_size: 1460 }
    }

    #[test]
    fn numbers_of_one_connection_become_those_of_the_other() {
        let client = (facts(), numbers(100, 200));
        let backend = (Facts { peer_scale: 2, own_scale: 3, sack: false, ..facts() }, numbers(5000, 7000));
        let splice = splice(&client, &backend, 9).unwrap();
        let [from_client, from_backend] = splice.shifts;
        assert_eq!(200u32.wrapping_add(from_client.sequence), 5000);
        assert_eq!(100u32.wrapping_add(from_client.acknowledgment), 7000);
        assert_eq!(7000u32.wrapping_add(from_backend.sequence), 100);
        assert_eq!(5000u32.wrapping_add(from_backend.acknowledgment), 200);
        assert_eq!((from_client.window, from_backend.window), (7 - 3, 2 - 9));
        assert_eq!((from_client.flags, from_backend.flags), (0, Shift::SACK));
        assert_eq!(splice.clocks, [clock::WAITS | u64::from(1000 + LATER); 2]);
    }

    #[test]
    fn what_does_not_fit_is_kept() {
        let without = Facts { timestamps: false, ..facts() };
        assert_eq!(agree(&facts(), &without), Err(Kept::Timestamps));
        assert_eq!(agree(&Facts { established: false, ..facts() }, &facts()), Err(Kept::Closing));
        assert_eq!(agree(&without, &without), Ok(()));
        let fine = (facts(), numbers(1, 2));
        let short = (facts(), Numbers { peer_size: 1400, ..numbers(1, 2) });
        assert_eq!(splice(&fine, &short, 0), Err(Kept::SegmentSize));
        assert_eq!(splice(&short, &fine, 0), Err(Kept::SegmentSize));
        // A client that takes 536 bytes, and a backend that was told so.
        let client = (Facts { send_size: 524, ..facts() }, Numbers { peer_size: 536, ..numbers(1, 2) });
        let backend =
            (Facts { advertised_size: 536, ..facts() }, Numbers { peer_size: 536, ..numbers(1, 2) });
        assert!(splice(&client, &backend, 0).is_ok());
    }
}
