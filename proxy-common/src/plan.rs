//! Plans: the limits of a listener, as the kernel programs charge them; what is remembered of limits beside them; and
//! the sketch, which stands in for entries of clients that have not proved to be alive.

use crate::gcra::Gcra;

/// Rules of a plan at most.
pub const RULES: usize = 8;
/// Plans and sets of counts, by number; 0: none.
pub const PLANS: u32 = 256;
/// Limits, by number.
pub const LIMITS: u32 = 256;
/// Room for measures of a limit.
pub const MEASURES: usize = 8;
/// Prefixes that limits do not hold for, per family.
pub const EXEMPTIONS: u32 = 16_384;

/// What a rule counts: numbers of the configuration's measures.
pub mod measure {
    /// Packets.
    pub const PACKETS: u8 = 0;
    /// Bytes.
    pub const BYTES: u8 = 1;
    /// New connections.
    pub const CONNECTIONS: u8 = 2;
    /// Connections at a time.
    pub const CONCURRENT: u8 = 3;
    /// Handshakes: workers count them, and the kernel programs look whether there may be one more.
    pub const HANDSHAKES: u8 = 4;
}

/// What is done with what is too much.
pub mod action {
    /// Dropped.
    pub const DROP: u8 = 0;
    /// Answered with a TCP reset; dropped where that cannot be.
    pub const RESET: u8 = 1;
    /// Counted only.
    pub const OBSERVE: u8 = 2;
}

/// Whose traffic is counted together.
pub mod scope {
    /// That of the addresses that are the same under the mask.
    pub const ADDRESS: u8 = 0;
    /// That of the rule's number.
    pub const NUMBER: u8 = 1;
    /// That of the packet's backend.
    pub const BACKEND: u8 = 2;
    /// That of the host that the ClientHello names.
    pub const NAME: u8 = 3;
}

/// A rule: one measure of one limit. The rate is written in place while packets go by it: each word at once; a packet
/// that meets the new interval and the old tolerance is judged by a burst of another length, once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Rule<U64 = u64> {
    /// [`Gcra::interval`]; of [`measure::CONCURRENT`]: how many there may be.
    pub interval: U64,
    /// [`Gcra::tolerance`].
    pub tolerance: U64,
    /// Of keys of [`scope::NUMBER`]: the number.
    pub number: u64,
    /// Of keys of IPv6 addresses: the mask, as a packet has it.
    pub v6: [u64; 2],
    /// Of keys of IPv4 addresses: the mask, as a packet has it.
    pub v4: u32,
    /// The limit's number.
    pub limit: u16,
    /// [`measure`].
    pub measure: u8,
    /// [`action`].
    pub action: u8,
    /// [`scope`].
    pub scope: u8,
    /// [`Rule::EXEMPTS`] and kin.
    pub flags: u8,
    /// What the number is: [`crate::bucket::Who`].
    pub kind: u8,
    /// Zero.
    pub pad: u8,
    /// [`count_index`] of limit and measure.
    pub counter: u32,
    /// [`crate::bucket::salt_of`] limit and measure. A rule is a cache line.
    pub salt: u64,
}

impl<U64> Rule<U64> {
    /// Some clients are exempt: [`ExemptKey`].
    pub const EXEMPTS: u8 = 1;
    /// It has to be asked before a charge: exempt clients have their key in common with others.
    pub const EXEMPTS_FIRST: u8 = 1 << 1;
    /// There is a rule.
    pub const USED: u8 = 1 << 7;

    /// Whether there is a rule.
    #[inline(always)]
    pub const fn is_used(&self) -> bool {
        self.flags & Self::USED != 0
    }
}

impl Rule {
    /// Its rate.
    pub const fn gcra(&self) -> Gcra {
        Gcra { interval: self.interval, tolerance: self.tolerance }
    }
}

/// The limits of a listener. Immutable under its number but for rates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Plan<U64 = u64> {
    /// The secret that keys are hashed with.
    pub seed: u64,
    /// Sets of the table of buckets: a power of two.
    pub sets: u32,
    /// Ticks a second.
    pub hz: u32,
    /// So many rules count packets or bytes: the first ones.
    pub of_packets: u8,
    /// So many count new connections: those after them.
    pub of_connections: u8,
    /// So many count connections at a time: the last ones.
    pub of_counts: u8,
    /// These, as flows remember them: the number of a set of counts.
    pub counted: u8,
    /// The listener, by its number.
    pub listener: u16,
    /// 1: the number is taken.
    pub used: u16,
    /// How packets of established flows are charged: [`Plan::FREE`] and kin.
    pub straight: u8,
    /// Zero.
    pub pad: [u8; 7],
    /// Zero: the rules begin with a cache line.
    pub more: [u64; 4],
    /// The rules.
    pub rules: [Rule<U64>; RULES],
}

