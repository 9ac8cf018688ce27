//! SYN cookies: a number that says, to whoever has the key, when it was given and to whom; so the balancer remembers
//! nothing of a SYN until its sender shows that it got the answer.
//!
//! From the top bit down: which of two keys, the parity of the time slot, which segment size (3 bits), and 27 bits of a
//! SipHash over all of that and the connection. A cookie is good in the slot that it was given in, and in the next one.

use crate::addr::{Address, Ip4};
use crate::flow::FlowKey;
use crate::siphash::SipHash;

/// Seconds of a time slot, as a power of two.
pub const SLOT_SHIFT: u32 = 6;
const KEY: u32 = 31;
const PARITY: u32 = 30;
const SIZE: u32 = 27;
const MAC: u32 = (1 << SIZE) - 1;

/// Segment sizes that a cookie can say, IPv4: what is common (as in net/ipv4/syncookies.c), and what the kernel takes
/// at least.
pub const SIZES_V4: [u16; 8] = [536, 1024, 1220, 1300, 1400, 1440, 1460, 8960];
/// Likewise IPv6.
pub const SIZES_V6: [u16; 8] = [1220, 1280, 1300, 1360, 1400, 1420, 1440, 8940];

/// What a cookie is for: one kind is worth nothing as the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Purpose {
    /// It is the initial sequence number of a SYN-ACK: the client's ACK makes the connection.
    Connection = 1,
    /// It is a wrong acknowledgment number: the client's RST proves that the client is there.
    Proof = 2,
}

/// The two keys of cookies: new ones are made with the current one, those of the other are still good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Keys {
    /// The keys. Zeroes: none was drawn yet.
    pub keys: [[u64; 2]; 2],
    /// Which one new cookies are made with: 0 or 1.
    pub current: u64,
}

const _: () = assert!(size_of::<Keys>() == 40);

/// The sizes of a family.
#[inline(always)]
pub const fn sizes<A: Address>() -> &'static [u16; 8] {
    if A::FAMILY == Ip4::FAMILY { &SIZES_V4 } else { &SIZES_V6 }
}

/// The index of the largest size that is not above `mss`; the smallest one if all are.
#[inline(always)]
pub fn size_index<A: Address>(mss: u16) -> u32 {
    let mut index = 0;
    for (i, size) in sizes::<A>().iter().enumerate() {
        if *size <= mss {
            index = i as u32;
        }
    }
    index
}

impl Keys {
    /// Whether there are any.
    #[inline(always)]
    pub const fn drawn(&self) -> bool {
        self.keys[(self.current & 1) as usize][0] != 0
    }

    /// A cookie for a packet of `key`, its client's initial sequence number (0 for a proof), at `second`.
    #[inline(always)]
    pub fn make<A: Address>(
        &self,
        purpose: Purpose,
        key: &FlowKey<A>,
        isn: u32,
        second: u32,
        size: u32,
    ) -> u32 {
        let slot = second >> SLOT_SHIFT;
        let head = (self.current as u32 & 1) << KEY | (slot & 1) << PARITY | (size & 7) << SIZE;
        head | self.mac(purpose, key, isn, slot, head)
    }

    /// The size that a cookie says, if it is ours, and not too old.
    #[inline(always)]
    pub fn check<A: Address>(
        &self,
        purpose: Purpose,
        key: &FlowKey<A>,
        isn: u32,
        second: u32,
        cookie: u32,
    ) -> Option<u32> {
        let now = second >> SLOT_SHIFT;
        let slot = now.wrapping_sub((now ^ (cookie >> PARITY)) & 1);
        let head = cookie & !MAC;
        let good = self.mac(purpose, key, isn, slot, head) == cookie & MAC
            && self.keys[(cookie >> KEY) as usize & 1][0] != 0;
        good.then_some(cookie >> SIZE & 7)
    }

