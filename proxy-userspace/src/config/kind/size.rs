//! Numbers of bytes, as people write them: `4096`, `"64KiB"`, `"10MB"`.

use serde_json::{Value as Json, json};

use super::number::NotFrom;
use super::wrong::{wrong_kind, wrong_value};
use crate::config::node::Value;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};

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

/// A number of bytes from `low` to `high`.
#[derive(Debug)]
pub(in crate::config) struct Size {
    pub(in crate::config) low: u64,
    pub(in crate::config) high: u64,
}

impl Kind for Size {
    type Value = u64;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<u64, Reported> {
        let bytes = match &place.node.value {
            Value::Integer(number) => number.to_u64(),
            Value::Text(text) => match parse_size(text) {
                Ok(bytes) => Some(bytes),
                Err(reason) => {
                    let help = Some("write it as: 65536, \"64KiB\" or \"10MB\"".to_owned());
                    return Err(wrong_value(place, &reason, help, report));
                }
            },
            _ => return Err(wrong_kind(place, "a number of bytes", "\"64KiB\"", report)),
        };
        match bytes {
            Some(bytes) if (self.low..=self.high).contains(&bytes) => Ok(bytes),
            _ => {
                Err(wrong_value(place, &NotFrom(format_size(self.low), format_size(self.high)), None, report))
            }
        }
    }

    fn wanted(&self) -> String {
        format!("bytes from {} to {}", format_size(self.low), format_size(self.high))
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": self.low, "maximum": self.high },
            { "type": "string", "pattern": "^[0-9]+ *([KMGT]iB|[kMGT]?B)$" },
        ] })
    }
}

/// Why a text is no number of bytes.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
enum NotASize {
    #[error("a whole number and a unit are wanted")]
    NoNumber,
    #[error("{0:?} is not a unit; units are B, kB, MB, GB, TB, KiB, MiB, GiB, TiB")]
    Unit(Box<str>),
    #[error("it is more than any machine has")]
    TooLarge,
}

fn parse_size(text: &str) -> Result<u64, NotASize> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.trim_start();
    if digits.is_empty() {
        return Err(NotASize::NoNumber);
    }
    let scale = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| NotASize::Unit(unit.into()))?.1;
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(scale)).ok_or(NotASize::TooLarge)
}

/// Writes a number of bytes, exactly, in the largest binary unit that does.
fn format_size(bytes: u64) -> String {
    let binary = UNITS[..4].iter().rev().find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale));
    binary.map_or_else(|| bytes.to_string(), |(unit, scale)| format!("{}{unit}", bytes / scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("64 KiB"), Ok(65_536));
        assert_eq!(parse_size("10MB"), Ok(10_000_000));
        assert_eq!(parse_size("0B"), Ok(0));
        assert_eq!(parse_size("64"), Err(NotASize::Unit("".into())));
        assert_eq!(parse_size("64kb"), Err(NotASize::Unit("kb".into())));
        assert_eq!(parse_size("-1B"), Err(NotASize::NoNumber));
        assert_eq!(parse_size(""), Err(NotASize::NoNumber));
        assert_eq!(parse_size("99999999TiB"), Err(NotASize::TooLarge));
    }

    #[test]
    fn sizes_are_written_as_they_are_read() {
        for bytes in [0, 1, 1000, 1 << 10, 64 << 10, (1 << 20) + 1, 3 << 40] {
            let text = format_size(bytes);
            let read = text.parse().or_else(|_| parse_size(&text));
            assert_eq!(read, Ok(bytes), "{text}");
        }
    }
}
