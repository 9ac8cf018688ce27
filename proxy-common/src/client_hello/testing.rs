//! Hellos for tests.

extern crate std;

use std::vec;
use std::vec::Vec;

/// What a ClientHello is made of. No length in it is wrong, unless a test makes it so.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) legacy_version: u16,
    pub(super) session_id: Vec<u8>,
    pub(super) suites: Vec<u16>,
    pub(super) extensions: Vec<(u16, Vec<u8>)>,
}

/// What a browser says: post-quantum, with values that stand for nothing.
pub(super) fn browser() -> Made {
    let share = [&[0x0a, 0x0a, 0, 1, 0][..], &[0x11, 0xec, 4, 192], &[7; 1216], &[0, 29, 0, 32], &[9; 32]];
    Made {
        legacy_version: 0x0303,
        session_id: vec![5; 32],
        suites: vec![0x2a2a, 0x1301, 0x1302, 0xc02b],
        extensions: vec![
            (0x4a4a, vec![]),
            (0, server_name("Shop.Example.COM")),
            (23, vec![]),
            (0xff01, vec![0]),
            (10, long(&words(&[0x0a0a, 0x11ec, 29, 23]))),
            (11, short(&[0])),
            (16, long(&[short(b"h2"), short(b"http/1.1")].concat())),
            (13, long(&words(&[0x0403, 0x0804]))),
            (51, long(&share.concat())),
            (43, short(&words(&[0x1a1a, 0x0304, 0x0303]))),
            (0xfe0d, vec![0, 0, 1, 0, 1, 2]),
            (0x5a5a, vec![0]),
        ],
    }
}

/// What a client says that knows no extensions.
pub(super) fn plain() -> Made {
    Made { legacy_version: 0x0301, session_id: vec![], suites: vec![0x002f], extensions: vec![] }
}

impl Made {
    /// The message, with its type and length.
    pub(super) fn message(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend([3; 32]);
        body.extend(short(&self.session_id));
        body.extend(long(&words(&self.suites)));
        body.extend(short(&[0]));
        if !self.extensions.is_empty() {
            let one = |(id, body): &(u16, Vec<u8>)| [&id.to_be_bytes()[..], &long(body)].concat();
            body.extend(long(&self.extensions.iter().flat_map(one).collect::<Vec<_>>()));
        }
        let length = (body.len() as u32).to_be_bytes();
        [&[1, length[1], length[2], length[3]], &body[..]].concat()
    }

    /// The same with this instead of an extension's body.
    pub(super) fn with(&self, id: u16, body: Vec<u8>) -> Self {
        let mut changed = self.clone();
        match changed.extensions.iter_mut().find(|(known, _)| *known == id) {
            Some((_, old)) => *old = body,
            None => changed.extensions.push((id, body)),
        }
        changed
    }
}

pub(super) fn server_name(name: &str) -> Vec<u8> {
    long(&[&[0][..], &long(name.as_bytes())].concat())
}

pub(super) fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

pub(super) fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

pub(super) fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// Records of this much content.
pub(super) fn records(message: &[u8], content: usize) -> Vec<u8> {
    let record = |content: &[u8]| [&[22, 3, 1][..], &long(content)].concat();
    message.chunks(content).flat_map(record).collect()
}
