//! The canonical form of a path (RFC 3986 §6.2.2): no needless escape, escapes in upper case, no dot segment, no
//! doubled slash. What cannot be brought into it without a guess is refused (RFC 9112 §3.2).

/// Why a target is refused: the answer is 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadTarget {
    /// It does not begin with `/`.
    #[error("the path does not begin with a slash")]
    NoSlash,
    /// A byte that must not stand in a target: a control character, a space, `#`, `\`, or beyond ASCII.
    #[error("the target has a character that must not stand in it")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("the path has a percent sign without two hexadecimal digits")]
    Escape,
    /// An escape that stands for a control character.
    #[error("the path has an escaped control character")]
    Control,
    /// A character is spelled in more bytes than it needs (RFC 3629 §10): a way to hide a dot or a slash.
    #[error("the path has an overlong UTF-8 sequence")]
    Overlong,
    /// `..` where there is nothing above.
    #[error("the path leads above its root")]
    AboveRoot,
    /// A dot segment beside an escaped slash, or with a parameter (`..;x`): some servers would follow it.
    #[error("the path hides a dot segment")]
    HiddenDots,
}

/// What a byte of a path is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Never stands in a path.
    Bad,
    /// Written as an escape in the canonical form. Browsers send these as they are.
    Escaped,
    /// Stands for itself, and an escape of it is something else (sub-delims, `:`, `@`: RFC 3986 §2.2).
    Reserved,
    /// Stands for itself, escaped or not (RFC 3986 §2.3).
    Unreserved,
    /// Begins an escape.
    Percent,
    /// Between segments.
    Slash,
}

const fn classify(byte: u8) -> Class {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Unreserved,
        b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' => {
            Class::Reserved
        }
        b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}' => Class::Escaped,
        b'%' => Class::Percent,
        b'/' => Class::Slash,
        _ => Class::Bad,
    }
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Bad; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = classify(byte as u8);
        byte += 1;
    }
    table
};

/// A path that is canonical.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Canonical {
    /// None: it was already.
    pub(super) path: Option<Vec<u8>>,
    /// It has escapes of reserved characters, which some servers read as the characters: [`reading`] does.
    pub(super) two_readings: bool,
}

/// The canonical form of `path`, which begins with `/`.
pub(super) fn canonical(path: &[u8]) -> Result<Canonical, BadTarget> {
    if let Some(two_readings) = judge(path) {
        return Ok(Canonical { path: None, two_readings });
    }
    let path = rewrite(path)?;
    // A rewritten path is canonical; what is left to know is how it can be read.
    let two_readings = judge(&path).unwrap_or(true);
    Ok(Canonical { path: Some(path), two_readings })
}

/// The path as a server reads it that takes escaped reserved characters for the characters.
pub(super) fn reading(path: &[u8]) -> Vec<u8> {
    let mut read = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match escape(path, at) {
            Some(value) if means_something(value) => {
                read.push(if value == b'\\' { b'/' } else { value });
                at += 3;
            }
            _ => {
                read.push(path[at]);
                at += 1;
            }
        }
    }
    read.dedup_by(|next, before| *next == b'/' && *before == b'/');
    read
}

/// None: not canonical, or bad. Else whether it has two readings.
fn judge(path: &[u8]) -> Option<bool> {
    let mut two_readings = false;
    let mut lead = 0;
    let mut at = 0;
    while at < path.len() {
        let mut next = at + 1;
        let mut escaped = 0;
        match CLASSES[usize::from(path[at])] {
            Class::Unreserved | Class::Reserved => {}
            Class::Slash if suspicious(&path[next..]) || path.get(next) == Some(&b'/') => return None,
            Class::Slash => {}
            Class::Percent => {
                escaped = escape(path, at)?;
                next = at + 3;
                let digits = &path[at + 1..next];
                if digits.iter().any(u8::is_ascii_lowercase)
                    || escaped.is_ascii_control()
                    || CLASSES[usize::from(escaped)] == Class::Unreserved
                    || is_overlong(lead, escaped)
                {
                    return None;
                }
                two_readings |= means_something(escaped);
                if matches!(escaped, b'/' | b'\\') && suspicious(&path[next..]) {
                    return None;
                }
            }
            Class::Escaped | Class::Bad => return None,
        }
        lead = escaped;
        at = next;
    }
    Some(two_readings)
}

