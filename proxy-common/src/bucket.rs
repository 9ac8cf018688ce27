//! Buckets: what each key of each limit has used up, in one table that the kernel programs and the workers share.
//!
//! A key is at home in two sets of four ways each, by the two halves of its tag. Its state is a theoretical arrival time
//! ([`crate::gcra`]), or a count of what is there at a time. A state that is not ahead of the clock, and a count of 0, say
//! nothing that an absent key does not say: such a way is **dead**, and another key may take it. If none of the
//! eight is, the new key has no place, which is told.
//!
//! Keys of clients that may be made up are **lent** a place: in the second half of a set, so that half of the table is all
//! that they fill; and a key of somebody who has proved to be there takes a lent place when no other is dead.
//!
//! How a way changes hands, without a lock:
//! 1. the dead state becomes "taken", by compare-exchange: whoever charges it in the same instant has been faster, or
//!    sees it. From here on the way is held: nobody else takes it, and its old key has no entry there any more;
//! 2. the tag becomes the new key's, tentative: with the number of who takes it;
//! 3. both sets are read again. The key's confirmed entry elsewhere: this one gives way. Tentative ones are struck out;
//! 4. the state becomes a fresh one, and the tag is confirmed, unless somebody struck it out.
//!
//! Of two who enter one key at once, the later to write its tentative tag sees the other's, so there never are two confirmed
//! entries. Whoever gives way leaves a way without a tag behind; and what somebody held who was killed half-way is free
//! after a while.

use crate::cell::Cell64;
use crate::gcra::Gcra;

/// What is wanted of a key.
mod asked;
/// Whose traffic is counted together.
mod key;
/// What a way's state says.
mod state;

pub use asked::{Asked, Charge, Enter, Make, Right, Settled, Wish};
use key::{CLAIMANT, LENT};
pub use key::{Key, Who, claimant_of_cpu, salt_of, tag_of};
use state::{COUNT, NUMBER, TAKEN, is_held, is_taken, life, taken};

/// Ways of a set.
pub const WAYS: usize = 4;
/// Keys of the table unless the configuration says otherwise.
pub const KEYS_DEFAULT: u32 = 1 << 16;
/// The least and the most keys that the configuration may ask for.
pub const KEYS_RANGE: core::ops::RangeInclusive<u32> = 1024..=1 << 24;

/// How often a state is tried to be changed when another CPU was faster. After that it is refused: a limit never opens.
const TRIES: u32 = 4;
/// How often a key is looked for anew when its way changes hands under it.
pub const ROUNDS: u32 = 3;
/// Ways of a set that are never lent: the first ones.
const KEPT: usize = WAYS / 2;

/// Four ways: `BucketSet` is the plain copy, [`SharedBucketSet`] the same bytes in the table. The first cache line is all
/// that a charge touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct BucketSet<U64 = u64> {
    /// Whose each way is: [`Key::tag`]; 0: nobody's.
    pub tags: [U64; WAYS],
    /// How much it has used up.
    pub states: [U64; WAYS],
    /// How often it was refused (lower half), and how often of these events have told (upper half).
    pub refused: [U64; WAYS],
    /// [`Key::who`].
    pub who: [[U64; 2]; WAYS],
    /// [`Key::info`], and in the lower half the clock's tick at the last event.
    pub info: [U64; WAYS],
}

/// A set that every CPU reads and writes.
pub type SharedBucketSet = BucketSet<Cell64>;

const _: () = assert!(size_of::<BucketSet>() == 192 && size_of::<SharedBucketSet>() == 192);

/// Where the sets lie: a map, or plain memory.
pub trait Memory {
    /// The set of this number, which is below [`Self::sets`].
    fn set(&self, index: u32) -> Option<&SharedBucketSet>;
    /// How many sets there are: a power of two.
    fn sets(&self) -> u32;
    /// A number from 1 to 4095 that nobody else has who works on the table in the same instant; 0: there is none left, and
    /// keys without an entry get none.
    fn claimant(&self) -> u16;
    /// [`find_tag`]. In the kernel this and the next two are functions of their own, which the verifier
    /// checks once.
    fn locate(&self, tag: u64) -> Option<Place> {
        find_tag(self, tag)
    }
    /// The way that a tag may take.
    fn victim(&self, tag: u64, now: u64, right: Right) -> Option<Place> {
        victim(self, tag, now, right)
    }
    /// Whether a tag has no confirmed entry beside a tentative one at `own`. Other tentative ones are struck out.
    fn is_alone(&self, tag: u64, own: Place) -> bool {
        is_alone(self, tag, own)
    }
}

/// The two sets that a tag is at home in.
#[inline(always)]
const fn homes(tag: u64, sets: u32) -> [u32; 2] {
    let first = first_home(tag, sets);
    [first, second_home(tag, sets, first)]
}

