//! What each key of each limit has used up: the kernel's table, which its programs charge at the same time, or memory of
//! this process where there is no kernel part.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use proxy_common::bucket::{self, Charge, Enter, Entry, Key, Make, Memory, SharedBucketSet, WAYS, Who};
use proxy_common::gcra::Gcra;
use proxy_common::hash::{text_begin, text_word};

use super::clock::Clock;

/// Where the sets of the table lie.
pub trait Sets: std::fmt::Debug + Send + Sync {
    /// All of them: a power of two.
    fn sets(&self) -> &[SharedBucketSet];
}

/// Memory of this process: taken when a key is looked for the first time.
#[derive(Debug)]
pub struct Heap {
    sets: OnceLock<Vec<SharedBucketSet>>,
    count: usize,
}

impl Heap {
    /// Room for so many keys.
    pub fn new(keys: u32) -> Self {
        let sets = (keys / WAYS as u32).max(2).next_power_of_two();
        Self { sets: OnceLock::new(), count: sets as usize }
    }
}

impl Sets for Heap {
    fn sets(&self) -> &[SharedBucketSet] {
        self.sets.get_or_init(|| (0..self.count).map(|_| SharedBucketSet::default()).collect())
    }
}

/// The table, to charge and to look into. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Table {
    sets: Arc<dyn Sets>,
    seed: u64,
    clock: Arc<Clock>,
}

/// The sets as the shared code wants them.
struct View<'a>(&'a [SharedBucketSet]);

impl Memory for View<'_> {
    fn set(&self, index: u32) -> Option<&SharedBucketSet> {
        self.0.get(index as usize)
    }
    fn sets(&self) -> u32 {
        self.0.len() as u32
    }
    fn claimant(&self) -> u16 {
        claimant()
    }
}

/// A number of this thread's own. Odd ones are for the kernel's CPUs. Those of two daemons, in an upgrade, begin at
/// different places.
fn claimant() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static OWN: u16 = {
            let number = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Relaxed));
            (number % 2047 + 1) as u16 * 2
        };
    }
    OWN.with(|own| *own)
}

impl Table {
    /// A table in this memory, whose keys are hashed with this seed.
    pub fn new(sets: Arc<dyn Sets>, seed: u64, clock: Arc<Clock>) -> Self {
        Self { sets, seed, clock }
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    fn view(&self) -> View<'_> {
        View(self.sets.sets())
    }

    /// The key of an address, masked already.
    pub fn address_key(&self, limit: u16, measure: u8, address: IpAddr) -> Key {
        let (kind, who) = who(address);
        Key::new(self.seed, limit, measure, kind, who)
    }

    /// The key of a number: of a listener or of a backend; 0 for all that a limit counts.
    pub fn number_key(&self, limit: u16, measure: u8, number: u64) -> Key {
        Key::new(self.seed, limit, measure, Who::Number, [number, 0])
    }

    /// The key of a text. A listener's is that of its name, in the kernel too.
    pub fn text_key(&self, limit: u16, measure: u8, text: &str) -> Key {
        Key::new(self.seed, limit, measure, Who::Text, [text_hash(self.seed, text), 0])
    }

    /// Charges `units`; whoever is here has proved to be alive, so an absent key gets an entry.
    pub fn charge(&self, key: &Key, gcra: &Gcra, units: u32) -> Charge {
        bucket::charge(&self.view(), key, gcra, units, self.clock.now(), Make::Yes)
    }

    /// Whether `units` would pass.
    pub fn peek(&self, key: &Key, gcra: &Gcra, units: u32) -> Charge {
        bucket::peek(&self.view(), key, gcra, units, self.clock.now())
    }

    /// Counts one more, unless `most` are there.
    pub fn enter(&self, key: &Key, most: u64) -> Enter {
        bucket::enter(&self.view(), key, u32::try_from(most).unwrap_or(u32::MAX), self.clock.now())
    }

    /// Counts one less: for each [`Enter::Entered`] once.
    pub fn leave(&self, key: &Key) {
        bucket::leave(&self.view(), key);
    }

    /// How many are in.
    pub fn count(&self, key: &Key) -> u32 {
        bucket::count(&self.view(), key)
    }

    /// Counts a refusal. So many since the last one that was told, if it is time to tell again: once a second.
    pub fn refuse(&self, key: &Key) -> Option<u32> {
        bucket::refuse(&self.view(), key, self.clock.ticks() as u32, self.clock.hz())
    }

