//! A client's first flight: datagrams whose Initial packets bring a ClientHello together.

use std::fmt;

use super::crypto::Crypto;
pub use super::crypto::MOST_MESSAGE;
use super::fault::NoFlight;
use super::frames;
use super::head::{Head, Kind};
use super::keys::{Keys, PlaceOf};

/// Bytes of a datagram that brings an Initial packet, at least (RFC 9000 §14.1).
const LEAST_DATAGRAM: usize = 1200;
/// Bytes of the id that a client makes up for its server, at least (RFC 9000 §7.2).
const LEAST_ID: usize = 8;

/// What a datagram has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The message is not all there yet.
    NeedMore,
    /// It is: [`Flight::message`].
    Done,
    /// It never will be.
    Refused(NoFlight),
}

/// A first flight, as far as it has come.
#[derive(Default)]
pub struct Flight {
    keys: Option<Keys>,
    crypto: Crypto,
}

impl Flight {
    /// Takes a datagram. The first one must bring an Initial packet that opens: until then there is nothing to
    /// remember. Of later ones, what does not open is ignored, as servers do.
    pub fn push(&mut self, datagram: &[u8]) -> Step {
        let began = self.keys.is_some();
        match self.take(datagram) {
            Ok(()) => {}
            Err(NoFlight::NotInitial | NoFlight::Sealed | NoFlight::TooShort(_) | NoFlight::Version(_))
                if began => {}
            Err(why) => return Step::Refused(why),
        }
        match self.crypto.message() {
            Ok(Some(_)) => Step::Done,
            Ok(None) => Step::NeedMore,
            Err(why) => Step::Refused(why),
        }
    }

    /// The message, if it is all there: a ClientHello with its type and length.
    pub fn message(&self) -> Option<&[u8]> {
        self.crypto.message().ok().flatten()
    }

    /// Bytes of memory that it takes, more or less.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.crypto.memory()
    }

    fn take(&mut self, datagram: &[u8]) -> Result<(), NoFlight> {
        let (mut rest, mut opened) = (datagram, Err(NoFlight::NotInitial));
        let mut scratch = Vec::new();
        while !rest.is_empty() {
            let head = match Head::read(rest) {
                Ok(head) => head,
                // What follows an Initial packet may be anything.
                Err(_) if opened.is_ok() => break,
                Err(why) => return Err(why),
            };
            let (packet, behind) = rest.split_at(head.end);
            rest = behind;
            if head.kind != Kind::Initial {
                continue;
            }
            if datagram.len() < LEAST_DATAGRAM {
                return Err(NoFlight::TooShort(datagram.len()));
            }
            scratch.clear();
            scratch.extend_from_slice(packet);
            match self.open(&head, &mut scratch) {
                Err(NoFlight::Sealed) if opened.is_ok() => {}
                Err(NoFlight::Sealed) => opened = Err(NoFlight::Sealed),
                done => opened = Ok(done?),
            }
        }
        opened
    }

    fn open(&mut self, head: &Head<'_>, packet: &mut [u8]) -> Result<(), NoFlight> {
        let mut fresh = None;
        let keys = match &mut self.keys {
            Some(keys) if keys.are_of(head) => keys,
            Some(_) => return Err(NoFlight::Sealed),
            None if head.destination.len() < LEAST_ID => return Err(NoFlight::Malformed),
            None => fresh.insert(Keys::of(head).ok_or(NoFlight::Sealed)?),
        };
        let frames = keys.open(&PlaceOf { number_at: head.number_at }, packet)?;
        frames::take(frames, &mut self.crypto)?;
        self.keys = self.keys.take().or(fresh);
        Ok(())
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight").field("crypto", &self.crypto).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
