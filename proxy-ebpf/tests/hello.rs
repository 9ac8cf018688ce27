//! What the kernel programs say of a ClientHello, userspace says, too.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use proxy_common::client_hello::{Outline, Reassembly, Step};
use proxy_common::drop_reason::Notice;
use proxy_common::sni::{NameKey, filter_bit, kind};
use proxy_ebpf::hello::{MOST, Peek, Reads, Walks};
use proxy_ebpf::stage::client_hello::{begins, outline, read};
use proxy_tests::hello::{Answer, Dice, Hello, Sent, any, check, records};

/// Walks that are plain calls.
struct Plain;

impl Reads for Plain {}

impl Walks for Plain {}

fn peek(segment: &[u8]) -> Result<Peek, Notice> {
    let mut peek = Box::new(Peek::default());
    // What an earlier segment left behind.
    peek.segment.fill(0xa5a5_a5a5_a5a5_a5a5);
    peek.have = segment.len().min(MOST as usize) as u32;
    let mut bytes = segment[..peek.have as usize].to_vec();
    bytes.resize(bytes.len().next_multiple_of(8), 0x5a);
    for (word, chunk) in peek.segment.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_ne_bytes(chunk.try_into().unwrap());
    }
    read(&Plain, 4, &mut peek)?;
    outline(&Plain, &mut peek).map(|()| *peek)
}

fn name(peek: &Peek) -> Option<String> {
    let (bytes, length) = peek.key.text();
    assert_eq!(length as u32, peek.length);
    let name = String::from_utf8(bytes[..length].to_vec()).unwrap();
    for (at, byte) in name.bytes().enumerate() {
        assert_eq!(peek.dots >> at & 1 == 1, byte == b'.', "{name}");
    }
    assert_eq!(peek.dot_count, peek.dots.count_ones(), "{name}");
    (length > 0).then_some(name)
}

/// Whether what was read is what tables and filters have: the name, and all that is behind its dots.
fn is_met_by_tables(mut peek: Peek, name: &str) {
    let met = |kind, text: &str, peek: &Peek, blended| {
        let key = NameKey::new(7, kind, text).unwrap();
        assert_eq!((filter_bit(blended, 7, kind), peek.key.name), (key.filter_bit(), key.name), "{text}");
    };
    met(kind::EXACT, name, &peek, peek.blended);
    let mut rest = name;
    while let Some((label, behind)) = rest.split_once('.') {
        let blended = Plain.suffix(&mut peek, label.len() as u32 + 1, behind.len() as u32);
        met(kind::WILDCARD, behind, &peek, blended);
        rest = behind;
    }
}

/// Whether both agree. Whether the kernel's side had an answer.
fn agree(sent: &Sent) -> bool {
    let answer = peek(sent.segment()).map(|peek| {
        let name = name(&peek);
        name.iter().for_each(|name| is_met_by_tables(peek, name));
        Answer { name, outline: peek.whole.then_some(peek.outline) }
    });
    check(sent, answer.ok().as_ref())
}

#[test]
fn the_kernel_and_userspace_agree_on_100_000_hellos() {
    let mut dice = Dice::new(0x5349);
    let (mut answers, mut plain) = (0, 0);
    for _ in 0..100_000 {
        let sent = any(&mut dice);
        answers += usize::from(agree(&sent));
        plain += usize::from(sent.plain);
    }
    assert!(answers > 40_000 && plain > 20_000, "{answers} answers, {plain} of them to what is plain");
}

/// Changes a stream a little, somewhere.
fn tamper(dice: &mut Dice, stream: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(stream.len());
        let end = (at + dice.below(12)).min(stream.len());
        match dice.below(7) {
            0 => drop(stream.splice(at..end, [])),
            1 => {
                let again = stream[at..end].to_vec();
                drop(stream.splice(at..at, again));
            }
            2 => drop(stream.splice(at..end, [[0, 0], [0, 1], [0xff, 0xff], [22, 3]][dice.below(4)])),
            3 if stream.len() > 1 => stream.truncate(at.max(1)),
            4 => stream[at] = stream[at].wrapping_add(1),
            5 => stream[at] = dice.next() as u8,
            _ => stream[at] ^= 1 << dice.below(8),
        }
        if stream.is_empty() {
            stream.push(22);
        }
    }
}

/// How a stream ends, and what message was in it, when it comes in pieces.
fn reassembled(stream: &[u8], piece: usize) -> (Step, Vec<u8>) {
    let (mut reassembly, mut message, mut before) = (Reassembly::default(), Vec::new(), 0);
    for piece in stream.chunks(piece) {
        match reassembly.push(piece, |some| message.extend_from_slice(some)) {
            Step::NeedMore => before += piece.len(),
            Step::Done(count) => return (Step::Done(before + count), message),
            refused @ Step::Refused(_) => return (refused, Vec::new()),
        }
    }
    (Step::NeedMore, message)
}

