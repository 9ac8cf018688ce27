//! Where a head ends. Each byte is looked at once, however it comes in pieces.

use super::fault::Fault;

/// Bytes of a method and a version, and of what stands between them and the target.
const LINE_REST: usize = 64;

/// How long a head may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct HeadLimits {
    /// Bytes, of all of it.
    pub(super) bytes: usize,
    /// Fields.
    pub(super) fields: usize,
    /// Bytes of the target.
    pub(super) target: usize,
}

/// A search for the end of a head.
#[derive(Default, Debug)]
pub(super) struct Scan {
    /// Begin of the line that has not ended yet.
    line: usize,
    /// Lines that have ended.
    lines: usize,
    /// Bytes that hold no further end of a line.
    seen: usize,
}

impl Scan {
    /// A search among fields alone: trailers.
    pub(super) fn of_trailers() -> Self {
        Self { line: 0, lines: 1, seen: 0 }
    }

    /// The length of the head that `buffer` begins with, once it is there as a whole.
    pub(super) fn end(&mut self, buffer: &[u8], limits: HeadLimits) -> Result<Option<usize>, Fault> {
        while let Some(found) = memchr::memchr(b'\n', &buffer[self.seen..]) {
            let lf = self.seen + found;
            if lf == self.line || buffer[lf - 1] != b'\r' {
                return Err(Fault::BareLf);
            }
            let empty = lf - 1 == self.line;
            (self.line, self.seen) = (lf + 1, lf + 1);
            if self.lines == 0 && lf > limits.target.saturating_add(LINE_REST) {
                return Err(Fault::TargetTooLong);
            }
            if lf >= limits.bytes {
                return Err(Fault::TooLong);
            }
            if empty {
                return Ok(Some(self.line));
            }
            self.lines += 1;
            if self.lines > limits.fields + 1 {
                return Err(Fault::TooMany);
            }
        }
        self.seen = buffer.len();
        if self.lines == 0 && buffer.len() > limits.target.saturating_add(LINE_REST) {
            return Err(Fault::TargetTooLong);
        }
        if buffer.len() > limits.bytes { Err(Fault::TooLong) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { bytes: 400, fields: 4, target: 100 };

    fn whole(text: &str) -> Result<Option<usize>, Fault> {
        Scan::default().end(text.as_bytes(), LIMITS)
    }

    #[test]
    fn a_head_ends_with_an_empty_line() {
        assert_eq!(whole("GET / HTTP/1.1\r\nHost: a\r\n\r\nrest"), Ok(Some(27)));
        assert_eq!(whole("GET / HTTP/1.1\r\nHost: a\r\n\r"), Ok(None));
        assert_eq!(Scan::of_trailers().end(b"a: b\r\n\r\nx", LIMITS), Ok(Some(8)));
    }

    #[test]
    fn a_line_without_cr_is_refused_at_once() {
        assert_eq!(whole("GET / HTTP/1.1\nHost"), Err(Fault::BareLf));
        assert_eq!(whole("\n"), Err(Fault::BareLf));
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_ends() {
        assert_eq!(whole(&"G".repeat(165)), Err(Fault::TargetTooLong));
        assert_eq!(whole(&format!("G\r\n{}", "a".repeat(400))), Err(Fault::TooLong));
        assert_eq!(whole(&format!("G\r\n{}", "a\r\n".repeat(5))), Err(Fault::TooMany));
        assert_eq!(whole(&format!("G\r\n{}", "a\r\n".repeat(4))), Ok(None));
    }
}
