//! Bodies as they come in (RFC 9112 §6.3, §7.1): pure, from a buffer.

use bytes::{Buf, Bytes, BytesMut};
use http_body::Frame;

use super::fields::trailers;
use super::scan::{HeadLimits, Scan};
use crate::l7::cut::BodyError;

/// Bytes of a chunk's size and its extensions.
const CHUNK_LINE: usize = 4 << 10;
/// Bytes of extensions in one body: nobody needs them (RFC 9112 §7.1.1).
const EXTENSIONS: usize = 16 << 10;
/// Chunks that are smaller are put together.
const SMALL: usize = 4 << 10;
/// No more is put together at a time.
const TOGETHER: usize = 16 << 10;

/// How far a body has come.
#[derive(Debug)]
pub(super) enum Reading {
    /// To its end, or there is none.
    Done,
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// It ends with the connection.
    UntilClose,
}

/// How far a chunked body has come.
#[derive(Debug)]
pub(super) struct Chunked {
    place: Place,
    extensions: usize,
    limits: HeadLimits,
}

#[derive(Debug)]
enum Place {
    /// Before a chunk's size.
    Size,
    /// In a chunk: so many bytes are still to come.
    Data(u64),
    /// Before the CRLF that ends a chunk.
    DataEnd,
    /// Behind the last chunk.
    Trailers(Scan),
}

impl Reading {
    /// Chunks, with trailers of at most this.
    pub(super) fn chunked(limits: HeadLimits) -> Self {
        Self::Chunked(Chunked { place: Place::Size, extensions: 0, limits })
    }

    /// Whether it is at its end.
    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes what is there of it from `buffer`. None: it is done, or more must be read.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<Bytes>>, BodyError> {
        match self {
            Self::Done => Ok(None),
            Self::Length(left) => {
                if buffer.is_empty() && *left > 0 {
                    return Ok(None);
                }
                let data = split(buffer, *left);
                *left -= data.len() as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok((!data.is_empty()).then(|| Frame::data(data)))
            }
            Self::UntilClose => Ok((!buffer.is_empty()).then(|| Frame::data(buffer.split().freeze()))),
            Self::Chunked(chunked) => {
                let mut done = false;
                let frame = chunked.next(buffer, &mut done)?;
                if done {
                    *self = Self::Done;
                }
                Ok(frame)
            }
        }
    }

    /// The connection has ended. Whether that is an end of the body too.
    pub(super) fn closed(&mut self) -> Result<(), BodyError> {
        match self {
            Self::Done | Self::UntilClose => {
                *self = Self::Done;
                Ok(())
            }
            Self::Length(_) | Self::Chunked(_) => Err(BodyError::Gone),
        }
    }

    /// The bytes that are still to come, if that is known.
    pub(super) fn left(&self) -> Option<u64> {
        match self {
            Self::Done => Some(0),
            Self::Length(left) => Some(*left),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }
}

fn split(buffer: &mut BytesMut, most: u64) -> Bytes {
    let length = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
    buffer.split_to(length).freeze()
}

impl Chunked {
    fn next(&mut self, buffer: &mut BytesMut, done: &mut bool) -> Result<Option<Frame<Bytes>>, BodyError> {
        let mut together = BytesMut::new();
        loop {
            match &mut self.place {
                Place::Size => match self.size(buffer)? {
                    None => break,
                    Some(0) => self.place = Place::Trailers(Scan::of_trailers()),
                    Some(size) => self.place = Place::Data(size),
                },
                Place::Data(left) => {
                    if buffer.is_empty() || together.len() >= TOGETHER {
                        break;
                    }
                    let large = (buffer.len() as u64).min(*left) >= SMALL as u64;
                    if large && !together.is_empty() {
                        break;
                    }
                    let data = split(buffer, *left);
                    *left -= data.len() as u64;
                    if *left == 0 {
                        self.place = Place::DataEnd;
                    }
                    if large {
                        return Ok(Some(Frame::data(data)));
                    }
                    together.extend_from_slice(&data);
                }
                Place::DataEnd => {
                    if !take_crlf(buffer)? {
                        break;
                    }
                    self.place = Place::Size;
                }
                Place::Trailers(_) if !together.is_empty() => break,
                Place::Trailers(scan) => return last(scan, buffer, self.limits, done),
            }
        }
        Ok((!together.is_empty()).then(|| Frame::data(together.freeze())))
    }

