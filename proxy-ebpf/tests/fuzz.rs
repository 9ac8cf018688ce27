//! The fuzz target of the pipeline (tests/fuzz) for a second, `PROXY_NOW_FUZZ_SECONDS` for longer: the corpus of packets is
//! mutated, and mutations are put one after the other, so that flows begin, are answered and end.

/// The target itself.
#[path = "../../tests/fuzz/src/pipeline.rs"]
#[expect(unreachable_pub, reason = "the target's crate has it too")]
mod pipeline;

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use proxy_tests::hello::Dice;
use proxy_tests::world::Layout;

/// Frames of an input at most.
const MOST_FRAMES: usize = 12;
/// At least so many inputs, however slow the machine is.
const INPUTS: usize = 100;

/// The frames of the corpus.
fn corpus() -> Vec<Vec<u8>> {
    let text = include_str!("../../tests/corpus/packets.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap();
    let frame = |hex: &str| (0..hex.len() / 2).map(|at| byte(hex, at)).collect();
    cases.iter().map(|case| frame(case["hex"].as_str().unwrap())).collect()
}

/// Changes a frame: single bits, bytes, its length; or not at all.
fn mutate(dice: &mut Dice, frame: &mut Vec<u8>) {
    for _ in 0..dice.below(4) {
        let at = dice.below(frame.len());
        match (dice.below(5), frame.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << dice.below(8),
            (1, Some(byte)) => *byte = dice.next() as u8,
            (2, Some(byte)) => *byte = *dice.of(&[0, 1, 0x7f, 0x80, 0xff]),
            (3, _) => frame.truncate(at),
            _ => frame.extend((0..dice.below(40)).map(|_| dice.next() as u8).collect::<Vec<_>>()),
        }
    }
}

/// An input of the target: frames with their heads.
fn input(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = Vec::new();
    let mut frame = dice.of(corpus).clone();
    for _ in 0..=dice.below(MOST_FRAMES) {
        if dice.one_in(3) {
            frame = dice.of(corpus).clone();
        }
        let mut sent = if dice.one_in(16) { Vec::new() } else { frame.clone() };
        mutate(dice, &mut sent);
        let from = (dice.below(4) as u16) << 14;
        input.extend((from | sent.len().min(0x3fff) as u16).to_be_bytes());
        input.extend(sent);
    }
    input
}

#[test]
fn whatever_frames_come_what_must_hold_holds() {
    let seconds = std::env::var("PROXY_NOW_FUZZ_SECONDS").map_or(1, |seconds| seconds.parse().unwrap());
    let (corpus, end) = (corpus(), Instant::now() + Duration::from_secs(seconds));
    let mut dice = Dice::new(RandomState::new().hash_one(0));
    for inputs in 0.. {
        if inputs >= INPUTS && Instant::now() >= end {
            break;
        }
        let input = input(&mut dice, &corpus);
        let layout = if inputs % 2 == 0 { Layout::Routed } else { Layout::Flat };
        let mut host = pipeline::host(layout);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for (ingress, frame) in pipeline::frames(&input) {
                pipeline::check(&mut host, ingress, &frame);
            }
        }));
        assert!(checked.is_ok(), "with {layout:?}: {input:02x?}");
    }
}