#[inline(always)]
const fn first_home(tag: u64, sets: u32) -> u32 {
    (tag >> 12) as u32 & sets.wrapping_sub(1)
}

#[inline(always)]
const fn second_home(tag: u64, sets: u32, first: u32) -> u32 {
    let mask = sets.wrapping_sub(1);
    let second = (tag >> 36) as u32 & mask;
    if second == first { (second ^ 1) & mask } else { second }
}

/// Where an entry is: the number of its set, and below that the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(u64);

impl Place {
    #[inline(always)]
    const fn new(set: u32, way: usize) -> Self {
        Self((set as u64) << 2 | way as u64)
    }
    #[inline(always)]
    const fn set(self) -> u32 {
        (self.0 >> 2) as u32
    }
    #[inline(always)]
    const fn way(self) -> usize {
        self.0 as usize & (WAYS - 1)
    }

    /// As one number, with one for "none".
    #[inline(always)]
    pub const fn pack(place: Option<Self>) -> u64 {
        match place {
            Some(place) => place.0,
            None => u64::MAX,
        }
    }
    /// From the number.
    #[inline(always)]
    pub const fn unpack(number: u64) -> Option<Self> {
        if number == u64::MAX { None } else { Some(Self(number)) }
    }
}

/// Where the confirmed entry of the key with this tag is.
#[inline(always)]
pub fn find_tag<M: Memory + ?Sized>(memory: &M, tag: u64) -> Option<Place> {
    for set in homes(tag, memory.sets()) {
        let SharedBucketSet { tags, states, .. } = memory.set(set)?;
        for (way, there) in tags.iter().enumerate() {
            // What is about to be another key's is not looked at any more.
            if there.load() == tag && !is_taken(states[way].load()) {
                return Some(Place::new(set, way));
            }
        }
    }
    None
}

/// The confirmed entry with this tag: its set and its way.
#[inline(always)]
pub fn located<M: Memory>(memory: &M, tag: u64) -> Option<(&SharedBucketSet, usize)> {
    let first = first_home(tag, memory.sets());
    let set = memory.set(first)?;
    if let Some(way) = way_of(set, tag) {
        return Some((set, way));
    }
    let set = memory.set(second_home(tag, memory.sets(), first))?;
    way_of(set, tag).map(|way| (set, way))
}

/// Charges `units` to the [`located`] entry of a tag, in one step or not at all. Whether it did, and they pass; if not, [`charge`] says
/// why.
#[inline(always)]
pub fn charges_at_once(
    set: &SharedBucketSet,
    way: usize,
    tag: u64,
    gcra: &Gcra,
    units: u32,
    now: u64,
) -> bool {
    let state = &set.states[way];
    let old = state.load();
    let Ok(next) = gcra.step(old, now, units) else { return false };
    // Another key's by now: that one has lost a unit.
    old & COUNT == 0 && state.replace_if(old, next) && set.tags[way].load_ordered() == tag
}

/// The way of a set that has this tag.
#[inline(always)]
fn way_of(set: &SharedBucketSet, tag: u64) -> Option<usize> {
    (0..WAYS).find(|way| set.tags[*way].load() == tag)
}

/// Charges `units` to a key at `now`, the clock in fractions.
#[inline(always)]
pub fn charge<M: Memory>(memory: &M, key: &Key, gcra: &Gcra, units: u32, now: u64, make: Make) -> Charge {
    if let Some(place) = memory.locate(key.tag)
        && let Some(done) = charge_at(memory, key, place, gcra, units, now)
    {
        return done;
    }
    match make {
        Make::Yes => match settle(memory, key, &Asked { gcra: *gcra, units, now, ..Asked::default() }) {
            Settled::Charged(charge) => charge,
            _ => Charge::Full,
        },
        Make::No => Charge::Absent,
    }
}

/// Does something with a key's entry, which is made if there is none.
#[inline(always)]
pub fn settle<M: Memory>(memory: &M, key: &Key, asked: &Asked) -> Settled {
    for _ in 0..ROUNDS {
        if let Some(settled) = settle_once(memory, key, asked) {
            return settled;
        }
    }
    Settled::Full
}

/// As [`settle`], once. `None`: somebody else was faster; to be tried again, [`ROUNDS`] times at most.
#[inline(always)]
pub fn settle_once<M: Memory>(memory: &M, key: &Key, asked: &Asked) -> Option<Settled> {
    let begin = if asked.wish == Wish::Enter { COUNT } else { asked.begin & !COUNT };
    let place = match claim(memory, key, begin, asked.now, asked.right) {
        Claim::At(place) => place,
        Claim::Full => return Some(Settled::Full),
        Claim::Again => return None,
    };
    match asked.wish {
        Wish::Charge => {
            charge_at(memory, key, place, &asked.gcra, asked.units, asked.now).map(Settled::Charged)
        }
        Wish::Enter => enter_at(memory, key, place, asked.units).map(Settled::Entered),
        Wish::Plant => Some(Settled::Planted),
    }
}

