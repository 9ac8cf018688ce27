//! Whatever comes in: nothing panics, pieces make no difference, and what is held is bounded.

use proptest::collection::vec;
use proptest::prelude::*;

use super::frame::FrameHead;
use super::fuzz::come;
use super::wire::{begin, field, frame, request};

/// A frame that may be one: its kind, flags and stream are of those that mean something more often than not.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let block = prop_oneof![
        Just(request("GET", &[])),
        Just(request("POST", &[("content-length", "7")])),
        Just(request("CONNECT", &[(":protocol", "websocket")])),
        Just(field("x-trailer", "1")),
        vec(any::<u8>(), 0..40),
    ];
    let flags = prop_oneof![Just(0), Just(1), Just(4), Just(5), Just(0x2d), any::<u8>()];
    let streams = prop_oneof![(0_u32..8), any::<u32>()];
    let payload =
        prop_oneof![block, vec(any::<u8>(), 0..20), Just(vec![0, 0, 0, 8]), Just(vec![0, 4, 0, 0, 0, 9])];
    (0_u8..12, flags, streams, payload)
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream & 0x7fff_ffff, &payload))
}

proptest! {
    #[test]
    fn frames_come_to_the_same_however_they_are_cut(
        frames in vec(any_frame(), 0..30),
        pieces in vec(1_usize..60, 1..8),
    ) {
        let bytes = [begin(), frames.concat()].concat();
        let whole = come(&bytes, &[]);
        prop_assert_eq!(&come(&bytes, &pieces), &whole);
        prop_assert_eq!(&come(&bytes, &[1]), &whole);
    }

    #[test]
    fn no_bytes_are_too_much(bytes in vec(any::<u8>(), 0..400), preface in any::<bool>()) {
        let bytes = if preface { [begin(), bytes].concat() } else { bytes };
        prop_assert_eq!(come(&bytes, &[3]), come(&bytes, &[]));
    }

    #[test]
    fn the_head_of_a_frame_is_read_as_it_is_written(length in 0_usize..1 << 24, kind: u8, flags: u8, stream in 0_u32..1 << 31) {
        let head = FrameHead { length, kind, flags, stream };
        prop_assert_eq!(FrameHead::read(&head.bytes()), Some(head));
    }
}
