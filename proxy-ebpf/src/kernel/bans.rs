//! Tables of bans. Looking for one prefix is a global function of each family (btf "static" and "global" functions,
//! kernel/bpf/verifier.c): the verifier looks at it once, with arguments that may be anything, and not once for each of
//! the lengths that the loop around it goes through; and so is the loop.

use proxy_common::{
    addr::{Be32, Ip4, Ip6},
    ban::{Family, Key6, Line, Lines, Shape, probe},
};
use proxy_ebpf::world::Bans;

use super::{maps, packet::Frame};

/// A line of a table.
#[inline(always)]
pub(super) fn line<'a>(table: u32, index: u32) -> Option<&'a Line> {
    let line = maps::BANS.get_value_ptr_mut(table, &index)?;
    // SAFETY: an array's value lives for the program's run, also when another array takes its place (RCU); a line is
    // cells throughout, of the same bytes (asserted beside it).
    Some(unsafe { &*line.cast::<Line>() })
}

/// A table, by its number.
struct Table(u32);

impl Lines for Table {
    #[inline(always)]
    fn line(&self, index: u32) -> Option<&Line> {
        line(self.0, index)
    }
}

/// Looks for one prefix.
#[inline(always)]
fn look<A: Family>(table: u32, key: &A::Key, shape: u32, now: u32) -> u32 {
    match probe::<A, _>(&Table(table), key, Shape::from_bits(shape), now) {
        Some(found) => {
            found.hit();
            1
        }
        None => 0,
    }
}

/// Looks for every prefix that an address's region speaks of.
#[inline(always)]
fn look_all<A: Family>(address: &A, mut suspect: A::Suspect, each: impl Fn(&A::Key, u32) -> u32) -> u32 {
    let shape = A::shape(&suspect).bits();
    for _ in 0..u32::from(A::BITS) + 1 {
        let Some(key) = A::next(address, &mut suspect) else { return 0 };
        if each(&key, shape) != 0 {
            return 1;
        }
    }
    0
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn proxy_ban4(key: u64, table: u32, shape: u32, now: u32) -> u32 {
    look::<Ip4>(table, &key, shape, now)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn proxy_bans4(suspect: u64, address: u32, table: u32, now: u32) -> u32 {
    let address = Ip4(Be32::from_raw(address));
    look_all(&address, suspect, |key, shape| proxy_ban4(*key, table, shape, now))
}

/// The class and the table are one number: a function has five arguments at the most.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn proxy_ban6(high: u64, low: u64, class: u32, shape: u32, now: u32) -> u32 {
    look::<Ip6>(class >> 8, &Key6 { high, low, class: (class & 7) as u64 }, shape, now)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn proxy_bans6(high: u64, low: u64, table: u32, now: u32) -> u32 {
    let word = |half: u64, shift: u32| Be32::from_raw((half >> shift) as u32);
    let address = Ip6([word(high, 0), word(high, 32), word(low, 0), word(low, 32)]);
    let Some(suspect) = Ip6::suspect(&Table(table), &address) else { return 0 };
    look_all(&address, suspect, |key, shape| {
        proxy_ban6(key.high, key.low, key.class as u32 | table << 8, shape, now)
    })
}

impl Bans<Ip4> for Frame {
    #[inline(always)]
    fn has(&self, table: u32, address: &Ip4, suspect: u64, now: u32) -> bool {
        proxy_bans4(suspect, address.0.raw(), table, now) != 0
    }
}

impl Bans<Ip6> for Frame {
    #[inline(always)]
    fn has(&self, table: u32, address: &Ip6, _: <Ip6 as Family>::Suspect, now: u32) -> bool {
        // More words than a function has arguments: it looks again.
        let [a, b, c, d] = address.0.map(|word| word.raw() as u64);
        proxy_bans6(a | b << 32, c | d << 32, table, now) != 0
    }
}