/// For a second; `PROXY_NOW_FUZZ_SECONDS` for longer.
#[test]
fn hellos_that_were_tampered_with_are_read_in_one_way() {
    let seconds = std::env::var("PROXY_NOW_FUZZ_SECONDS").map_or(1, |seconds| seconds.parse().unwrap());
    let since_1970 = std::time::UNIX_EPOCH.elapsed().unwrap();
    let mut dice = Dice::new(since_1970.as_nanos() as u64);
    let (end, mut runs) = (Instant::now() + Duration::from_secs(seconds), 0);
    while runs < 1000 || Instant::now() < end {
        runs += 1;
        let Sent { mut stream, .. } = any(&mut dice);
        tamper(&mut dice, &mut stream);
        let first = if dice.one_in(2) { stream.len() } else { 1 + dice.below(stream.len()) };
        let piece = 1 + dice.below(300);
        let sent = Sent { stream, first, plain: false };
        let tried = catch_unwind(AssertUnwindSafe(|| {
            agree(&sent);
            assert_eq!(reassembled(&sent.stream, piece), reassembled(&sent.stream, sent.stream.len()));
        }));
        assert!(tried.is_ok(), "{first} bytes of {:02x?}, pieces of {piece}", sent.stream);
    }
}

#[test]
fn a_hello_that_is_cut_anywhere_is_read_or_left() {
    let long = Hello::asking_for("Shop.Example.com").after(51, vec![1; 1400]).record();
    let behind = Hello::asking_for("Shop.Example.com").record();
    for stream in [long, behind] {
        for first in 1..=stream.len() {
            let sent = Sent { stream: stream.clone(), first, plain: first == stream.len() };
            agree(&sent);
        }
    }
}

#[test]
fn the_name_is_enough_where_the_rest_is_in_another_segment() {
    let mut hello = Hello::asking_for("Shop.EXAMPLE.com");
    hello.extensions.as_mut().unwrap().push((21, vec![0; 1400]));
    let peek = peek(&hello.record()[..1200]).unwrap();
    assert_eq!((name(&peek).as_deref(), peek.whole), (Some("shop.example.com"), false));
    assert_eq!(peek.outline, Outline::default());
}

#[test]
fn why_a_hello_is_left_is_told() {
    let left = |segment: &[u8]| peek(segment).unwrap_err();
    let hello = Hello::asking_for("a.test");
    assert_eq!(left(&hello.record()[..100]), Notice::PeekCut);
    assert_eq!(left(&records(&hello.message(), 100)), Notice::PeekRecords);
    assert_eq!(left(&Hello::asking_for(&"a".repeat(65)).record()), Notice::PeekName);
    assert_eq!(left(&Hello::asking_for("a.").record()), Notice::PeekName);
    assert_eq!(left(&hello.clone().after(0, Vec::new()).record()), Notice::PeekMalformed);
    let many = (0..60).fold(hello.clone(), |hello, number| hello.after(0x7000 + number, Vec::new()));
    assert_eq!(left(&many.record()), Notice::PeekLong);
    let mut odd = hello.record();
    odd[6 + 2] += 1;
    assert_eq!(left(&odd), Notice::PeekRecords);
    odd[4] += 1;
    assert_eq!(left(&odd), Notice::PeekMalformed);
}

#[test]
fn a_segment_that_begins_otherwise_is_none() {
    let first = |bytes: [u8; 8]| {
        let [a, b] = [[bytes[0], bytes[1], bytes[2], bytes[3]], [bytes[4], bytes[5], bytes[6], bytes[7]]];
        begins([u32::from_ne_bytes(a), u32::from_ne_bytes(b)])
    };
    assert!(first([22, 3, 1, 2, 0, 1, 0, 1]) && first([22, 3, 3, 0, 9, 1, 0, 0]));
    assert!(!first([23, 3, 3, 2, 0, 1, 0, 1]) && !first([22, 3, 1, 2, 0, 2, 0, 1]));
    assert!(!first(*b"GET / HT"));
}

#[test]
fn names_are_read_to_their_last_byte() {
    for length in 1..=64 {
        for fill in ["a", "Z", "9", "-", "_"] {
            let text = fill.repeat(length);
            let peek = peek(&Hello::asking_for(&text).record()).unwrap();
            assert_eq!(name(&peek), Some(text.to_ascii_lowercase()));
        }
        for odd in 0..=u8::MAX {
            let usual = odd.is_ascii_alphanumeric() || b"-_.".contains(&odd);
            let mut text = "a".repeat(length).into_bytes();
            text[length / 2] = odd;
            let mut hello = Hello::asking_for("x");
            hello.extensions.as_mut().unwrap()[0].1 = proxy_tests::hello::server_name(&text);
            let dot_at_the_edge = odd == b'.' && (length / 2 == 0 || length / 2 + 1 == length);
            assert_eq!(peek(&hello.record()).is_ok(), usual && !dot_at_the_edge, "{odd} in {length}");
        }
    }
}
