//! Tests of `record`.

extern crate std;

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::testing::{browser, plain, records};
use super::*;

/// What comes of a stream in these pieces: the last step, and what was handed on.
fn push(pieces: &[&[u8]]) -> (Step, Vec<u8>) {
    let (mut reassembly, mut message) = (Reassembly::default(), Vec::new());
    let mut step = Step::NeedMore;
    for piece in pieces {
        step = reassembly.push(piece, |some| message.extend_from_slice(some));
        if step != Step::NeedMore {
            break;
        }
    }
    (step, message)
}

fn refusal(stream: &[u8]) -> NoHello {
    let (step, _) = push(&[stream]);
    let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(push(&bytewise).0, step);
    match step {
        Step::Refused(why) => why,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let message = browser().message();
    for content in [1, 3, 4, 5, 600, MOST_RECORD] {
        let stream = records(&message, content);
        for at in 0..=stream.len() {
            let (first, second) = stream.split_at(at);
            let (step, got) = push(&[first, second]);
            let last = if at == stream.len() { first.len() } else { second.len() };
            assert_eq!((step, &got), (Step::Done(last), &message), "{content} {at}");
        }
        let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(push(&bytewise), (Step::Done(1), message.clone()));
    }
}

#[test]
fn what_follows_is_left() {
    let message = plain().message();
    let stream = [&records(&message, 7)[..], b"more"].concat();
    assert_eq!(push(&[&stream]), (Step::Done(stream.len() - 4), message.clone()));
    // In the same record.
    let longer = records(&[&message[..], b"more"].concat(), MOST_RECORD);
    assert_eq!(push(&[&longer]), (Step::Done(longer.len() - 4), message.clone()));
    let mut over = Reassembly::default();
    over.push(&stream, |_| ());
    assert_eq!(over.push(&stream, |_| panic!("nothing more belongs to it")), Step::Done(0));
    assert_eq!(whole(&longer), Ok(&message[..]));
}

#[test]
fn what_is_no_hello_is_refused_as_soon_as_that_is_known() {
    let message = browser().message();
    let with = |at: usize, byte: u8| {
        let mut stream = records(&message, MOST_RECORD);
        stream[at] = byte;
        stream
    };
    for (stream, why, after) in [
        (b"GET / HTTP/1.1".to_vec(), NoHello::NotTls, 1),
        (b"SSH-2.0-x".to_vec(), NoHello::NotTls, 1),
        (with(0, 21), NoHello::Alert, 1),
        (with(0, 20), NoHello::ContentType(20), 1),
        (with(0, 23), NoHello::ContentType(23), 1),
        (with(1, 2), NoHello::NotTls, 2),
        (vec![22, 3, 1, 0, 0], NoHello::EmptyRecord, 5),
        (vec![22, 3, 1, 0x40, 1, 1], NoHello::RecordTooLong(0x4001), 5),
        (with(5, 2), NoHello::NotAClientHello(2), 6),
        (with(6, 1), NoHello::TooLong(0x1_0000 + message.len() as u32 - 4), 9),
    ] {
        assert_eq!(refusal(&stream), why);
        assert_eq!(refusal(&stream[..after]), why, "{stream:?}");
        assert_eq!(push(&[&stream[..after - 1]]).0, Step::NeedMore, "{why}");
        assert_eq!(whole(&stream), Err(why));
    }
    let mut refused = Reassembly::default();
    refused.push(&[21], |_| ());
    assert_eq!(refused.push(&records(&message, 99), |_| ()), Step::Refused(NoHello::Alert));
    // A record that is none, in the middle of the message.
    let mut stream = records(&message, 100);
    stream[105] = 23;
    assert_eq!(refusal(&stream), NoHello::ContentType(23));
}

#[test]
fn a_segment_that_holds_all_of_it_needs_no_memory() {
    let message = browser().message();
    let segment = records(&message, MOST_RECORD);
    assert_eq!(whole(&segment), Ok(&message[..]));
    for length in 0..segment.len() {
        assert_eq!(whole(&segment[..length]), Err(NoHello::Truncated(length)));
    }
    for content in [1, 3, 4, 100, message.len() - 1] {
        assert_eq!(whole(&records(&message, content)), Err(NoHello::Split), "{content}");
    }
}

#[test]
fn the_longest_message_is_taken_and_a_longer_one_is_not() {
    let mut message = vec![1, 1, 0, 0];
    message.resize(4 + MOST_MESSAGE, 0);
    let stream = records(&message, MOST_RECORD);
    assert_eq!(push(&[&stream]), (Step::Done(stream.len()), message.clone()));
    message[3] = 1;
    message.push(0);
    assert_eq!(refusal(&records(&message, MOST_RECORD)), NoHello::TooLong(65537));
}

proptest! {
    #[test]
    fn ten_pieces_are_as_good_as_one(
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 9),
        content in 1_usize..2000,
    ) {
        let message = browser().message();
        let stream = records(&message, content);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]).collect();
        let (step, got) = push(&pieces);
        prop_assert!(matches!(step, Step::Done(_)), "{:?}", step);
        prop_assert_eq!(got, message);
    }

    #[test]
    fn garbage_ends_the_same_however_it_is_cut(
        start in prop_oneof![Just(vec![]), Just(vec![22, 3, 1, 0, 99, 1, 0, 0]), Just(vec![22, 3, 3])],
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cut in any::<proptest::sample::Index>(),
    ) {
        let stream = [&start[..], &bytes].concat();
        let (first, second) = stream.split_at(cut.index(stream.len() + 1));
        let (step, got) = push(&[&stream]);
        let (cut_step, cut_got) = push(&[first, second]);
        match (step, cut_step) {
            (Step::Done(_), Step::Done(_)) => {}
            (step, cut_step) => prop_assert_eq!(step, cut_step),
        }
        if !matches!(step, Step::Refused(_)) {
            prop_assert_eq!(&got, &cut_got);
        }
        prop_assert!(got.len() <= MOST_MESSAGE + 4);
        if let Ok(message) = whole(&stream) {
            prop_assert_eq!(message, &got[..]);
        }
    }
}
