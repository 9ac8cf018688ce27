//! What keeps floods from what they are aimed at: when a listener is guarded, which sources are known to be alive, and how
//! much may be answered to a source that is not. Numbers in cells of fixed tables; nothing here grows.

use crate::addr::Address;
use crate::cell::Cell64;
use crate::hash::mix64;
use crate::limits;

/// A listener is guarded for this long after the last second in which SYNs were too many, in seconds.
pub const LASTS: u32 = 10;
/// Cookies are taken for this long after the guard is off, in seconds: their clients are on their way.
pub const GRACE: u32 = 64;
/// A source is known to be alive for this long after it showed it, in seconds.
pub const ALIVE_FOR: u32 = 600;
/// SYNs a second of one source that is known to be alive: more count like a stranger's.
pub const ALIVE_SYNS: u32 = 10_000;
/// The number of what is counted of ICMP, behind the listeners'.
pub const ICMP: u32 = limits::LISTENERS;
/// A source gets no more than this on credit, in bytes: what one datagram brought, many times over.
const MOST_CREDIT: u64 = 1 << 24;

/// What the daemon says for all listeners.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct GuardSettings {
    /// The keys of cookies.
    pub keys: crate::cookie::Keys,
    /// Ticks of the kernel's clock in a second.
    pub second: u32,
    /// Unsolicited ICMP messages a second to our addresses; 0: any number.
    pub icmp_limit: u32,
    /// [`GuardSettings::SOCKETS`] and kin.
    pub flags: u32,
    /// The smallest MTU of the interfaces.
    pub mtu: u32,
}

impl GuardSettings {
    /// The kernel makes sockets of cookies that are checked here.
    pub const SOCKETS: u32 = 1;
    /// The host speaks TCP timestamps (`net.ipv4.tcp_timestamps`).
    pub const TIMESTAMPS: u32 = 1 << 1;
    /// The host scales windows (`net.ipv4.tcp_window_scaling`).
    pub const WINDOW_SCALE: u32 = 1 << 2;
    /// The host acknowledges selectively (`net.ipv4.tcp_sack`).
    pub const SACK: u32 = 1 << 3;

    /// Whether there is what guards need: the clock's rate, and keys.
    #[inline(always)]
    pub const fn usable(&self) -> bool {
        self.second != 0 && self.keys.drawn()
    }

    /// The clock in seconds.
    #[inline(always)]
    pub const fn seconds(&self, now: u32) -> u32 {
        now / if self.second == 0 { 1 } else { self.second }
    }
}

/// What the daemon says for one listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct GuardRule {
    /// SYNs a second above which the listener is guarded; 0: never.
    pub threshold: u32,
    /// [`GuardRule::ALWAYS`].
    pub flags: u16,
    /// Bytes to a client for each byte of its own while its flow is young; 0: any number.
    pub amplification: u16,
}

impl GuardRule {
    /// Guarded whatever the rate.
    pub const ALWAYS: u16 = 1;

    /// SYNs that a CPU counts by itself before it tells the others.
    #[inline(always)]
    pub const fn batch(&self) -> u32 {
        match self.threshold >> 6 {
            0 => 1,
            many if many > 64 => 64,
            few => few,
        }
    }
}

/// What is seen of one listener: a cell of each table of 64-bit numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Guard<U64 = u64> {
    /// When the present second began (upper half), and how many came in it.
    pub count: U64,
    /// Until when it is guarded (upper half), and [`Guard::ON`] until somebody saw its end; 0: it never was.
    pub state: U64,
}

/// A guard in a table that every CPU reads and writes.
pub type SharedGuard = Guard<Cell64>;

const _: () = assert!(size_of::<GuardSettings>() == 56);
const _: () = assert!(size_of::<GuardRule>() == 8);
const _: () = assert!(size_of::<SharedGuard>() == 16);

/// How a listener stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// SYNs pass.
    Open,
    /// SYNs pass, and cookies are still taken.
    Ending,
    /// SYNs are answered with cookies.
    Guarded,
}

impl Guard {
    /// The guard went on, and its end was not seen yet.
    pub const ON: u64 = 1;
    /// Its end was seen.
    pub const SEEN: u64 = 2;