/// What stands after a slash may be a dot segment: looked at closely then.
fn suspicious(rest: &[u8]) -> bool {
    let dots = rest.iter().take(3).take_while(|&&byte| byte == b'.').count();
    matches!(dots, 1 | 2) && matches!(rest.get(dots), None | Some(b'/' | b';' | b'%'))
}

fn rewrite(path: &[u8]) -> Result<Vec<u8>, BadTarget> {
    let mut out = Vec::with_capacity(path.len() + 16);
    let mut segments = path[1..].split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let start = out.len();
        out.push(b'/');
        push_segment(segment, &mut out)?;
        let last = segments.peek().is_none();
        let up = match &out[start + 1..] {
            b"" if !last => start,
            b"." => start,
            b".." if start == 0 => return Err(BadTarget::AboveRoot),
            b".." => out[..start].iter().rposition(|&byte| byte == b'/').unwrap_or(0),
            written if hides_dots(written) => return Err(BadTarget::HiddenDots),
            _ => continue,
        };
        out.truncate(up);
        if last {
            out.push(b'/');
        }
    }
    Ok(out)
}

fn push_segment(segment: &[u8], out: &mut Vec<u8>) -> Result<(), BadTarget> {
    let mut lead = 0;
    let mut at = 0;
    while at < segment.len() {
        let byte = segment[at];
        let mut escaped = 0;
        match CLASSES[usize::from(byte)] {
            Class::Unreserved | Class::Reserved => out.push(byte),
            Class::Escaped => push_escape(byte, out),
            Class::Percent => {
                escaped = escape(segment, at).ok_or(BadTarget::Escape)?;
                at += 2;
                match CLASSES[usize::from(escaped)] {
                    Class::Unreserved => out.push(escaped),
                    _ if escaped.is_ascii_control() => return Err(BadTarget::Control),
                    _ if is_overlong(lead, escaped) => return Err(BadTarget::Overlong),
                    _ => push_escape(escaped, out),
                }
            }
            Class::Slash | Class::Bad => return Err(BadTarget::Character),
        }
        lead = escaped;
        at += 1;
    }
    Ok(())
}

/// Whether a segment, which is no dot segment, would be one for a server that reads escaped slashes, or that takes
/// `;` for the end of the name.
fn hides_dots(segment: &[u8]) -> bool {
    let mut start = 0;
    let mut at = 0;
    while at <= segment.len() {
        let value = segment.get(at).map_or(b'/', |&byte| escape(segment, at).unwrap_or(byte));
        if matches!(value, b'/' | b'\\' | b';') {
            if matches!(&segment[start..at], b"." | b"..") {
                return true;
            }
            start = at + if segment.get(at) == Some(&b'%') { 3 } else { 1 };
        }
        at += 1;
    }
    false
}

/// Whether a server that reads the escape of this as the character sees another path.
fn means_something(value: u8) -> bool {
    matches!(CLASSES[usize::from(value)], Class::Reserved | Class::Slash)
        || matches!(value, b'\\' | b'?' | b'#')
}

/// Whether the second byte of a UTF-8 sequence says that one byte less would do (RFC 3629 §3).
fn is_overlong(lead: u8, second: u8) -> bool {
    matches!((lead, second), (0xC0 | 0xC1, 0x80..=0xBF) | (0xE0, 0x80..=0x9F) | (0xF0, 0x80..=0x8F))
}

/// The byte that the escape at `at` stands for.
fn escape(path: &[u8], at: usize) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    match path.get(at..at + 3)? {
        &[b'%', high, low] => Some((digit(high)? << 4) | digit(low)?),
        _ => None,
    }
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}