impl<U64> Plan<U64> {
    /// By all that there is to know.
    pub const WHOLE: u8 = 0;
    /// Not at all.
    pub const FREE: u8 = 1;
    /// By the first rule alone, and nobody has to be asked for before.
    pub const STRAIGHT: u8 = 2;

    /// [`Plan::straight`], by the rules.
    pub const fn straight_by(&self) -> u8 {
        match self.of_packets {
            0 => Self::FREE,
            1 if self.rules[0].flags & Rule::<U64>::EXEMPTS_FIRST == 0 => Self::STRAIGHT,
            _ => Self::WHOLE,
        }
    }
}

/// A plan that every CPU reads.
pub type SharedPlan = Plan<crate::cell::Cell64>;
/// A rule that every CPU reads.
pub type SharedRule = Rule<crate::cell::Cell64>;

const _: () = assert!(size_of::<Rule>() == 64 && size_of::<SharedRule>() == 64);
const _: () = assert!(size_of::<Plan>() == 576 && size_of::<SharedPlan>() == 576);

/// Keys that a flow was counted under: immutable under its number, and the number given again only when no flow has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct CountedSet {
    /// As [`Plan::seed`].
    pub seed: u64,
    /// As [`Plan::sets`].
    pub sets: u32,
    /// How many rules there are.
    pub count: u32,
    /// The rules: their rates mean nothing.
    pub rules: [Rule; RULES],
}

const _: () = assert!(size_of::<CountedSet>() == 528);

/// Whom a limit does not hold for: the key of a trie of longest prefixes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct ExemptKey<A> {
    /// Bits that count: 32 of the limit's number, then those of the address.
    pub bits: u32,
    /// The limit's number.
    pub limit: u32,
    /// The address.
    pub address: A,
}

const _: () = assert!(size_of::<ExemptKey<crate::addr::Ip4>>() == 12);
const _: () = assert!(size_of::<ExemptKey<crate::addr::Ip6>>() == 24);

/// What one measure of one limit has done, per CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct LimitCount {
    /// It was within the limit.
    pub passed: u64,
    /// It was too much, and refused.
    pub refused: u64,
    /// It was too much, and let through: the limit only observes.
    pub observed: u64,
    /// It was too much, and the client is exempt.
    pub exempt: u64,
}

/// Where a measure of a limit is counted.
#[inline(always)]
pub const fn count_index(limit: u16, measure: u8) -> u32 {
    (limit as u32 % LIMITS) * MEASURES as u32 + measure as u32 % MEASURES as u32
}

/// The limit and the measure of a [`count_index`].
#[inline(always)]
pub const fn count_of(counter: u32) -> (u16, u8) {
    ((counter / MEASURES as u32) as u16, (counter % MEASURES as u32) as u8)
}

/// A rate as people write it; a count of 0: none. Of what is counted at a time the count alone says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct WrittenRate {
    /// So many,
    pub count: u64,
    /// in so many nanoseconds,
    pub period: u64,
    /// so many at once.
    pub burst: u64,
}

/// What is remembered of a limit: for the CLI when no daemon runs, and for the daemon that starts next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct LimitRecord {
    /// Its name in UTF-8, padded with NUL; empty: there is none.
    pub name: [u8; 64],
    /// What it is per, for people.
    pub per: [u8; 64],
    /// Its action, for people.
    pub action: [u8; 16],
    /// What the configuration says, by measure.
    pub written: [WrittenRate; MEASURES],
    /// What an operator has set instead.
    pub set: [WrittenRate; MEASURES],
}

impl Default for LimitRecord {
    fn default() -> Self {
        let none = [WrittenRate::default(); MEASURES];
        Self { name: [0; 64], per: [0; 64], action: [0; 16], written: none, set: none }
    }
}

const _: () = assert!(size_of::<LimitRecord>() == 144 + 2 * 8 * 24);

/// The sketch: states of clients that have not proved to be alive, without their names. Each key has two cells, shared
/// with whoever else is hashed there, and is refused only if both refuse; its subnet has one, at 64 times the rate.
pub mod sketch {
    /// Cells of keys: a power of two.
    pub const KEYS: u32 = 1 << 16;
    /// Cells of subnets: a power of two.
    pub const SUBNETS: u32 = 1 << 14;
    /// Cells.
    pub const CELLS: u32 = KEYS + SUBNETS;
    /// A subnet's rate is this power of two times a client's.
    pub const MORE: u32 = 6;

    /// The two cells of a key, by its tag.
    #[inline(always)]
    pub const fn of_key(tag: u64) -> [u32; 2] {
        [(tag >> 12) as u32 & (KEYS - 1), (tag >> 36) as u32 & (KEYS - 1)]
    }

    /// The cell of a subnet, by the tag of its key.
    #[inline(always)]
    pub const fn of_subnet(tag: u64) -> u32 {
        KEYS + ((tag >> 20) as u32 & (SUBNETS - 1))
    }
}