    /// How it stands at `now`.
    #[inline(always)]
    pub const fn standing(state: u64, now: u32, second: u32) -> Standing {
        if state == 0 {
            return Standing::Open;
        }
        let past = now.wrapping_sub((state >> 32) as u32) as i32;
        // A clock that went once around does not raise it again.
        if past < 0 && past >= -((LASTS * second) as i32) {
            Standing::Guarded
        } else if past >= 0 && past < (GRACE * second) as i32 {
            Standing::Ending
        } else {
            Standing::Open
        }
    }
}

impl SharedGuard {
    /// Counts `many` at `now`. How many there were in this second, those included.
    #[inline(always)]
    pub fn count(&self, many: u32, now: u32, second: u32) -> u32 {
        let old = self.count.load();
        let new = if now.wrapping_sub((old >> 32) as u32) >= second {
            (now as u64) << 32 | many as u64
        } else {
            old & !0xffff_ffff | (old as u32).saturating_add(many) as u64
        };
        // What another CPU counted at this instant may be lost: a flood is seen a moment later.
        self.count.replace_if(old, new);
        new as u32
    }

    /// As [`Self::count`]; none are only looked up.
    #[inline(always)]
    pub fn adds_up(&self, many: u32, now: u32, second: u32) -> u32 {
        if many != 0 {
            return self.count(many, now, second);
        }
        let word = self.count.load();
        if now.wrapping_sub((word >> 32) as u32) < second { word as u32 } else { 0 }
    }

    /// The guard is on from `now` on, for as long as guards last. Whether it was off.
    #[inline(always)]
    pub fn raise(&self, now: u32, second: u32) -> bool {
        let old = self.state.load();
        let new = (now.wrapping_add(LASTS * second) as u64) << 32 | Guard::ON;
        if Guard::standing(old, now, second) != Standing::Guarded {
            return self.state.replace_if(old, new);
        }
        // It only lasts longer.
        if old != new {
            self.state.store(new);
        }
        false
    }

    /// Notes that the guard is over. Whether nobody did before.
    #[inline(always)]
    pub fn end(&self) -> bool {
        let old = self.state.load();
        old & Guard::ON != 0 && self.state.replace_if(old, old ^ (Guard::ON | Guard::SEEN))
    }
}

/// Sources that are known to be alive: each has one of two places, by its hash. Before the places are marks, a byte of the
/// hash for each: a flood of sources that nobody knows reads those alone, 256 KiB that stay near the CPU. A mark that is
/// lost to another CPU's costs its source another proof.
pub mod alive {
    use super::{ALIVE_FOR, ALIVE_SYNS, Address, Cell64, mix64};
    use crate::limits::ALIVE;

    /// Marks of a word.
    const MARKS: u32 = 8;
    /// Words of marks.
    const MARKED: u32 = ALIVE / MARKS;
    /// Words of the table.
    pub const ENTRIES: u32 = MARKED + ALIVE;
    /// How often a mark is tried to be set when another CPU was faster.
    const TRIES: u32 = 4;

    // From the top: 24 bits of the hash, the second of the proof, the second of the last SYN, and SYNs in that.
    const TAG: u32 = 40;
    const PROVED: u32 = 24;
    const WINDOW: u32 = 16;
    const COUNT: u64 = 0xffff;
    const COUNTED: u64 = (1 << PROVED) - 1;

