//! What limits ask of their tables off the straight way: entries that have to be made, counts, refusals, and the sketch.
//! In the kernel all of it is one function that the verifier checks once.

use proxy_common::{
    bucket::{self, Asked, Charge, Enter, Key, Memory, Place, Right, Settled, SharedBucketSet, Who},
    cell::Cell64,
    gcra::{Charged, Gcra},
    plan::sketch,
};

/// The tables that limits work on.
pub trait Keys {
    /// A set of the table of keys.
    fn bucket_set(&self, index: u32) -> Option<&SharedBucketSet>;
    /// A cell of the sketch.
    fn sketch(&self, cell: u32) -> Option<&Cell64>;
    /// A number that nobody else has who changes the table of keys in this instant; 0: there is none left.
    fn claimant(&self) -> u16;
    /// [`Memory::locate`] in a table of so many sets.
    fn locate(&self, tag: u64, sets: u32) -> Option<Place>;
    /// [`Memory::victim`] in a table of so many sets.
    fn victim(&self, tag: u64, sets: u32, now: u64, right: Right) -> Option<Place>;
    /// [`Memory::is_alone`] in a table of so many sets.
    fn is_alone(&self, tag: u64, sets: u32, own: Place) -> bool;
}

/// The table of keys, as the shared code wants it.
#[derive(Debug)]
pub struct Buckets<'a, W> {
    /// Where it is.
    pub world: &'a W,
    /// How many sets it has.
    pub sets: u32,
}

impl<W: Keys> Memory for Buckets<'_, W> {
    #[inline(always)]
    fn set(&self, index: u32) -> Option<&SharedBucketSet> {
        self.world.bucket_set(index)
    }
    #[inline(always)]
    fn sets(&self) -> u32 {
        self.sets
    }
    #[inline(always)]
    fn claimant(&self) -> u16 {
        self.world.claimant()
    }
    #[inline(always)]
    fn locate(&self, tag: u64) -> Option<Place> {
        self.world.locate(tag, self.sets)
    }
    #[inline(always)]
    fn victim(&self, tag: u64, now: u64, right: Right) -> Option<Place> {
        self.world.victim(tag, self.sets, now, right)
    }
    #[inline(always)]
    fn is_alone(&self, tag: u64, own: Place) -> bool {
        self.world.is_alone(tag, self.sets, own)
    }
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Question {
    /// Charge the key, whose entry is made if it has none. Answer: [`PASSED`], [`REFUSED`], with [`FULL`].
    #[default]
    Charge,
    /// Charge the sketch. Answer: [`PASSED`], [`REFUSED`].
    Sketch,
    /// Whether a charge would pass. Answer: [`PASSED`], [`REFUSED`].
    Peek,
    /// Make an entry that begins with the state in the question.
    Plant,
    /// Count one more, unless there are so many as the question says. Answer: how many there are then; 0: refused; [`FULL`].
    Enter,
    /// Count one less.
    Leave,
    /// How many there are.
    Count,
    /// Count a refusal. Answer: how many there were since the last event, if it is time for one; else 0.
    Refuse,
}

/// Answer: it passes.
pub const PASSED: u64 = 0;
/// Answer: it is too much.
pub const REFUSED: u64 = 1;
/// Answer, or a part of it: the table of keys has no place.
pub const FULL: u64 = 1 << 32;

/// Answer: somebody else was faster; to be asked again.
pub const AGAIN: u64 = 1 << 33;

/// A question, whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ask {
    /// The key.
    pub key: Key,
    /// The rate, the clock in fractions, and what is charged, or the most there may be.
    pub asked: Asked,
    /// The secret that keys are hashed with.
    pub seed: u64,
    /// The source's subnet; 0 is nobody's: then the key is not one of addresses.
    pub subnet: u64,
    /// Sets of the table of keys.
    pub sets: u32,
    /// Ticks between two events.
    pub pause: u32,
    /// What is asked.
    pub question: Question,
}

/// Answers.
#[inline(always)]
pub fn answer<W: Keys>(world: &W, ask: &Ask) -> u64 {
    if makes(ask.question) { settled(world, ask) } else { told(world, ask) }
}

/// Whether it needs an entry, which is made if there is none.
#[inline(always)]
pub const fn makes(question: Question) -> bool {
    matches!(question, Question::Charge | Question::Plant | Question::Enter)
}

/// Answers what needs no entry.
#[inline(always)]
pub fn told<W: Keys>(world: &W, ask: &Ask) -> u64 {
    let (table, key) = (Buckets { world, sets: ask.sets }, &ask.key);
    match ask.question {
        Question::Sketch => sketched(world, ask),
        Question::Peek => {
            matches!(bucket::peek(&table, key, &ask.asked.gcra, 1, ask.asked.now), Charge::Refused(_)) as u64
        }
        Question::Leave => {
            bucket::leave(&table, key);
            PASSED
        }
        Question::Count => bucket::count(&table, key) as u64,
        Question::Refuse => {
            let ticks = (ask.asked.now >> proxy_common::gcra::FRACTION) as u32;
            bucket::refuse(&table, key, ticks, ask.pause).map_or(0, |count| count as u64)
        }
        Question::Charge | Question::Plant | Question::Enter => PASSED,
    }
}

/// What needs an entry, which is made if there is none.
#[inline(always)]
pub fn settled<W: Keys>(world: &W, ask: &Ask) -> u64 {
    let Some(settled) = bucket::settle_once(&Buckets { world, sets: ask.sets }, &ask.key, &ask.asked) else {
        return AGAIN;
    };
    match settled {
        Settled::Charged(Charge::Refused(_)) => REFUSED,
        Settled::Charged(_) | Settled::Planted => PASSED,
        Settled::Entered(Enter::Entered(there)) => there as u64,
        Settled::Entered(_) => 0,
        Settled::Full => FULL,
    }
}

/// Charges the sketch: refused if both of the key's cells refuse, or its subnet's does.
#[inline(always)]
fn sketched<W: Keys>(world: &W, ask: &Ask) -> u64 {
    let mut passes = false;
    for cell in sketch::of_key(ask.key.tag) {
        let Some(cell) = world.sketch(cell) else { return PASSED };
        passes |= matches!(ask.asked.gcra.charge(cell, ask.asked.now, ask.asked.units), Charged::Passed(_));
    }
    if ask.subnet != 0 {
        // Another secret: no client's key has the same hash.
        let subnet = Key::new(
            !ask.seed,
            Key::limit_of(ask.key.info),
            Key::measure_of(ask.key.info),
            Who::Number,
            [ask.subnet, 0],
        );
        let Some(cell) = world.sketch(sketch::of_subnet(subnet.tag)) else { return PASSED };
        let more =
            Gcra { interval: ask.asked.gcra.interval >> sketch::MORE, tolerance: ask.asked.gcra.tolerance };
        passes &= matches!(more.charge(cell, ask.asked.now, ask.asked.units), Charged::Passed(_));
    }
    if passes { PASSED } else { REFUSED }
}

/// The state that the sketch has for a key.
#[inline(always)]
pub fn least<W: Keys>(world: &W, key: &Key) -> u64 {
    let [first, second] = sketch::of_key(key.tag);
    let state = |cell: u32| world.sketch(cell).map_or(0, |cell| cell.load());
    state(first).min(state(second))
}