    /// Forgets what a key has used up; what is in at a time stays counted. Whether it had an entry.
    pub fn reset(&self, key: &Key) -> bool {
        bucket::reset(&self.view(), key)
    }

    /// Forgets what the keys of a limit have used up. How many had an entry.
    pub fn reset_limit(&self, limit: u16) -> usize {
        let ways = self.sets.sets().iter().flat_map(|set| (0..WAYS).map(move |way| (set, way)));
        let own = ways.filter(|(set, way)| bucket::entry(set, *way).is_some_and(|e| e.limit == limit));
        own.map(|(set, way)| bucket::reset_way(set, way)).count()
    }

    /// All entries.
    pub fn entries(&self) -> impl Iterator<Item = Entry> {
        self.sets.sets().iter().flat_map(|set| (0..WAYS).filter_map(|way| bucket::entry(set, way)))
    }
}

/// The hash of a text, as a key has it.
pub fn text_hash(seed: u64, text: &str) -> u64 {
    let mut hash = text_begin(seed, text.len() as u64);
    for chunk in text.as_bytes().chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = text_word(hash, seed, u64::from_le_bytes(word));
    }
    hash
}

/// An address as a key has it: words as they lie in a packet.
pub fn who(address: IpAddr) -> (Who, [u64; 2]) {
    match address {
        IpAddr::V4(ip) => (Who::V4, [u64::from(u32::from_ne_bytes(ip.octets())), 0]),
        IpAddr::V6(ip) => {
            let octets = ip.octets();
            let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| octets[at + i]));
            (Who::V6, [word(0), word(8)])
        }
    }
}

/// The address that a key has.
pub fn address(kind: Who, who: [u64; 2]) -> Option<IpAddr> {
    match kind {
        Who::V4 => Some(IpAddr::from((who[0] as u32).to_ne_bytes())),
        Who::V6 => {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&who[0].to_ne_bytes());
            octets[8..].copy_from_slice(&who[1].to_ne_bytes());
            Some(IpAddr::from(octets))
        }
        Who::Number | Who::Text => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table::new(Arc::new(Heap::new(1024)), 7, Arc::default())
    }

    #[test]
    fn an_address_is_found_again_in_its_key() {
        for text in ["192.0.2.7", "2001:db8::7", "::"] {
            let ip: IpAddr = text.parse().unwrap();
            let (kind, words) = who(ip);
            assert_eq!(address(kind, words), Some(ip));
        }
    }

    #[test]
    fn keys_differ_by_limit_measure_and_text() {
        let table = table();
        let keys = [
            table.text_key(1, 4, "a"),
            table.text_key(1, 4, "a\0"),
            table.text_key(1, 4, ""),
            table.text_key(2, 4, "a"),
            table.text_key(1, 5, "a"),
            table.number_key(1, 4, 0),
            table.address_key(1, 4, IpAddr::from([0, 0, 0, 0])),
        ];
        let tags: std::collections::BTreeSet<_> = keys.iter().map(|key| key.tag).collect();
        assert_eq!(tags.len(), keys.len());
    }

    #[test]
    fn a_limit_is_forgotten_without_the_others() {
        let table = table();
        let gcra = Gcra::new(1, 1_000_000_000, 1, 1000).unwrap();
        let keys = [table.text_key(1, 4, "a"), table.text_key(1, 4, "b"), table.text_key(2, 4, "a")];
        for key in &keys {
            assert!(matches!(table.charge(key, &gcra, 1), Charge::Passed(_)));
            assert!(matches!(table.peek(key, &gcra, 1), Charge::Refused(_)));
        }
        assert_eq!(table.reset_limit(1), 2);
        assert!(matches!(table.peek(&keys[0], &gcra, 1), Charge::Passed(_)));
        assert!(matches!(table.peek(&keys[2], &gcra, 1), Charge::Refused(_)));
        assert_eq!(table.entries().count(), 3);
    }

    #[test]
    fn a_refusal_is_told_once_a_second() {
        let table = table();
        let key = table.text_key(1, 4, "a");
        let gcra = Gcra::new(1, 1_000_000_000, 1, 1000).unwrap();
        assert!(matches!(table.charge(&key, &gcra, 1), Charge::Passed(_)));
        assert_eq!(table.refuse(&key), Some(1));
        assert_eq!(table.refuse(&key), None);
        assert_eq!(table.entries().next().unwrap().refused, 2);
    }
}
