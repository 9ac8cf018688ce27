//! Frames on their way out: small ones side by side in one buffer, large payloads as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Payloads up to this are copied beside their frame's head: one piece to write costs less than two.
const COPIED: usize = 2048;

/// What waits to be written.
#[derive(Default, Debug)]
pub struct Output {
    parts: VecDeque<Bytes>,
    parts_bytes: usize,
    tail: BytesMut,
}

impl Output {
    /// Pieces of one write.
    pub const SLICES: usize = 32;

    /// Where small frames are written.
    pub fn frames(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// A payload.
    pub fn payload(&mut self, payload: Bytes) {
        if payload.len() <= COPIED {
            self.tail.put_slice(&payload);
            return;
        }
        for part in [self.tail.split().freeze(), payload] {
            self.parts_bytes += part.len();
            self.parts.push_back(part);
        }
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.parts_bytes + self.tail.len()
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is to be written first, and how many pieces it is.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; Self::SLICES]) -> usize {
        let parts =
            self.parts.iter().map(|part| &part[..]).chain([&self.tail[..]]).filter(|part| !part.is_empty());
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = IoSlice::new(part);
            count += 1;
        }
        count
    }

    /// Some was written.
    pub fn advance(&mut self, mut written: usize) {
        while let Some(part) = self.parts.front_mut() {
            let taken = written.min(part.len());
            part.advance(taken);
            self.parts_bytes -= taken;
            written -= taken;
            if !part.is_empty() {
                return;
            }
            self.parts.pop_front();
        }
        self.tail.advance(written);
    }

    /// Gives memory back: the connection is idle.
    pub fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_however_it_is_written() {
        for step in [1, 7, 1000, 100_000] {
            let (mut output, mut expected, mut written) = (Output::default(), Vec::new(), Vec::new());
            for (at, bytes) in [10, 3000, 0, 2048, 5000, 1, 2049].into_iter().enumerate() {
                output.frames().put_slice(&[at as u8; 9]);
                output.payload(vec![at as u8; bytes].into());
                expected.extend(vec![at as u8; 9 + bytes]);
            }
            assert_eq!(output.len(), expected.len());
            while !output.is_empty() {
                let mut slices = [IoSlice::new(&[]); Output::SLICES];
                let count = output.slices(&mut slices);
                let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                let taken = step.min(all.len());
                written.extend_from_slice(&all[..taken]);
                output.advance(taken);
            }
            assert_eq!(written, expected);
        }
    }
}