/// Charges an entry. `None`: it is the key's no more.
#[inline(always)]
fn charge_at<M: Memory>(
    memory: &M,
    key: &Key,
    place: Place,
    gcra: &Gcra,
    units: u32,
    now: u64,
) -> Option<Charge> {
    let set = memory.set(place.set())?;
    let (tag, state) = (&set.tags[place.way()], &set.states[place.way()]);
    for _ in 0..TRIES {
        let old = state.load();
        if old & COUNT != 0 {
            return None;
        }
        match gcra.step(old, now, units) {
            Err(wait) => {
                recover(state, old, now.wrapping_add(gcra.tolerance));
                return (tag.load() == key.tag).then_some(Charge::Refused(wait));
            }
            Ok(next) if state.replace_if(old, next) => {
                // Another key's by now: that one has lost a unit, and this one is charged anew.
                let left = now.wrapping_add(gcra.tolerance).wrapping_sub(next);
                return (tag.load_ordered() == key.tag).then_some(Charge::Passed(left));
            }
            Ok(_) => {}
        }
    }
    Some(Charge::Refused(0))
}

/// Whether `units` would pass, without a charge. A key without an entry is absent.
#[inline(always)]
pub fn peek<M: Memory>(memory: &M, key: &Key, gcra: &Gcra, units: u32, now: u64) -> Charge {
    let Some(place) = memory.locate(key.tag) else { return Charge::Absent };
    let Some(set) = memory.set(place.set()) else { return Charge::Absent };
    let state = &set.states[place.way()];
    let (old, most) = (state.load(), now.wrapping_add(gcra.tolerance));
    if old & COUNT != 0 {
        return Charge::Absent;
    }
    match gcra.step(old, now, units) {
        Ok(next) => Charge::Passed(most.wrapping_sub(next)),
        Err(wait) => {
            recover(state, old, most);
            Charge::Refused(wait)
        }
    }
}

/// What a slower rate wrote may lie hours ahead: it is brought down to "all spent", from where it recovers at this rate.
#[inline(always)]
fn recover(state: &Cell64, old: u64, most: u64) {
    if old > most {
        // Not so: somebody else was faster, or the way is another key's.
        let _theirs = state.replace_if(old, most);
    }
}

/// Counts one more for a key, unless `most` are there already.
#[inline(always)]
pub fn enter<M: Memory>(memory: &M, key: &Key, most: u32, now: u64) -> Enter {
    if most == 0 {
        return Enter::Refused;
    }
    match settle(memory, key, &Asked { wish: Wish::Enter, units: most, now, ..Asked::default() }) {
        Settled::Entered(enter) => enter,
        _ => Enter::Full,
    }
}

/// Counts one more in an entry. `None`: it is the key's no more.
#[inline(always)]
fn enter_at<M: Memory>(memory: &M, key: &Key, place: Place, most: u32) -> Option<Enter> {
    let set = memory.set(place.set())?;
    let (tag, state) = (&set.tags[place.way()], &set.states[place.way()]);
    for _ in 0..TRIES {
        let old = state.load();
        if old & (COUNT | TAKEN) != COUNT {
            return None;
        }
        let there = (old & NUMBER) as u32;
        if there >= most {
            return (tag.load() == key.tag).then_some(Enter::Refused);
        }
        if state.replace_if(old, old + 1) {
            if tag.load_ordered() == key.tag {
                return Some(Enter::Entered(there + 1));
            }
            // Another key's count by now. While one is in, nobody takes the way.
            state.fetch_sub(1);
            return None;
        }
    }
    Some(Enter::Refused)
}

/// Counts one less for a key: for each [`Enter::Entered`] once.
#[inline(always)]
pub fn leave<M: Memory>(memory: &M, key: &Key) {
    let Some(place) = memory.locate(key.tag) else { return };
    let Some(set) = memory.set(place.set()) else { return };
    let state = &set.states[place.way()];
    for _ in 0..TRIES {
        let old = state.load();
        // Nobody is in: the entry was reset by hand.
        if old & (COUNT | TAKEN) != COUNT || old & NUMBER == 0 || state.replace_if(old, old - 1) {
            return;
        }
    }
    // So many others change it that it is far from 0.
    state.fetch_sub(1);
}

/// How many are in for a key.
#[inline(always)]
pub fn count<M: Memory>(memory: &M, key: &Key) -> u32 {
    let Some(place) = memory.locate(key.tag) else { return 0 };
    let Some(set) = memory.set(place.set()) else { return 0 };
    let state = set.states[place.way()].load();
    if state & (COUNT | TAKEN) == COUNT { (state & NUMBER) as u32 } else { 0 }
}