    /// A chunk's size. Its extensions are dropped.
    fn size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, BodyError> {
        let Some(lf) = memchr::memchr(b'\n', &buffer[..buffer.len().min(CHUNK_LINE)]) else {
            return if buffer.len() >= CHUNK_LINE { Err(BodyError::Framing) } else { Ok(None) };
        };
        let line = buffer[..lf].strip_suffix(b"\r").ok_or(BodyError::Framing)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let clean = extension.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
        if digits == 0 || digits > 15 || !clean || !matches!(extension.first(), None | Some(b';')) {
            return Err(BodyError::Framing);
        }
        self.extensions += extension.len();
        if self.extensions > EXTENSIONS {
            return Err(BodyError::Framing);
        }
        let size = size.iter().fold(0, |sum, &digit| sum << 4 | u64::from(hex(digit)));
        buffer.advance(lf + 1);
        Ok(Some(size))
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Takes a CRLF; false: it is not all there.
fn take_crlf(buffer: &mut BytesMut) -> Result<bool, BodyError> {
    match buffer.as_ref() {
        [b'\r', b'\n', ..] => {
            buffer.advance(2);
            Ok(true)
        }
        [] | [b'\r'] => Ok(false),
        _ => Err(BodyError::Framing),
    }
}

/// What follows the last chunk.
fn last(
    scan: &mut Scan,
    buffer: &mut BytesMut,
    limits: HeadLimits,
    done: &mut bool,
) -> Result<Option<Frame<Bytes>>, BodyError> {
    use super::fault::Fault;
    let end = scan.end(buffer, limits).map_err(|fault| match fault {
        Fault::TooLong | Fault::TooMany => BodyError::Trailers,
        _ => BodyError::Framing,
    })?;
    let Some(end) = end else { return Ok(None) };
    *done = true;
    if end == 2 {
        buffer.advance(2);
        return Ok(None);
    }
    let fields = trailers(&buffer.split_to(end).freeze()).map_err(|_| BodyError::Framing)?;
    Ok((!fields.is_empty()).then(|| Frame::trailers(fields)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 1000, fields: 4, target: 0 };

    /// Data, trailers, and what is left of `text`, which comes in pieces of `step` bytes.
    fn read(text: &str, step: usize) -> Result<(String, usize, String), BodyError> {
        let (mut reading, mut buffer) = (Reading::chunked(LIMITS), BytesMut::new());
        let (mut data, mut fields) = (Vec::new(), 0);
        for piece in text.as_bytes().chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = reading.next(&mut buffer)? {
                match frame.into_data() {
                    Ok(bytes) => data.extend_from_slice(&bytes),
                    Err(frame) => fields = frame.into_trailers().unwrap().len(),
                }
            }
        }
        if !reading.is_done() {
            return Err(BodyError::Gone);
        }
        Ok((String::from_utf8(data).unwrap(), fields, String::from_utf8(buffer.to_vec()).unwrap()))
    }

    #[test]
    fn chunks_are_read_however_they_are_cut() {
        let text = "5;a=b;c=\"d\"\r\nhello\r\n001\r\n \r\n5\r\nworld\r\n0\r\nX-T: v\r\n\r\nGET";
        let whole = read(text, 1000).unwrap();
        assert_eq!(whole, ("hello world".into(), 1, "GET".into()));
        for step in 1..text.len() {
            assert_eq!(read(text, step).unwrap(), whole, "{step}");
        }
    }

    #[test]
    fn what_is_not_a_chunk_is_refused() {
        for bad in [
            "0x5\r\nhello",
            "+5\r\nhello",
            "-1\r\nhello",
            "5\nhello",
            "5\r\nhello\n0\r\n",
            "5\r\nhelloXX0\r\n",
            "10000000000000005\r\nhello",
            "FFFFFFFFFFFFFFFF\r\nhello",
            "5;a\nb\r\nhello",
            " 5\r\nhello",
            "g\r\nhello",
            "\r\n",
            "5 \r\nhello",
            "5;\0\r\nhello",
            "0\r\nX : y\r\n\r\n",
            "0\r\n\n",
        ] {
            assert_eq!(read(bad, 1000), Err(BodyError::Framing), "{bad:?}");
        }
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let flood = format!("1;{}\r\nx\r\n", "e".repeat(4000)).repeat(5);
        assert_eq!(read(&flood, 100_000), Err(BodyError::Framing));
        assert_eq!(read(&format!("1;{}", "e".repeat(5000)), 100), Err(BodyError::Framing));
        assert_eq!(read(&format!("0\r\nX: {}", "e".repeat(5000)), 100), Err(BodyError::Trailers));
        assert_eq!(read("0\r\na:\r\na:\r\na:\r\na:\r\na:\r\n", 100), Err(BodyError::Trailers));
    }

    #[test]
    fn small_chunks_are_put_together_and_large_ones_are_not_copied() {
        let mut buffer = BytesMut::from("1\r\na\r\n".repeat(100).as_bytes());
        let mut reading = Reading::chunked(LIMITS);
        let frame = reading.next(&mut buffer).unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), 100);
        let mut buffer = BytesMut::from(format!("2000\r\n{}", "x".repeat(8192)).as_bytes());
        let place = buffer.as_ptr().wrapping_add(6);
        let frame = Reading::chunked(LIMITS).next(&mut buffer).unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().as_ptr(), place);
    }

    #[test]
    fn a_length_is_kept() {
        let (mut reading, mut buffer) = (Reading::Length(5), BytesMut::from("hel"));
        assert_eq!(reading.next(&mut buffer).unwrap().unwrap().into_data().unwrap(), "hel");
        assert_eq!((reading.left(), reading.is_done()), (Some(2), false));
        buffer.extend_from_slice(b"loGET");
        assert_eq!(reading.next(&mut buffer).unwrap().unwrap().into_data().unwrap(), "lo");
        assert!(reading.is_done());
        assert_eq!(&buffer[..], b"GET");
        assert_eq!(Reading::Length(1).closed(), Err(BodyError::Gone));
        assert_eq!(Reading::UntilClose.closed(), Ok(()));
    }
}
