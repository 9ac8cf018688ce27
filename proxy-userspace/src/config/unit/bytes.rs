//! Numbers of bytes, as people write them: `"64KiB"`, `"10MB"`.

/// Units, in bytes.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Why a text is no number of bytes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(in crate::config) enum NotASize {
    #[error("a whole number and a unit are wanted")]
    NoNumber,
    #[error("{0:?} is not a unit; units are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB")]
    Unit(Box<str>),
    #[error("it is more than any machine has")]
    TooLarge,
}

/// Reads a whole number with its unit.
pub(in crate::config) fn parse_bytes(text: &str) -> Result<u64, NotASize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.trim_start();
    if digits.is_empty() {
        return Err(NotASize::NoNumber);
    }
    let scale = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| NotASize::Unit(unit.into()))?.1;
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or(NotASize::TooLarge)
}

/// Writes a number of bytes, exactly, in the unit that makes it shortest; without one where none does.
pub(in crate::config) fn format_bytes(bytes: u64) -> String {
    let exact = UNITS.iter().filter(|(_, scale)| *scale > 1 && bytes > 0 && bytes.is_multiple_of(*scale));
    let largest = exact.max_by_key(|(_, scale)| *scale);
    largest.map_or_else(|| bytes.to_string(), |(unit, scale)| format!("{}{unit}", bytes / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_bytes("64KiB"), Ok(65_536));
        assert_eq!(parse_bytes("64 KiB"), Ok(65_536));
        assert_eq!(parse_bytes("10MB"), Ok(10_000_000));
        assert_eq!(parse_bytes("0B"), Ok(0));
        assert_eq!(parse_bytes("64"), Err(NotASize::Unit("".into())));
        assert_eq!(parse_bytes("64kb"), Err(NotASize::Unit("kb".into())));
        assert_eq!(parse_bytes("-1B"), Err(NotASize::NoNumber));
        assert_eq!(parse_bytes(""), Err(NotASize::NoNumber));
        assert_eq!(parse_bytes("99999999TiB"), Err(NotASize::TooLarge));
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for bytes in [0, 1, 1000, 1 << 10, 64 << 10, (1 << 20) + 1, 3 << 40, 10_000_000] {
            let text = format_bytes(bytes);
            let read = text.parse().or_else(|_| parse_bytes(&text));
            assert_eq!(read, Ok(bytes), "{text}");
        }
        assert_eq!(format_bytes(10_000_000), "10MB");
        assert_eq!(format_bytes(64 << 10), "64KiB");
    }
}