/// Counts a refusal for a key, for people, and says whether an event shall tell of it: so many since the last one. At
/// most one in `pause` ticks; a key without an entry has none to wait for, and is told of never.
#[inline(always)]
pub fn refuse<M: Memory>(memory: &M, key: &Key, ticks: u32, pause: u32) -> Option<u32> {
    let place = memory.locate(key.tag)?;
    let set = memory.set(place.set())?;
    let (refused, info) = (&set.refused[place.way()], &set.info[place.way()]);
    let total = refused.fetch_add(1).wrapping_add(1);
    let old = info.load();
    let told = total >> 32;
    if told != 0 && ticks.wrapping_sub(old as u32) < pause {
        return None;
    }
    if !info.replace_if(old, old & !NUMBER | ticks as u64) {
        return None;
    }
    let all = total & NUMBER;
    refused.store(all << 32 | all);
    Some((all as u32).wrapping_sub(told as u32))
}

/// Forgets what a key has used up; what is in at a time stays counted. Whether there was an entry.
pub fn reset<M: Memory>(memory: &M, key: &Key) -> bool {
    let Some(set) = memory.locate(key.tag).and_then(|place| Some((memory.set(place.set())?, place.way())))
    else {
        return false;
    };
    reset_way(set.0, set.1);
    true
}

/// Forgets what a way's key has used up; what is in at a time stays counted.
pub fn reset_way(set: &SharedBucketSet, way: usize) {
    let state = &set.states[way];
    let old = state.load();
    if old & COUNT == 0 {
        // Whoever was faster has charged a unit: that one is forgotten too, or, at worst, not.
        let _charged = state.replace_if(old, 0);
    }
    set.refused[way].store(0);
}

/// An entry, as people are shown it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The limit, by its number.
    pub limit: u16,
    /// The measure, by its number.
    pub measure: u8,
    /// What `who` is.
    pub kind: Who,
    /// Whose.
    pub who: [u64; 2],
    /// The state: a time ahead of the clock, or a count.
    pub state: State,
    /// How often it was refused.
    pub refused: u32,
}

/// The state of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Theoretical arrival time, in fractions.
    Time(u64),
    /// So many at a time.
    Count(u32),
}

/// A way's entry, if it has one that is confirmed.
pub fn entry(set: &SharedBucketSet, way: usize) -> Option<Entry> {
    let (tag, state, info) = (set.tags[way].load(), set.states[way].load(), set.info[way].load());
    if tag == 0 || tag & CLAIMANT != 0 || is_taken(state) {
        return None;
    }
    Some(Entry {
        limit: Key::limit_of(info),
        measure: Key::measure_of(info),
        kind: Key::kind_of(info),
        who: [set.who[way][0].load(), set.who[way][1].load()],
        state: if state & COUNT == 0 { State::Time(state) } else { State::Count((state & NUMBER) as u32) },
        refused: set.refused[way].load() as u32,
    })
}

enum Claim {
    /// The key has an entry here.
    At(Place),
    /// No way is dead.
    Full,
    /// Somebody else was faster.
    Again,
}

/// Gives a key an entry that begins with this state, or finds the one that it has by now.
#[inline(always)]
fn claim<M: Memory>(memory: &M, key: &Key, begin: u64, now: u64, right: Right) -> Claim {
    if let Some(place) = memory.locate(key.tag) {
        if right == Right::Own {
            keep(memory, place);
        }
        return Claim::At(place);
    }
    let Some(place) = memory.victim(key.tag, now, right) else { return Claim::Full };
    let Some(set) = memory.set(place.set()) else { return Claim::Full };
    let (tag, state) = (&set.tags[place.way()], &set.states[place.way()]);
    let mine = memory.claimant() as u64 & CLAIMANT;
    if mine == 0 {
        return Claim::Full;
    }
    let (taken, tentative) = (taken(now, mine), key.tag | mine);
    let (old_tag, old_state) = (tag.load(), state.load());
    // What is lent is looked at after the state: whoever has got the way meanwhile has changed that.
    let free = life(old_tag, old_state) < now
        || right == Right::Own && set.info[place.way()].load_ordered() & LENT != 0;
    if !free || is_held(old_state, now) || !state.replace_if(old_state, taken) {
        return Claim::Again;
    }
    if !tag.replace_if(old_tag, tentative) || !memory.is_alone(key.tag, place) {
        // The way is held: whatever stands there is nobody's.
        tag.store(0);
        let _freed = state.replace_if(taken, 0);
        return Claim::Again;
    }
    set.refused[place.way()].store(0);
    set.who[place.way()][0].store(key.who[0]);
    set.who[place.way()][1].store(key.who[1]);
    set.info[place.way()].store_ordered(key.info | if right == Right::Lent { LENT } else { 0 });
    if state.replace_if(taken, begin) && tag.replace_if(tentative, key.tag) {
        return Claim::At(place);
    }
    Claim::Again
}

