//! Records, and the message in them (RFC 8446 §5.1).

use super::fault::NoHello;

/// The longest ClientHello that is read, without its type and length. Those of browsers have two thousand bytes.
pub const MOST_MESSAGE: usize = 1 << 16;
/// The most content of a record (RFC 8446 §5.1).
pub const MOST_RECORD: usize = 1 << 14;

/// Bytes of a record's type, version and length.
const RECORD_HEAD: usize = 5;
/// Bytes of a message's type and length.
const MESSAGE_HEAD: usize = 4;

/// Content types of records: change_cipher_spec to heartbeat (IANA, "TLS ContentType").
const CONTENT_TYPES: core::ops::RangeInclusive<u8> = 20..=24;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// All versions of records begin with 3; the rest is to be ignored (RFC 8446 §5.1).
const MAJOR_VERSION: u8 = 3;

/// What became of a piece of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The message is not all there yet.
    NeedMore,
    /// It is, after so many bytes of this piece. What follows is not of it.
    Done(usize),
    /// It never will be.
    Refused(NoHello),
}

/// Finds a ClientHello in a stream that comes in pieces of any size. Keeps none of it: the message is handed on as it
/// comes, without the heads of records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reassembly {
    /// The head of a record, as far as it is there.
    record: [u8; RECORD_HEAD],
    /// Bytes of it that are there.
    headed: u8,
    /// Bytes of the record's content that are still to come.
    left: u16,
    /// The head of the message, as far as it is there.
    message: [u8; MESSAGE_HEAD],
    /// Bytes of the message that were handed on, with its head.
    got: u32,
    /// It is over.
    end: Option<Result<(), NoHello>>,
}

impl Reassembly {
    /// Takes the next piece, and hands `keep` what of it belongs to the message.
    pub fn push(&mut self, piece: &[u8], keep: impl FnMut(&[u8])) -> Step {
        match self.end {
            Some(Ok(())) => return Step::Done(0),
            Some(Err(why)) => return Step::Refused(why),
            None => {}
        }
        match self.take(piece, keep) {
            Ok(None) => Step::NeedMore,
            Ok(Some(count)) => {
                self.end = Some(Ok(()));
                Step::Done(count)
            }
            Err(why) => {
                self.end = Some(Err(why));
                Step::Refused(why)
            }
        }
    }

    fn take(&mut self, piece: &[u8], mut keep: impl FnMut(&[u8])) -> Result<Option<usize>, NoHello> {
        let mut rest = piece;
        while !rest.is_empty() {
            if self.left == 0 {
                rest = self.record_head(rest)?;
                continue;
            }
            let (mut run, mut after) = rest.split_at(rest.len().min(usize::from(self.left)));
            let over = match self.wanted(run)? {
                Some(wanted) if wanted <= run.len() => {
                    (run, after) = rest.split_at(wanted);
                    true
                }
                _ => false,
            };
            self.left -= run.len() as u16;
            self.got += run.len() as u32;
            keep(run);
            rest = after;
            if over {
                return Ok(Some(piece.len() - rest.len()));
            }
        }
        Ok(None)
    }

    /// Takes a byte of a record's head. What is wrong with it is said as soon as it is known.
    fn record_head<'a>(&mut self, rest: &'a [u8]) -> Result<&'a [u8], NoHello> {
        let Some((&byte, rest)) = rest.split_first() else { return Ok(rest) };
        self.record[usize::from(self.headed)] = byte;
        self.headed += 1;
        match self.headed {
            1 => content_type(byte)?,
            2 if byte != MAJOR_VERSION => return Err(NoHello::NotTls),
            5 => {
                self.left = content_length([self.record[3], self.record[4]])?;
                self.headed = 0;
            }
            _ => {}
        }
        Ok(rest)
    }

    /// How many bytes of the message follow, if its length is known with the next ones.
    fn wanted(&mut self, run: &[u8]) -> Result<Option<usize>, NoHello> {
        let got = self.got as usize;
        for (place, &byte) in self.message.iter_mut().skip(got).zip(run) {
            *place = byte;
        }
        if got == 0 && self.message[0] != CLIENT_HELLO {
            return Err(NoHello::NotAClientHello(self.message[0]));
        }
        if got + run.len() < MESSAGE_HEAD {
            return Ok(None);
        }
        Ok(Some(MESSAGE_HEAD + message_length(self.message)? - got))
    }
}

/// The message in a segment that begins with the record that holds all of it; without the record's head.
///
/// # Errors
/// It is not there, or not all of it: [`NoHello::Truncated`] if more of the stream could help, [`NoHello::Split`] if
/// [`Reassembly`] has to.
pub fn whole(segment: &[u8]) -> Result<&[u8], NoHello> {
    let cut = NoHello::Truncated(segment.len());
    content_type(*segment.first().ok_or(cut)?)?;
    if *segment.get(1).ok_or(cut)? != MAJOR_VERSION {
        return Err(NoHello::NotTls);
    }
    let (head, content) = segment.split_first_chunk::<RECORD_HEAD>().ok_or(cut)?;
    let record = usize::from(content_length([head[3], head[4]])?);
    if let Some(&kind) = content.first()
        && kind != CLIENT_HELLO
    {
        return Err(NoHello::NotAClientHello(kind));
    }
    if record < MESSAGE_HEAD {
        return Err(NoHello::Split);
    }
    let length = MESSAGE_HEAD + message_length(*content.first_chunk().ok_or(cut)?)?;
    if length > record {
        return Err(NoHello::Split);
    }
    content.get(..length).ok_or(cut)
}

#[inline(always)]
fn content_type(byte: u8) -> Result<(), NoHello> {
    match byte {
        HANDSHAKE => Ok(()),
        ALERT => Err(NoHello::Alert),
        byte if CONTENT_TYPES.contains(&byte) => Err(NoHello::ContentType(byte)),
        _ => Err(NoHello::NotTls),
    }
}

#[inline(always)]
fn content_length(bytes: [u8; 2]) -> Result<u16, NoHello> {
    match u16::from_be_bytes(bytes) {
        0 => Err(NoHello::EmptyRecord),
        length if usize::from(length) > MOST_RECORD => Err(NoHello::RecordTooLong(length)),
        length => Ok(length),
    }
}

/// The length of a ClientHello by its head; without the head.
#[inline(always)]
pub(super) fn message_length(head: [u8; MESSAGE_HEAD]) -> Result<usize, NoHello> {
    let [kind, length @ ..] = head;
    let [high, middle, low] = length;
    let length = u32::from_be_bytes([0, high, middle, low]);
    match kind {
        CLIENT_HELLO if length as usize > MOST_MESSAGE => Err(NoHello::TooLong(length)),
        CLIENT_HELLO => Ok(length as usize),
        kind => Err(NoHello::NotAClientHello(kind)),
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