    #[inline(always)]
    fn mac<A: Address>(&self, purpose: Purpose, key: &FlowKey<A>, isn: u32, slot: u32, head: u32) -> u32 {
        let mut hash = SipHash::new(self.keys[(head >> KEY) as usize & 1]);
        let (source, destination) = (key.source.words(), key.destination.words());
        let (source, destination) = (source.as_ref(), destination.as_ref());
        for i in 0..source.len() {
            hash.word(source[i] as u64 | (destination[i] as u64) << 32);
        }
        hash.word(
            key.source_port.raw() as u64 | (key.destination_port.raw() as u64) << 16 | (isn as u64) << 32,
        );
        hash.word(slot as u64 | (head as u64 | purpose as u64) << 32);
        hash.finish() as u32 & MAC
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::{Be16, Ip6};

    fn key<A: Address>(source: A, destination: A) -> FlowKey<A> {
        let mut key = FlowKey::default();
        key.set(&source, &destination, Be16::new(4000), Be16::new(443), 6);
        key
    }

    fn v4() -> FlowKey<Ip4> {
        key(Ip4::from_octets([192, 0, 2, 1]), Ip4::from_octets([192, 0, 2, 2]))
    }

    const KEYS: Keys = Keys { keys: [[1, 2], [3, 4]], current: 0 };
    const THEN: u32 = 1000 << SLOT_SHIFT;

    fn is_good_for_two_slots<A: Address>(key: &FlowKey<A>) {
        for purpose in [Purpose::Connection, Purpose::Proof] {
            for size in 0..8 {
                for second in [THEN, THEN + 63, THEN + 64, u32::MAX - 3] {
                    let cookie = KEYS.make(purpose, key, 77, second, size);
                    let check = |later: u32| KEYS.check(purpose, key, 77, second.wrapping_add(later), cookie);
                    assert_eq!(check(0), Some(size));
                    if second != u32::MAX - 3 {
                        assert_eq!(check(64), Some(size));
                        assert_eq!(check(128), None, "too old");
                        assert_eq!(KEYS.check(purpose, key, 77, second - 64, cookie), None, "of the future");
                    }
                }
            }
        }
    }

    #[test]
    fn a_cookie_is_good_in_its_slot_and_the_next() {
        is_good_for_two_slots(&v4());
        is_good_for_two_slots(&key(Ip6::from_octets([1; 16]), Ip6::from_octets([2; 16])));
    }

    #[test]
    fn a_cookie_is_worth_nothing_to_anybody_else() {
        let cookie = KEYS.make(Purpose::Connection, &v4(), 77, THEN, 3);
        let check = |key: &FlowKey<Ip4>, isn| KEYS.check(Purpose::Connection, key, isn, THEN, cookie);
        assert_eq!(check(&v4(), 77), Some(3));
        assert_eq!(check(&v4(), 78), None);
        assert_eq!(check(&v4().reversed(), 77), None);
        assert_eq!(check(&FlowKey { source_port: Be16::new(4001), ..v4() }, 77), None);
        assert_eq!(KEYS.check(Purpose::Proof, &v4(), 77, THEN, cookie), None);
        for bit in 0..32 {
            let other = cookie ^ 1 << bit;
            assert_eq!(KEYS.check(Purpose::Connection, &v4(), 77, THEN, other), None, "bit {bit}");
        }
    }

    #[test]
    fn the_old_key_is_good_until_it_is_replaced() {
        let cookie = KEYS.make(Purpose::Connection, &v4(), 77, THEN, 3);
        let turned = Keys { keys: [[1, 2], [5, 6]], current: 1 };
        assert_eq!(turned.check(Purpose::Connection, &v4(), 77, THEN, cookie), Some(3));
        assert_ne!(turned.make(Purpose::Connection, &v4(), 77, THEN, 3), cookie);
        let twice = Keys { keys: [[7, 8], [5, 6]], current: 0 };
        assert_eq!(twice.check(Purpose::Connection, &v4(), 77, THEN, cookie), None);
    }

    #[test]
    fn without_keys_no_cookie_is_good() {
        let none = Keys::default();
        assert!(!none.drawn() && KEYS.drawn());
        let cookie = none.make(Purpose::Connection, &v4(), 77, THEN, 3);
        assert_eq!(none.check(Purpose::Connection, &v4(), 77, THEN, cookie), None);
    }

    #[test]
    fn sizes_are_never_above_what_the_client_takes() {
        for mss in 536..10_000 {
            let size = SIZES_V4[size_index::<Ip4>(mss) as usize];
            assert!(size <= mss && (mss > 1460 || mss - size < 500), "{mss}: {size}");
        }
        assert_eq!(SIZES_V4[size_index::<Ip4>(1460) as usize], 1460);
        assert_eq!(SIZES_V6[size_index::<Ip6>(1440) as usize], 1440);
        assert_eq!(size_index::<Ip4>(0), 0);
    }
}