/// The way for a tag, of those that it is at home in: the one that has been dead for longest. If none is, and it has a right of its
/// own, the lent one that is the least ahead.
#[inline(always)]
pub fn victim<M: Memory + ?Sized>(memory: &M, tag: u64, now: u64, right: Right) -> Option<Place> {
    let (mut best, mut least) = (0, now);
    let (mut lent, mut soonest) = (u64::MAX, u64::MAX);
    for set in homes(tag, memory.sets()) {
        let lines = memory.set(set)?;
        for way in 0..WAYS {
            if right == Right::Lent && way < KEPT {
                continue;
            }
            let (tag, state) = (lines.tags[way].load(), lines.states[way].load());
            if is_held(state, now) {
                continue;
            }
            let life = life(tag, state);
            if life < least {
                least = life;
                best = Place::new(set, way).0;
            }
            if way >= KEPT && life <= soonest && lines.info[way].load() & LENT != 0 {
                soonest = life;
                lent = Place::new(set, way).0;
            }
        }
    }
    if least < now {
        return Some(Place(best));
    }
    if right == Right::Own { Place::unpack(lent) } else { None }
}

/// An entry is lent no more: its client has proved to be there.
#[inline(always)]
fn keep<M: Memory + ?Sized>(memory: &M, place: Place) {
    let Some(set) = memory.set(place.set()) else { return };
    let info = &set.info[place.way()];
    let old = info.load();
    if old & LENT != 0 {
        // Not so: somebody tells of a refusal at this instant; it is kept the next time.
        let _theirs = info.replace_if(old, old & !LENT);
    }
}