    /// Where a source is, and what tells it from others there.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Source {
        /// Both places, as words of the table.
        pub places: [u32; 2],
        /// The word of their marks.
        pub marks: u32,
        tag: u64,
    }

    /// A source. All of an IPv6 network of 64 bits are one: it is one host's to choose from.
    #[inline(always)]
    pub fn source<A: Address>(address: A, seed: u64) -> Source {
        let words = address.words();
        let network = match *words.as_ref() {
            [v4] => v4 as u64,
            [a, b, ..] => a as u64 | (b as u64) << 32,
            _ => 0,
        };
        let hash = mix64(mix64(network ^ seed) ^ seed.rotate_left(32));
        let place = hash as u32 & (ALIVE - 1);
        // The other one is on the same cache line: one of the seven beside it.
        let places = [place, place ^ (1 + (((hash >> 18 & 0xffff) as u32 * 7) >> 16))];
        Source { places: places.map(|place| MARKED + place), marks: place / MARKS, tag: hash >> TAG }
    }

    /// Bits below the mark of a place.
    #[inline(always)]
    const fn shift(place: u32) -> u32 {
        (place & (MARKS - 1)) * 8
    }

    /// What a place says of a source.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub enum Found {
        /// It is somebody else's, or nobody's; so many seconds old.
        Other(u32),
        /// It is alive, and may send a SYN: the place becomes this.
        Passes(u64),
        /// It is alive, and sends too many.
        TooMany,
    }

    impl Source {
        /// Its byte among the marks: never 0, which nobody's place has.
        #[inline(always)]
        const fn mark(&self) -> u64 {
            let byte = self.tag & 0xff;
            if byte == 0 { 1 } else { byte }
        }

        /// Whether it may be at one of its places, by the word of their marks. One stranger in 128 may seem to be.
        #[inline(always)]
        pub const fn may_be_at(&self, place: u32, marks: u64) -> bool {
            marks >> shift(place) & 0xff == self.mark()
        }

        /// Marks one of its places.
        #[inline(always)]
        pub fn mark_at(&self, place: u32, marks: &Cell64) {
            for _ in 0..TRIES {
                let old = marks.load();
                let new = old & !(0xff << shift(place)) | self.mark() << shift(place);
                if old == new || marks.replace_if(old, new) {
                    return;
                }
            }
        }

        /// What `word` says of this source at `second`, if it sends a SYN.
        #[inline(always)]
        pub const fn look(&self, word: u64, second: u32) -> Found {
            let age = second.wrapping_sub((word >> PROVED) as u32) & 0xffff;
            if word >> TAG != self.tag || age > ALIVE_FOR {
                return Found::Other(if word == 0 { u32::MAX } else { age });
            }
            let same = (word >> WINDOW) as u8 == second as u8;
            let count = if same { (word & COUNT) + 1 } else { 1 };
            if count > ALIVE_SYNS as u64 {
                return Found::TooMany;
            }
            let kept = word & !COUNTED;
            Found::Passes(kept | ((second & 0xff) as u64) << WINDOW | count)
        }

        /// What a place holds once the source has shown that it is alive.
        #[inline(always)]
        pub const fn proved(&self, before: u64, second: u32) -> u64 {
            let counted = if before >> TAG == self.tag { before & COUNTED } else { 0 };
            self.tag << TAG | ((second & 0xffff) as u64) << PROVED | counted
        }
    }
}

/// What may be answered to sources that have not shown that they are alive: bytes on credit, by the hash of the source.
/// Sources that share a place share their credit: together they get no more than what they brought is worth.
pub mod credit {
    use super::{Address, Cell64, MOST_CREDIT, mix64};
    use crate::limits::CREDITS;

    /// Where a source's credit is.
    #[inline(always)]
    pub fn place<A: Address>(address: A, seed: u64) -> u32 {
        let mut hash = seed;
        for word in address.words().as_ref() {
            hash = mix64(hash ^ *word as u64);
        }
        hash as u32 & (CREDITS - 1)
    }

    /// Credit for `bytes`, beside what is there; what is older than `lifetime` is gone.
    #[inline(always)]
    pub fn give(cell: &Cell64, bytes: u64, now: u32, lifetime: u32) {
        let old = cell.load();
        let left = if now.wrapping_sub((old >> 32) as u32) > lifetime { 0 } else { old & 0xffff_ffff };
        let sum = left + bytes;
        let credit = if sum > MOST_CREDIT { MOST_CREDIT } else { sum };
        // Lost to another CPU: the client gets less, and asks again.
        cell.replace_if(old, (now as u64) << 32 | credit);
    }

