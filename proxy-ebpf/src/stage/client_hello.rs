//! A ClientHello in the first data segment of a connection: the name, and its outline. What is not wholly there, or not
//! plainly said, is userspace's to read; what is said here userspace would say, too.

use proxy_common::{
    client_hello::{MOST_MESSAGE, MOST_RECORD},
    drop_reason::Notice,
    sni::{MOST_LABELS, MOST_NAME},
};

use crate::hello::{MOST_SUITES, NO_NAME, Peek, Place, SEEN_NAME, Walked, Walks};

/// Bytes of a record's head, and of its message's.
const HEADS: u32 = 9;
/// Where the length of `legacy_session_id` stands: behind the version and `random`.
const SESSION_ID: u32 = HEADS + 34;

/// Whether a segment begins like a ClientHello, by its first eight bytes, as they lie in memory.
#[inline(always)]
pub const fn begins(words: [u32; 2]) -> bool {
    let [first, second] = [u32::from_be(words[0]), u32::from_be(words[1])];
    first >> 16 == 0x1603 && second >> 16 & 0xff == 1
}

/// Why a ClientHello is left to userspace.
type Left = Notice;

/// Reads the name out of the segment in `peek`, memory of this family. `Err`: userspace has to, for this reason.
#[inline(always)]
pub fn read<W: Walks>(world: &W, family: u8, peek: &mut Peek) -> Result<(), Left> {
    peek.begin(family);
    let at = head(world, peek)?;
    let at = world.opaque(lists(world, peek, at)?);
    // There may be none, not even their length.
    peek.extensions = at;
    let walked = if at == peek.end { Walked::Whole } else { extensions(world, peek, at)? };
    peek.whole = walked == Walked::Whole;
    if peek.seen & SEEN_NAME != 0 {
        return name(world, peek);
    }
    if peek.whole { Ok(()) } else { Err(Left::PeekCut) }
}

/// What else can be said of what was [`read`], if all of it is there.
#[inline(always)]
pub fn outline<W: Walks>(world: &W, peek: &mut Peek) -> Result<(), Left> {
    if !peek.whole {
        return Ok(());
    }
    peek.outline.version = world.half(peek, HEADS) as u16;
    walk(world.numbers(peek))?;
    walk(world.protocols(peek))?;
    walk(world.versions(peek))
}

/// The heads of the record and the message. Where the message's content goes on after `random`.
#[inline(always)]
fn head<W: Walks>(world: &W, peek: &mut Peek) -> Result<u32, Left> {
    if peek.have <= SESSION_ID {
        return Err(Left::PeekCut);
    }
    let record = world.half(peek, 3);
    let message = world.byte(peek, 6) << 16 | world.half(peek, 7);
    if record == 0 || record > MOST_RECORD as u32 || message > MOST_MESSAGE as u32 {
        return Err(Left::PeekMalformed);
    }
    if message + 4 > record {
        return Err(Left::PeekRecords);
    }
    peek.end = HEADS + message;
    if world.byte(peek, 0) != 22
        || world.byte(peek, 1) != 3
        || world.byte(peek, 5) != 1
        || peek.end <= SESSION_ID
    {
        return Err(Left::PeekMalformed);
    }
    Ok(SESSION_ID)
}

/// The lists before the extensions. Where the extensions' length stands, or the end.
#[inline(always)]
fn lists<W: Walks>(world: &W, peek: &mut Peek, at: u32) -> Result<u32, Left> {
    let session_id = world.byte(peek, at);
    if session_id > 32 {
        return Err(Left::PeekMalformed);
    }
    let at = world.opaque(at + 1 + session_id);
    there(peek, at + 2)?;
    let length = world.half(peek, at);
    if length == 0 || length & 1 != 0 {
        return Err(Left::PeekMalformed);
    }
    there(peek, at + 2 + length + 1)?;
    if length > MOST_SUITES * 2 {
        return Err(Left::PeekLong);
    }
    peek.suites = Place { at: at + 2, length };
    let at = world.opaque(at + 2 + length);
    let methods = world.byte(peek, at);
    if methods == 0 {
        return Err(Left::PeekMalformed);
    }
    let at = at + 1 + methods;
    there(peek, at)?;
    Ok(at)
}

/// The extensions, whose length stands at `at`.
#[inline(always)]
fn extensions<W: Walks>(world: &W, peek: &mut Peek, at: u32) -> Result<Walked, Left> {
    there(peek, at + 2)?;
    if at + 2 + world.half(peek, at) != peek.end {
        return Err(Left::PeekMalformed);
    }
    peek.extensions = at + 2;
    match Walked::of(world.extensions(peek, at + 2)) {
        Walked::Malformed => Err(Left::PeekMalformed),
        Walked::Long => Err(Left::PeekLong),
        walked => Ok(walked),
    }
}

/// The host: one, of a length that is looked up, plainly written.
#[inline(always)]
fn name<W: Walks>(world: &W, peek: &mut Peek) -> Result<(), Left> {
    let Place { at, length } = peek.name;
    let (list, kind, name) = (world.half(peek, at), world.byte(peek, at + 2), world.half(peek, at + 3));
    if length < 6 || list + 2 != length || kind != 0 || name + 3 != list {
        return Err(Left::PeekName);
    }
    if name > MOST_NAME as u32 {
        return Err(Left::PeekName);
    }
    let dots = world.name(peek, at + 5, name);
    // Counted once: there is no instruction for it.
    let count = dots.count_ones();
    if dots == NO_NAME || count >= MOST_LABELS {
        return Err(Left::PeekName);
    }
    (peek.length, peek.dots, peek.dot_count) = (name, dots, count);
    Ok(())
}

/// Whether the message has bytes up to `to`, and they are in the segment.
#[inline(always)]
fn there(peek: &Peek, to: u32) -> Result<(), Left> {
    if to > peek.end {
        return Err(Left::PeekMalformed);
    }
    if to > peek.have { Err(Left::PeekCut) } else { Ok(()) }
}

/// What a walk came to.
#[inline(always)]
fn walk(walked: u64) -> Result<(), Left> {
    match Walked::of(walked) {
        Walked::Whole => Ok(()),
        Walked::Partly => Err(Left::PeekCut),
        Walked::Malformed => Err(Left::PeekMalformed),
        Walked::Long => Err(Left::PeekLong),
    }
}