/// Whether a tag has no confirmed entry beside a tentative one at `own`. Other tentative ones are struck out.
#[inline(always)]
pub fn is_alone<M: Memory + ?Sized>(memory: &M, tag: u64, own: Place) -> bool {
    for index in homes(tag, memory.sets()) {
        let Some(set) = memory.set(index) else { return false };
        for (way, cell) in set.tags.iter().enumerate() {
            if Place::new(index, way) == own {
                continue;
            }
            let there = cell.load_ordered();
            if there == tag && is_taken(set.states[way].load_ordered()) {
                // It is about to be another key's.
                continue;
            }
            // Not struck out: it was confirmed, or given up, in this instant.
            if there & !CLAIMANT == tag && (there == tag || !cell.replace_if(there, 0)) {
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix64;
    use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
    use std::{cell::Cell, collections::HashSet, format, thread, thread_local, vec::Vec};

    const SECOND: u64 = 1_000_000_000;
    const NOW: u64 = 1 << 57;

    thread_local! {
        static CLAIMANT_NUMBER: Cell<u16> = const { Cell::new(1) };
    }

    struct Plain(Vec<SharedBucketSet>);

    impl Plain {
        fn new(sets: usize) -> Self {
            Self((0..sets).map(|_| SharedBucketSet::default()).collect())
        }
        fn confirmed(&self) -> Vec<u64> {
            let tags = self.0.iter().flat_map(|set| set.tags.iter().map(Cell64::load));
            tags.filter(|tag| *tag != 0 && tag & CLAIMANT == 0).collect()
        }
    }

    impl Memory for Plain {
        fn set(&self, index: u32) -> Option<&SharedBucketSet> {
            self.0.get(index as usize)
        }
        fn sets(&self) -> u32 {
            self.0.len() as u32
        }
        fn claimant(&self) -> u16 {
            CLAIMANT_NUMBER.get()
        }
    }

    fn key(number: u64) -> Key {
        Key::new(7, 3, 1, Who::V4, [number, 0])
    }

    fn second(count: u64, burst: u64) -> Gcra {
        Gcra::new(count, SECOND, burst, 1000).unwrap()
    }

    #[test]
    fn every_cpu_has_a_number_of_its_own_or_none_and_takes_no_way_then() {
        let numbers: HashSet<u16> = (0..2048).map(claimant_of_cpu).collect();
        assert_eq!((numbers.len(), claimant_of_cpu(2048), claimant_of_cpu(u32::MAX)), (2048, 0, 0));
        assert!(numbers.iter().all(|number| number & 1 == 1 && u64::from(*number) <= CLAIMANT));
        let table = Plain::new(4);
        CLAIMANT_NUMBER.set(0);
        assert_eq!(charge(&table, &key(1), &second(1, 3), 1, NOW, Make::Yes), Charge::Full);
        assert_eq!(enter(&table, &key(1), 2, NOW), Enter::Full);
        CLAIMANT_NUMBER.set(claimant_of_cpu(200));
        assert!(matches!(charge(&table, &key(1), &second(1, 3), 1, NOW, Make::Yes), Charge::Passed(_)));
        CLAIMANT_NUMBER.set(0);
        assert!(matches!(charge(&table, &key(1), &second(1, 3), 1, NOW, Make::Yes), Charge::Passed(_)));
    }

    #[test]
    fn what_a_slower_rate_used_up_does_not_shut_a_faster_one() {
        let memory = Plain::new(4);
        let slow = Gcra::new(1, 3600 * SECOND, 1, 250).unwrap();
        let fast = Gcra::new(1000, SECOND, 1000, 250).unwrap();
        for peeked in [false, true] {
            let key = key(1 + u64::from(peeked));
            while let Charge::Passed(_) = charge(&memory, &key, &slow, 1, NOW, Make::Yes) {}
            let passed = if peeked {
                peek(&memory, &key, &fast, 1, NOW)
            } else {
                charge(&memory, &key, &fast, 1, NOW, Make::No)
            };
            assert!(matches!(passed, Charge::Passed(_)), "peeked {peeked}: {passed:?}");
        }
    }

    #[test]
    fn at_once_a_key_that_is_there_is_charged_as_ever_and_any_other_is_left_alone() {
        // Full sets: keys lie in every way of both of their homes.
        let (one, other) = (Plain::new(8), Plain::new(8));
        let gcra = second(1000, 3);
        let keys: Vec<Key> = (1..=48).map(key).collect();
        for key in &keys {
            for table in [&one, &other] {
                charge(table, key, &gcra, 1, NOW, Make::Yes);
            }
        }
        let states = |table: &Plain| -> Vec<u64> {
            table.0.iter().flat_map(|set| set.states.iter().map(Cell64::load)).collect()
        };
        let (mut passed, mut kept) = (0, 0);
        for step in 0..6 {
            for key in &keys {
                let now = NOW + step * (1 << 22);
                let before = states(&one);
                let done = located(&one, key.tag)
                    .is_some_and(|(set, way)| charges_at_once(set, way, key.tag, &gcra, 1, now));
                let usual = charge(&other, key, &gcra, 1, now, Make::No);
                assert_eq!(done, matches!(usual, Charge::Passed(_)));
                if done {
                    passed += 1;
                } else {
                    assert_eq!(states(&one), before);
                    kept += 1;
                }
            }
        }
        assert_eq!(states(&one), states(&other));
        assert!(passed > 48 && kept > 48, "{passed} {kept}");
    }

    #[test]
    fn a_key_has_its_burst_and_is_then_refused() {
        let table = Plain::new(16);
        let gcra = second(1, 5);
        assert_eq!(peek(&table, &key(1), &gcra, 1, NOW), Charge::Absent);
        assert_eq!(charge(&table, &key(1), &gcra, 1, NOW, Make::No), Charge::Absent);
        for _ in 0..5 {
            assert!(matches!(charge(&table, &key(1), &gcra, 1, NOW, Make::Yes), Charge::Passed(_)));
        }
        assert!(matches!(charge(&table, &key(1), &gcra, 1, NOW, Make::No), Charge::Refused(_)));
        assert!(matches!(peek(&table, &key(1), &gcra, 1, NOW), Charge::Refused(_)));
        assert!(matches!(charge(&table, &key(2), &gcra, 1, NOW, Make::Yes), Charge::Passed(_)));
        assert!(reset(&table, &key(1)) && !reset(&table, &key(3)));
        assert!(matches!(charge(&table, &key(1), &gcra, 1, NOW, Make::No), Charge::Passed(_)));
    }

    #[test]
    fn a_full_table_says_so_and_takes_the_place_of_who_has_all_credit_again() {
        let table = Plain::new(2);
        let gcra = second(1, 1);
        for number in 0..8 {
            let charged = charge(&table, &key(number), &gcra, 1, NOW, Make::Yes);
            assert!(matches!(charged, Charge::Passed(_)), "{number}");
        }
        assert_eq!(charge(&table, &key(8), &gcra, 1, NOW, Make::Yes), Charge::Full);
        let later = NOW + (1100 << crate::gcra::FRACTION);
        assert!(matches!(charge(&table, &key(8), &gcra, 1, later, Make::Yes), Charge::Passed(_)));
        assert_eq!(table.confirmed().len(), 8);
        assert!(table.locate(key(8).tag).is_some());
    }

    fn lent(now: u64, units: u32, gcra: Gcra) -> Asked {
        Asked { gcra, units, now, right: Right::Lent, ..Asked::default() }
    }

    #[test]
    fn places_are_lent_in_half_of_a_set_and_go_to_whoever_has_a_right_of_his_own() {
        let table = Plain::new(2);
        let gcra = second(1, 1);
        let settled = |number: u64| settle(&table, &key(number), &lent(NOW, 1, gcra));
        for number in 0..4 {
            assert!(matches!(settled(number), Settled::Charged(Charge::Passed(_))), "{number}");
        }
        assert_eq!(settled(4), Settled::Full);
        assert!(matches!(settled(0), Settled::Charged(Charge::Refused(_))), "it is there");
        // One who is there, with a lent place, keeps it; four more find free ones, three take lent ones.
        assert!(matches!(charge(&table, &key(3), &gcra, 1, NOW, Make::Yes), Charge::Refused(_)));
        settle(&table, &key(3), &Asked { wish: Wish::Plant, now: NOW, ..Asked::default() });
        for number in 10..17 {
            assert!(matches!(charge(&table, &key(number), &gcra, 1, NOW, Make::Yes), Charge::Passed(_)));
        }
        assert_eq!(charge(&table, &key(17), &gcra, 1, NOW, Make::Yes), Charge::Full);
        assert_eq!(settled(18), Settled::Full);
        for number in (10..17).chain([3]) {
            assert!(matches!(charge(&table, &key(number), &gcra, 1, NOW, Make::No), Charge::Refused(_)));
        }
        assert_eq!(peek(&table, &key(0), &gcra, 1, NOW), Charge::Absent);
    }

    #[test]
    fn a_lent_count_gives_way_too_and_is_of_the_same_kind_as_others() {
        let table = Plain::new(1);
        let enters = |number: u64| {
            let asked = Asked { wish: Wish::Enter, ..lent(NOW, 2, second(1, 1)) };
            settle(&table, &key(number), &asked)
        };
        assert_eq!(enters(0), Settled::Entered(Enter::Entered(1)));
        assert_eq!(enters(0), Settled::Entered(Enter::Entered(2)));
        assert_eq!(enters(1), Settled::Entered(Enter::Entered(1)));
        let kinds = (0..WAYS).filter_map(|way| entry(&table.0[0], way)).map(|entry| entry.kind);
        assert_eq!(kinds.collect::<Vec<_>>(), [Who::V4, Who::V4]);
        for number in 2..6 {
            assert_eq!(enter(&table, &key(number), 2, NOW), Enter::Entered(1));
        }
        leave(&table, &key(0));
        assert_eq!((count(&table, &key(0)), count(&table, &key(2))), (0, 1));
    }

    #[test]
    fn a_count_goes_up_to_its_most_and_its_way_is_free_once_all_have_left() {
        let table = Plain::new(2);
        assert_eq!(enter(&table, &key(1), 2, NOW), Enter::Entered(1));
        assert_eq!(enter(&table, &key(1), 2, NOW), Enter::Entered(2));
        assert_eq!(enter(&table, &key(1), 2, NOW), Enter::Refused);
        assert_eq!(count(&table, &key(1)), 2);
        for number in 2..9 {
            assert_eq!(enter(&table, &key(number), 2, NOW), Enter::Entered(1));
        }
        assert_eq!(enter(&table, &key(9), 2, NOW), Enter::Full);
        leave(&table, &key(1));
        assert_eq!(enter(&table, &key(9), 2, NOW), Enter::Full);
        leave(&table, &key(1));
        leave(&table, &key(1));
        assert_eq!(count(&table, &key(1)), 0);
        assert_eq!(enter(&table, &key(9), 2, NOW), Enter::Entered(1));
        assert_eq!(table.locate(key(1).tag), None);
    }

    #[test]
    fn a_way_that_was_counted_in_serves_a_rate_and_the_other_way_round() {
        let table = Plain::new(1);
        for number in 0..4 {
            assert_eq!(enter(&table, &key(number), 1, NOW), Enter::Entered(1));
            leave(&table, &key(number));
        }
        let gcra = second(1, 1);
        for number in 4..8 {
            let charged = charge(&table, &key(number), &gcra, 1, NOW, Make::Yes);
            assert!(matches!(charged, Charge::Passed(_)), "{number}");
        }
        let later = NOW + (1100 << crate::gcra::FRACTION);
        for number in 8..12 {
            assert_eq!(enter(&table, &key(number), 1, later), Enter::Entered(1));
        }
    }

    #[test]
    fn what_was_killed_half_way_is_free_after_a_while() {
        let gcra = second(1, 1);
        let once = |table: &Plain, now| {
            assert!(matches!(charge(table, &key(1), &gcra, 1, now, Make::Yes), Charge::Passed(_)));
            assert!(matches!(charge(table, &key(1), &gcra, 1, now, Make::Yes), Charge::Refused(_)));
        };
        for (wait, ways) in [(0, 2..4), (u64::from(state::HELD), 0..1)] {
            let table = Plain::new(1);
            let taken = taken(NOW, 9);
            for (way, tag) in [(0, key(1).tag), (1, key(1).tag | 9)] {
                table.0[0].tags[way].store(tag);
                table.0[0].states[way].store(taken);
            }
            once(&table, NOW + (wait << crate::gcra::FRACTION));
            let place = table.locate(key(1).tag).unwrap();
            assert!(ways.contains(&place.way()), "{place:?} after {wait} ticks");
        }
    }

    #[test]
    fn one_event_a_key_and_pause_tells_how_many_were_refused() {
        let table = Plain::new(2);
        assert_eq!(refuse(&table, &key(1), 5000, 1000), None, "it has no entry");
        charge(&table, &key(1), &second(1, 1), 1, NOW, Make::Yes);
        assert_eq!(refuse(&table, &key(1), 5000, 1000), Some(1));
        assert_eq!(refuse(&table, &key(1), 5001, 1000), None);
        assert_eq!(refuse(&table, &key(1), 5999, 1000), None);
        assert_eq!(refuse(&table, &key(1), 6000, 1000), Some(3));
        let place = table.locate(key(1).tag).unwrap();
        let entry = entry(&table.0[place.set() as usize], place.way()).unwrap();
        assert_eq!((entry.limit, entry.measure, entry.kind), (3, 1, Who::V4));
        assert_eq!((entry.who, entry.refused), ([1, 0], 4));
    }

    #[test]
    fn threads_that_enter_one_key_at_once_make_one_entry_of_it() {
        for round in 0..2000 {
            let table = Plain::new(4);
            let gcra = second(1, 3);
            let through = AtomicU64::new(0);
            thread::scope(|scope| {
                for claimant in 1..=3 {
                    let (table, gcra, through) = (&table, &gcra, &through);
                    scope.spawn(move || {
                        CLAIMANT_NUMBER.set(claimant);
                        for _ in 0..4 {
                            let charged = charge(table, &key(round), gcra, 1, NOW, Make::Yes);
                            if matches!(charged, Charge::Passed(_)) {
                                through.fetch_add(1, SeqCst);
                            }
                        }
                    });
                }
            });
            assert_eq!(through.into_inner(), 3, "round {round}");
            assert_eq!(table.confirmed(), [key(round).tag]);
        }
    }

    #[test]
    fn counts_are_exact_while_threads_take_each_other_s_ways() {
        const KEYS: usize = 24;
        const MOST: u32 = 2;
        let table = Plain::new(4);
        let inside: Vec<AtomicU32> = (0..KEYS).map(|_| AtomicU32::new(0)).collect();
        thread::scope(|scope| {
            for claimant in 1..=4u16 {
                let (table, inside) = (&table, &inside);
                scope.spawn(move || {
                    CLAIMANT_NUMBER.set(claimant);
                    let mut random = u64::from(claimant);
                    let mut mine = Vec::new();
                    for _ in 0..100_000 {
                        random = mix64(random.wrapping_add(0x9e37_79b9_7f4a_7c15));
                        let number = (random % KEYS as u64) as usize;
                        if mine.len() < 3 && random & 1 << 40 != 0 {
                            if let Enter::Entered(_) = enter(table, &key(number as u64), MOST, NOW) {
                                let there = inside[number].fetch_add(1, SeqCst) + 1;
                                assert!(there <= MOST, "{there} inside for {number}");
                                mine.push(number);
                            }
                        } else if let Some(number) = mine.pop() {
                            inside[number].fetch_sub(1, SeqCst);
                            leave(table, &key(number as u64));
                        }
                    }
                    for number in mine {
                        inside[number].fetch_sub(1, SeqCst);
                        leave(table, &key(number as u64));
                    }
                });
            }
        });
        for number in 0..KEYS as u64 {
            assert_eq!(count(&table, &key(number)), 0, "{number}");
        }
        let confirmed = table.confirmed();
        assert_eq!(confirmed.iter().collect::<HashSet<_>>().len(), confirmed.len(), "{confirmed:?}");
    }

    #[test]
    fn rates_hold_while_threads_take_each_other_s_ways() {
        const KEYS: u64 = 64;
        let table = Plain::new(32);
        let gcra = second(1, 2);
        let through: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            for claimant in 1..=4u16 {
                let (table, through, gcra) = (&table, &through, &gcra);
                scope.spawn(move || {
                    CLAIMANT_NUMBER.set(claimant);
                    let mut random = u64::from(claimant);
                    for _ in 0..100_000 {
                        random = mix64(random.wrapping_add(0x9e37_79b9_7f4a_7c15));
                        let number = random % KEYS;
                        if let Charge::Passed(_) = charge(table, &key(number), gcra, 1, NOW, Make::Yes) {
                            through[number as usize].fetch_add(1, SeqCst);
                        }
                    }
                });
            }
        });
        for (number, through) in through.iter().enumerate() {
            assert!(through.load(SeqCst) <= 2, "{}", format!("{number}: {}", through.load(SeqCst)));
        }
    }
}