    /// Whether `bytes` are within the credit: then they are taken from it.
    #[inline(always)]
    pub fn take(cell: &Cell64, bytes: u64, now: u32, lifetime: u32) -> bool {
        let old = cell.load();
        let left = old & 0xffff_ffff;
        if left < bytes || now.wrapping_sub((old >> 32) as u32) > lifetime {
            return false;
        }
        cell.replace_if(old, old - bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::alive::Found;
    use super::*;
    use crate::addr::{Ip4, Ip6};

    const HZ: u32 = 250;
    const NOW: u32 = u32::MAX - 100;

    #[test]
    fn a_second_is_counted_and_the_next_begins_anew() {
        let guard = SharedGuard::default();
        assert_eq!(guard.count(1, NOW, HZ), 1);
        assert_eq!(guard.count(5, NOW.wrapping_add(HZ - 1), HZ), 6);
        assert_eq!(guard.count(2, NOW.wrapping_add(HZ), HZ), 2);
    }

    #[test]
    fn a_guard_lasts_and_then_takes_cookies_for_a_while() {
        let guard = SharedGuard::default();
        assert!(guard.raise(NOW, HZ), "it was off");
        assert!(!guard.raise(NOW, HZ) && !guard.raise(NOW.wrapping_add(HZ), HZ), "it is on");
        let at = |seconds: u32| Guard::standing(guard.state.load(), NOW.wrapping_add(seconds * HZ), HZ);
        assert_eq!((at(1), at(LASTS)), (Standing::Guarded, Standing::Guarded));
        assert_eq!((at(LASTS + 1), at(LASTS + GRACE)), (Standing::Ending, Standing::Ending));
        assert_eq!(at(LASTS + 1 + GRACE), Standing::Open);
        assert!(guard.end() && !guard.end(), "its end is seen once");
        assert!(guard.raise(NOW.wrapping_add(20 * HZ), HZ), "it was off again");
    }

    #[test]
    fn a_source_is_told_from_strangers_by_its_mark() {
        let source = |n: u32| alive::source(Ip4::from_octets(n.to_be_bytes()), 7);
        let words: Vec<Cell64> = (0..alive::ENTRIES).map(|_| Cell64::new(0)).collect();
        let marked = |n: u32| {
            let source = source(n);
            let marks = words[source.marks as usize].load();
            source.places.map(|place| source.may_be_at(place, marks))
        };
        assert!((0..100_000).all(|n| marked(n) == [false; 2]), "nobody is there");
        for n in 0..10_000 {
            let source = source(n);
            assert!(source.marks < source.places[0] && source.places[0] / 8 == source.places[1] / 8);
            source.mark_at(source.places[n as usize % 2], &words[source.marks as usize]);
            assert!(marked(n)[n as usize % 2], "{n}");
        }
        let lost = (0..10_000).filter(|n| !marked(*n)[*n as usize % 2]).count();
        assert!(lost < 400, "{lost} of 10,000 have lost their place to another");
        let strangers = (1 << 20..(1 << 20) + 100_000).filter(|n| marked(*n) != [false; 2]).count();
        assert!(strangers < 1000, "{strangers} of 100,000");
    }

    #[test]
    fn a_source_is_alive_for_ten_minutes_and_sends_so_many_syns_a_second() {
        let source = alive::source(Ip4::from_octets([192, 0, 2, 1]), 7);
        let other = alive::source(Ip4::from_octets([192, 0, 2, 2]), 7);
        assert!(matches!(source.look(0, 1000), Found::Other(u32::MAX)));
        let mut word = source.proved(0, 1000);
        assert!(matches!(other.look(word, 1000), Found::Other(0)));
        for _ in 0..ALIVE_SYNS {
            let Found::Passes(next) = source.look(word, 1010) else { panic!("it may send") };
            word = next;
        }
        assert_eq!(source.look(word, 1010), Found::TooMany);
        assert_eq!(source.look(source.proved(word, 1010), 1010), Found::TooMany, "a proof is no pardon");
        assert!(matches!(source.look(word, 1011), Found::Passes(_)));
        assert!(
            matches!(source.look(word, 1000 + ALIVE_FOR), Found::Passes(_)),
            "its SYNs do not prolong it"
        );
        assert!(matches!(source.look(word, 1001 + ALIVE_FOR), Found::Other(601)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |last: u8, network: u8| {
            alive::source(Ip6::from_octets([32, 1, 13, 184, 0, 0, 0, network, 0, 0, 0, 0, 0, 0, 0, last]), 7)
        };
        assert_eq!(of(1, 1), of(2, 1));
        assert_ne!(of(1, 1), of(1, 2));
    }

    #[test]
    fn credit_is_spent_and_grows_old() {
        let cell = Cell64::new(0);
        assert!(!credit::take(&cell, 1, NOW, 100));
        credit::give(&cell, 300, NOW, 100);
        assert!(credit::take(&cell, 200, NOW, 100) && !credit::take(&cell, 101, NOW, 100));
        assert!(!credit::take(&cell, 100, NOW.wrapping_add(101), 100));
        credit::give(&cell, 50, NOW.wrapping_add(101), 100);
        assert!(!credit::take(&cell, 51, NOW.wrapping_add(101), 100));
        assert!(credit::take(&cell, 50, NOW.wrapping_add(101), 100));
        for _ in 0..3 {
            credit::give(&cell, MOST_CREDIT, NOW, 100);
        }
        assert!(!credit::take(&cell, MOST_CREDIT + 1, NOW, 100));
    }
}
