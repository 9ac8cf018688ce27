//! Durations, as people write them: `"500ms"`, `"2s"`, `"1h30m"`.

use std::time::Duration;

/// Units, the largest first, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Why a text is no duration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotADuration {
    /// A number stands alone.
    #[error("it has no unit; units are d, h, m, s, ms, us, ns")]
    NoUnit,
    /// A unit that is none.
    #[error("{0:?} is not a unit; units are d, h, m, s, ms, us, ns")]
    UnknownUnit(Box<str>),
    /// A unit without a number before it, or nothing at all.
    #[error("a number and a unit are wanted, such as \"2s\", \"500ms\" or \"1h30m\"")]
    NoNumber,
    /// More than fits.
    #[error("it is longer than 500 years")]
    TooLong,
}

/// Reads a duration: one or more whole numbers, each with its unit.
pub fn parse_duration(text: &str) -> Result<Duration, NotADuration> {
    let mut rest = text.trim();
    let mut total = 0u64;
    if rest.is_empty() {
        return Err(NotADuration::NoNumber);
    }
    while !rest.is_empty() {
        let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit() && !c.is_whitespace());
        if digits.is_empty() {
            return Err(NotADuration::NoNumber);
        }
        if unit.is_empty() {
            return Err(NotADuration::NoUnit);
        }
        let (_, scale) = UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| NotADuration::UnknownUnit(unit.into()))?;
        let part = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(*scale));
        total = part.and_then(|part| total.checked_add(part)).ok_or(NotADuration::TooLong)?;
        rest = after.trim_start();
    }
    Ok(Duration::from_nanos(total))
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !keep(c)).unwrap_or(text.len()))
}

/// Writes a duration as [`parse_duration`] reads it, exactly.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, scale) in UNITS {
        if rest >= scale {
            text += &format!("{}{unit}", rest / scale);
            rest %= scale;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_with_their_units() {
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration(" 1h 30m "), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_its_reason() {
        assert_eq!(parse_duration("2"), Err(NotADuration::NoUnit));
        assert_eq!(parse_duration(""), Err(NotADuration::NoNumber));
        assert_eq!(parse_duration("s"), Err(NotADuration::NoNumber));
        assert_eq!(parse_duration("-2s"), Err(NotADuration::NoNumber));
        assert_eq!(parse_duration("2 s"), Err(NotADuration::NoUnit));
        assert_eq!(parse_duration("1.5s"), Err(NotADuration::UnknownUnit(".".into())));
        assert_eq!(parse_duration("2sec"), Err(NotADuration::UnknownUnit("sec".into())));
        assert_eq!(parse_duration("99999999999999d"), Err(NotADuration::TooLong));
    }

    proptest! {
        #[test]
        fn every_duration_is_read_as_it_is_written(nanos: u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = parse_duration(&text);
        }
    }
}
