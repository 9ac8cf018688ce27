//! Each target for a while: inputs are mutated, and mutations are mutated again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::*;

/// Inputs are no longer than this.
const MOST_BYTES: usize = 4096;
/// So many inputs are kept to go on from.
const KEPT: usize = 512;
/// At least so many, however slow the machine is.
const RUNS: usize = 500;

/// What parsers look for.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b";",
    b"=",
    b"\"",
    b"%2f",
    b"%00",
    b"..",
    b"//",
    b"?",
    b"#",
    b"@",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"Host: b\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 6\r\n",
    b"+",
    b"0x",
    b"-1",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: host\r\n",
    b"chunked, chunked",
    b"0\r\n\r\n",
    b"18446744073709551616",
    b"ffffffffffffffff",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f\xff\xff\xff",
    b"\0\x40\x01",
    b":path",
    b":authority",
    b"PROXY ",
    b" TCP4 ",
    b"\r\n\r\n\0\r\nQUIT\n",
];

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seconds = std::env::var("PROXY_NOW_FUZZ_SECONDS").map_or(1, |seconds| seconds.parse().unwrap());
    let mut random = Rng::new();
    let mut inputs = (target.seeds)();
    let seeds = inputs.len();
    inputs.iter().for_each(|seed| (target.check)(seed));
    let (end, mut runs) = (Instant::now() + Duration::from_secs(seconds), 0);
    while runs < RUNS || Instant::now() < end {
        runs += 1;
        let input = mutated(&mut random, &inputs);
        if catch_unwind(AssertUnwindSafe(|| (target.check)(&input))).is_err() {
            panic!("{name} fails of b\"{}\"", input.escape_ascii());
        }
        if random.u8(..) < 16 {
            // Seeds stay: without them all would soon be noise.
            if inputs.len() < KEPT {
                inputs.push(input);
            } else {
                let at = random.usize(seeds..KEPT);
                inputs[at] = input;
            }
        }
    }
}

/// One of these, changed a little.
fn mutated(random: &mut Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = random.choice(inputs).unwrap().clone();
    for _ in 0..=random.usize(..4) {
        let at = random.usize(..=input.len());
        let end = (at + random.usize(..16)).min(input.len());
        match random.u8(..8) {
            0 => drop(input.splice(at..end, [])),
            1 => drop(input.splice(at..at, random.choice(WORDS).unwrap().iter().copied())),
            2 => drop(input.splice(at..end, random.choice(WORDS).unwrap().iter().copied())),
            3 => {
                let again = input[at..end].to_vec();
                drop(input.splice(at..at, again.repeat(random.usize(1..4))));
            }
            4 => {
                let other = random.choice(inputs).unwrap();
                let from = random.usize(..=other.len());
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            5 => input.truncate(at),
            _ if at < input.len() => {
                input[at] = match random.u8(..4) {
                    0 => random.u8(..),
                    1 => input[at] ^ (1 << random.u8(..8)),
                    2 => input[at].wrapping_add(1),
                    _ => input[at].wrapping_sub(1),
                }
            }
            _ => input.push(random.u8(..)),
        }
    }
    input.truncate(MOST_BYTES);
    input
}

#[test]
fn any_request_head_is_read_in_one_way() {
    fuzz("h1_request");
}

#[test]
fn any_answer_head_is_read_in_one_way() {
    fuzz("h1_answer");
}

#[test]
fn any_chunks_are_read_in_one_way() {
    fuzz("h1_chunks");
}

#[test]
fn any_frames_come_to_the_same() {
    fuzz("h2_frames");
}

#[test]
fn any_first_flight_of_quic_comes_to_the_same_however_it_is_cut() {
    fuzz("quic_initial");
}

#[test]
fn any_proxy_header_is_read_whole_or_not() {
    fuzz("proxy_protocol");
}
