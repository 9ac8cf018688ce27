//! The table of spliced connections. Its numbers are given by this process alone; who holds one is found in the flow
//! table, so that nothing is to be remembered across a restart.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use proxy_common::limits::SPLICES;
use proxy_common::splice::{Splice, state};

use crate::l4::sys::{SharedArray, bytes_of};

const WORDS: usize = size_of::<Splice>() / size_of::<u64>();
const CHUNKS: usize = SPLICES as usize / 64;

/// The table.
#[derive(Debug)]
pub(crate) struct Splices {
    memory: SharedArray,
    numbers: Mutex<Numbers>,
}

/// Which numbers are taken, as bits.
#[derive(Debug)]
struct Numbers {
    taken: Box<[u64; CHUNKS]>,
    /// Those that a walk over the flow table has found.
    seen: Box<[u64; CHUNKS]>,
    /// Those that were given since it began.
    fresh: Box<[u64; CHUNKS]>,
    /// Those that were given since the one before it began: whoever has got one may only now enter its flows.
    older: Box<[u64; CHUNKS]>,
    next: usize,
    count: u32,
}

const fn place(number: u32) -> (usize, u64) {
    (number as usize / 64 % CHUNKS, 1 << (number % 64))
}

impl Splices {
    /// Takes the table over. What was being handed over when an earlier daemon ended is let go: its packets are the host's,
    /// which has no socket for them, and says so.
    pub(super) fn new(memory: SharedArray) -> Self {
        let none = || Box::new([0; CHUNKS]);
        let mut numbers =
            Numbers { taken: none(), seen: none(), fresh: none(), older: none(), next: 0, count: 0 };
        for number in 0..SPLICES {
            let word = &memory.words()[number as usize * WORDS];
            match word.load(SeqCst) & state::MASK {
                state::FREE => continue,
                state::LIVE => {}
                _ => word.store(state::FREE, SeqCst),
            }
            // Its number is free once no flow has it any more.
            let (chunk, bit) = place(number);
            numbers.taken[chunk] |= bit;
            numbers.count += 1;
        }
        Self { memory, numbers: Mutex::new(numbers) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that nobody has.
    pub(super) fn take(&self) -> Option<u32> {
        let numbers = &mut *self.lock();
        for step in 0..=CHUNKS {
            let chunk = (numbers.next / 64 + step) % CHUNKS;
            let low = if step == 0 { !0 << (numbers.next % 64) } else { !0 };
            let free = !numbers.taken[chunk] & low;
            if free != 0 {
                let bit = free.trailing_zeros();
                let number = chunk * 64 + bit as usize;
                numbers.taken[chunk] |= 1 << bit;
                numbers.fresh[chunk] |= 1 << bit;
                numbers.next = (number + 1) % (CHUNKS * 64);
                numbers.count += 1;
                return Some(number as u32);
            }
        }
        None
    }

    /// Writes an entry, its state last.
    pub(super) fn write(&self, number: u32, splice: &Splice) {
        let words = &self.memory.words()[number as usize * WORDS..][..WORDS];
        for (word, bytes) in words.iter().zip(bytes_of(splice).chunks_exact(8)).skip(1) {
            let mut eight = [0; 8];
            eight.copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(eight), Relaxed);
        }
        words[0].store(splice.state, SeqCst);
    }

    /// Writes a state alone.
    pub(super) fn set_state(&self, number: u32, state: u64) {
        self.memory.words()[number as usize * WORDS].store(state, SeqCst);
    }

    /// Whether packets of this connection are translated, or held.
    pub(crate) fn is_alive(&self, number: u32) -> bool {
        let word = self.memory.words().get(number as usize * WORDS);
        word.is_some_and(|word| word.load(SeqCst) & state::MASK != state::FREE)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.lock().count
    }

    /// A walk over the flow table begins.
    pub(crate) fn begin(&self) {
        let numbers = &mut *self.lock();
        numbers.seen.fill(0);
        std::mem::swap(&mut numbers.older, &mut numbers.fresh);
        numbers.fresh.fill(0);
    }

    /// It has found a flow with this number.
    pub(crate) fn see(&self, number: u32) {
        let (chunk, bit) = place(number);
        self.lock().seen[chunk] |= bit;
    }

    /// It has found all: numbers that no flow has are free.
    pub(crate) fn finish(&self) {
        let numbers = &mut *self.lock();
        for chunk in 0..CHUNKS {
            let given = numbers.fresh[chunk] | numbers.older[chunk];
            let mut gone = numbers.taken[chunk] & !numbers.seen[chunk] & !given;
            numbers.taken[chunk] &= !gone;
            while gone != 0 {
                let number = chunk * 64 + gone.trailing_zeros() as usize;
                self.memory.words()[number * WORDS].store(state::FREE, SeqCst);
                numbers.count -= 1;
                gone &= gone - 1;
            }
        }
    }
}
