//! The ClientHello, as CRYPTO frames bring it: in any order, and more than once (RFC 9000 §19.6).

use std::ops::Range;

use proxy_common::client_hello::NoHello;

use super::fault::NoFlight;

/// The longest message that is read, with its type and length. A client that nobody has answered sends some ten
/// datagrams (RFC 9002 §7.2): no more than this.
pub const MOST_MESSAGE: usize = 16 << 10;
/// Pieces that lie apart at a time. Clients that cut on purpose make some ten.
const MOST_PIECES: usize = 64;

/// Bytes of a message's type and length.
const HEAD: usize = 4;
const CLIENT_HELLO: u8 = 1;

/// A message that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Crypto {
    bytes: Vec<u8>,
    /// What is there: in order, and apart.
    there: Vec<Range<usize>>,
}

impl Crypto {
    /// Takes a piece. What comes again must be the same, or a server may read something else than was read here.
    pub(super) fn take(&mut self, offset: u64, piece: &[u8]) -> Result<(), NoFlight> {
        let start = usize::try_from(offset).map_err(|_| NoFlight::TooLong)?;
        let end =
            start.checked_add(piece.len()).filter(|end| *end <= MOST_MESSAGE).ok_or(NoFlight::TooLong)?;
        if piece.is_empty() {
            return Ok(());
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        for known in &self.there {
            let (from, to) = (known.start.max(start), known.end.min(end));
            if from < to && self.bytes[from..to] != piece[from - start..to - start] {
                return Err(NoFlight::Malformed);
            }
        }
        self.bytes[start..end].copy_from_slice(piece);
        // All that touches it becomes one with it.
        let first = self.there.partition_point(|known| known.end < start);
        let last = self.there.partition_point(|known| known.start <= end);
        let merged = match self.there.get(first..last) {
            Some([one]) => one.start.min(start)..one.end.max(end),
            Some([one, .., other]) => one.start.min(start)..other.end.max(end),
            _ => start..end,
        };
        self.there.splice(first..last, [merged]);
        if self.there.len() > MOST_PIECES { Err(NoFlight::Malformed) } else { Ok(()) }
    }

    /// The message, if it is all there.
    pub(super) fn message(&self) -> Result<Option<&[u8]>, NoFlight> {
        let there = match self.there.first() {
            Some(first) if first.start == 0 => &self.bytes[..first.end],
            _ => return Ok(None),
        };
        if there[0] != CLIENT_HELLO {
            return Err(NoFlight::Hello(NoHello::NotAClientHello(there[0])));
        }
        let Some(&[_, high, middle, low]) = there.first_chunk::<HEAD>() else { return Ok(None) };
        let end = HEAD + u32::from_be_bytes([0, high, middle, low]) as usize;
        if end > MOST_MESSAGE { Err(NoFlight::TooLong) } else { Ok(there.get(..end)) }
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.there.capacity() * size_of::<Range<usize>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let body = length as u32 - 4;
        let mut message = body.to_be_bytes().to_vec();
        message[0] = CLIENT_HELLO;
        message.extend((4..length).map(|at| at as u8));
        message
    }

    #[test]
    fn pieces_in_any_order_and_again_are_one_message() {
        let message = message(1000);
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let mut crypto = Crypto::default();
            let mut pieces: Vec<usize> = (0..1000).step_by(random.usize(20..200)).collect();
            pieces.extend_from_within(..);
            random.shuffle(&mut pieces);
            for at in pieces {
                let end = (at + random.usize(200..300)).min(1000);
                crypto.take(at as u64, &message[at..end]).unwrap();
            }
            assert_eq!(crypto.message(), Ok(Some(&message[..])));
            assert_eq!(crypto.there.len(), 1);
        }
    }

    #[test]
    fn what_comes_again_must_be_the_same() {
        let mut crypto = Crypto::default();
        crypto.take(10, &[1; 10]).unwrap();
        crypto.take(5, &[1; 10]).unwrap();
        assert_eq!(crypto.take(19, &[2; 2]), Err(NoFlight::Malformed));
    }

    #[test]
    fn memory_has_a_limit() {
        let mut crypto = Crypto::default();
        assert_eq!(crypto.take(MOST_MESSAGE as u64, &[0]), Err(NoFlight::TooLong));
        assert_eq!(crypto.take(u64::MAX, &[0]), Err(NoFlight::TooLong));
        let pieces = (0..200).map(|at| crypto.take(at * 2, &[1])).position(|taken| taken.is_err());
        assert_eq!(pieces, Some(MOST_PIECES));
    }

    #[test]
    fn another_message_is_known_by_its_first_byte() {
        let mut crypto = Crypto::default();
        crypto.take(0, &[2]).unwrap();
        assert_eq!(crypto.message(), Err(NoFlight::Hello(NoHello::NotAClientHello(2))));
    }
}
