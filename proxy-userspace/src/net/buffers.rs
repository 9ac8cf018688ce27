//! Buffers for reading: taken when there is something to read, given back when it is used up. Connections that are
//! idle hold none, and those that are busy share few, which stay in the CPU's cache.

use std::cell::RefCell;
use std::collections::VecDeque;

use bytes::BytesMut;

/// Bytes of a buffer.
pub const SIZE: usize = 16 << 10;
/// A buffer with less room is made whole before it is handed out.
const ROOM: usize = SIZE / 2;
/// No more than this many are kept for each thread.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<VecDeque<BytesMut>> = const { RefCell::new(VecDeque::new()) };
}

/// An empty buffer with room.
pub fn take() -> BytesMut {
    FREE.with_borrow_mut(|free| {
        // What was given back last is in the cache. What was read into it may still be in use: its room is then what
        // follows that, until there is too little. What was given back first has had the most time to be let go.
        let Some(mut hot) = free.pop_back() else { return BytesMut::with_capacity(SIZE) };
        if has_room(&mut hot) {
            return hot;
        }
        let cold = free.pop_front();
        free.push_front(hot);
        match cold.map(|mut cold| has_room(&mut cold).then_some(cold)) {
            Some(Some(cold)) => cold,
            _ => BytesMut::with_capacity(SIZE),
        }
    })
}

fn has_room(buffer: &mut BytesMut) -> bool {
    buffer.capacity() >= ROOM || buffer.try_reclaim(SIZE)
}

/// Gives a buffer back. Its content is dropped; what was split from it stays.
pub fn give(mut buffer: BytesMut) {
    buffer.clear();
    FREE.with_borrow_mut(|free| {
        if free.len() < KEPT && buffer.capacity() > 0 && buffer.capacity() <= 4 * SIZE {
            free.push_back(buffer);
        }
    });
}

/// Makes room in a buffer that may be empty and without any.
pub fn room(buffer: &mut BytesMut) {
    if buffer.capacity() == 0 {
        *buffer = take();
    } else if buffer.capacity() - buffer.len() < ROOM / 4 {
        buffer.reserve(SIZE);
    }
}

/// Gives a buffer back if nothing is in it.
pub fn give_if_empty(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > 0 {
        give(std::mem::take(buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_split_from_a_buffer_survives_its_next_use() {
        let mut buffer = take();
        buffer.extend_from_slice(b"first");
        let first = buffer.split().freeze();
        give(buffer);
        let mut again = take();
        again.extend_from_slice(b"second");
        assert_eq!(&first[..], b"first");
        assert_eq!(&again[..], b"second");
    }

    #[test]
    fn a_buffer_always_has_room() {
        let mut held = Vec::new();
        for _ in 0..100 {
            let mut buffer = take();
            assert!(buffer.capacity() >= ROOM);
            buffer.resize(1000, 0);
            held.push(buffer.split().freeze());
            give(buffer);
        }
    }
}
