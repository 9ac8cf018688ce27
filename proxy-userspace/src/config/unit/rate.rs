//! Rates, as people write them: `"100/s"`, `"5/m burst 10"`, `"10MB/s burst 20MB"`.

use std::time::Duration;

use proxy_common::gcra::Gcra;

use super::bytes::{format_bytes, parse_bytes};
use crate::config::diagnostic::Fact;
use crate::config::limit::{Amount, Measure, Rate};
use crate::config::nearest::nearest;

/// What a rate can be for, the shortest first.
const PERIODS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// Words that people write for a period, and the one that is meant.
const WORDS: [(&str, &str); 12] = [
    ("sec", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("ms", "s"),
];

/// Of a second's count, so much may come at once if nothing else is said.
const BURST_SHARE: u64 = 50;

/// The least burst in bytes: a frame of an Ethernet, with its header and tags. With less no such frame would ever pass.
const LEAST_BURST_BYTES: u64 = 1522;

/// The burst in bytes of a slow rate, if none is said: what the kernel's offloads make of packets that follow each other.
const BURST_BYTES: u64 = 64 << 10;

/// The slowest and the fastest clock that a kernel has, in ticks a second.
const CLOCKS: [u32; 2] = [100, 1000];

/// Why a text is no rate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotARate {
    /// Something is missing.
    #[error("a number and what it is for are wanted")]
    Shape(Measure),
    /// What stands before the slash.
    #[error("{0:?} is no {what}", what = if .1.is_in_bytes() { "number of bytes" } else { "whole number" })]
    Count(Box<str>, Measure),
    /// What stands behind the slash.
    #[error("{0:?} is no time that a rate can be for; these are s, m, h, d")]
    Period(Box<str>),
    /// What stands behind the rate.
    #[error("{0:?} is not known here: only a burst can follow")]
    After(Box<str>),
    /// Nothing at all.
    #[error("a rate of 0 lets nothing through")]
    Zero,
    /// A burst of nothing.
    #[error("a burst of 0 lets nothing through")]
    ZeroBurst,
    /// A burst that is shorter than what is counted.
    #[error("a burst of {0} bytes is less than a frame: none of that size would ever pass")]
    ShortBurst(u64),
    /// Bytes come in whole packets, and the wait for one would be very long.
    #[error("less than a byte a second cannot be kept")]
    TooSlow,
    /// More than the arithmetic can hold.
    #[error("this rate cannot be kept: it is too fast, or its burst is worth more than a year")]
    Impossible,
}

impl Fact for NotARate {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Shape(measure) | Self::Count(_, measure) => {
                format!("write it as: {:?} or {:?}", example(*measure), with_burst(*measure))
            }
            Self::Period(word) => {
                let meant =
                    WORDS.iter().find(|(long, _)| *long == word.to_lowercase()).map(|(_, short)| *short);
                let known = || PERIODS.iter().map(|(name, _)| *name);
                match meant.or_else(|| nearest(word, known())) {
                    Some(period) => format!("did you mean /{period}?"),
                    None => "write it as: \"100/s\", \"100/m\", \"100/h\" or \"100/d\"".to_owned(),
                }
            }
            Self::After(_) => "write it as: \"100/s burst 200\"".to_owned(),
            Self::Zero => "to keep clients out there is [ban]; to let all through remove the key".to_owned(),
            Self::ZeroBurst => "a burst is at least 1; without it there is a safe one".to_owned(),
            Self::ShortBurst(_) => format!("write at least: burst {LEAST_BURST_BYTES}B"),
            Self::TooSlow => "write at least: \"1B/s\"".to_owned(),
            Self::Impossible => "write a slower rate, or a shorter burst".to_owned(),
        })
    }
}

const fn example(measure: Measure) -> &'static str {
    if measure.is_in_bytes() { "10MB/s" } else { "100/s" }
}

const fn with_burst(measure: Measure) -> &'static str {
    if measure.is_in_bytes() { "10MB/s burst 20MB" } else { "100/s burst 200" }
}

/// Reads a rate of what `measure` counts.
///
/// # Errors
/// It is none, or one that cannot be kept.
pub fn parse_rate(measure: Measure, text: &str) -> Result<Rate, NotARate> {
    let (count, rest) = text.split_once('/').ok_or(NotARate::Shape(measure))?;
    let (period, after) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
    let (count, after) = (count.trim(), after.trim());
    let count = number(measure, count).ok_or_else(|| NotARate::Count(count.into(), measure))?;
    let seconds = PERIODS.iter().find(|(name, _)| *name == period);
    let (_, seconds) = seconds.ok_or_else(|| NotARate::Period(period.into()))?;
    let burst = match after.split_once(char::is_whitespace) {
        None if after.is_empty() => default_burst(measure, count, *seconds),
        Some(("burst", burst)) => parse_burst(measure, burst)?,
        Some(_) | None => return Err(NotARate::After(after.into())),
    };
    check_rate(measure, Rate { count, period: Duration::from_secs(*seconds), burst })
}

/// Reads a burst of what `measure` counts: `200`, `"20MB"`.
///
/// # Errors
/// It is none.
pub fn parse_burst(measure: Measure, text: &str) -> Result<u64, NotARate> {
    number(measure, text.trim()).ok_or_else(|| NotARate::Count(text.trim().into(), measure))
}

/// A rate, if it can be kept.
///
/// # Errors
/// It lets nothing through, or there is no number that holds it.
pub fn check_rate(measure: Measure, rate: Rate) -> Result<Rate, NotARate> {
    if rate.count == 0 {
        return Err(NotARate::Zero);
    }
    if rate.burst == 0 {
        return Err(NotARate::ZeroBurst);
    }
    if measure.is_in_bytes() {
        if rate.burst < LEAST_BURST_BYTES {
            return Err(NotARate::ShortBurst(rate.burst));
        }
        if rate.count < rate.period.as_secs() {
            return Err(NotARate::TooSlow);
        }
    }
    let period = u64::try_from(rate.period.as_nanos()).map_err(|_| NotARate::Impossible)?;
    let kept = |hz: u32| Gcra::new(rate.count, period, rate.burst, hz).is_ok();
    if CLOCKS.into_iter().all(kept) { Ok(rate) } else { Err(NotARate::Impossible) }
}

fn number(measure: Measure, text: &str) -> Option<u64> {
    if measure.is_in_bytes() && !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_bytes(text).ok();
    }
    // `parse` takes a sign too.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// What may come at once if nothing is said.
const fn default_burst(measure: Measure, count: u64, seconds: u64) -> u64 {
    let (share, least) = (count / seconds / BURST_SHARE, if measure.is_in_bytes() { BURST_BYTES } else { 1 });
    if share > least { share } else { least }
}

/// Writes a rate as [`parse_rate`] reads it, exactly; a burst only if it is not the one that holds without.
pub fn format_rate(measure: Measure, rate: &Rate) -> String {
    let seconds = rate.period.as_secs();
    let period = PERIODS.iter().find(|(_, length)| *length == seconds);
    let period = period.map_or_else(|| format!("{seconds}s"), |(name, _)| (*name).to_owned());
    let count = format_count(measure, rate.count);
    if rate.burst == default_burst(measure, rate.count, seconds.max(1)) {
        format!("{count}/{period}")
    } else {
        format!("{count}/{period} burst {}", format_count(measure, rate.burst))
    }
}

/// Reads how much of `measure` is let through: a rate, or of [`Measure::Concurrent`] a number.
///
/// # Errors
/// It is none of that: why, and what would be right.
pub fn parse_amount(measure: Measure, text: &str) -> Result<Amount, String> {
    if measure == Measure::Concurrent {
        let most = text.parse().ok().filter(|most| (1..=i64::MAX as u64).contains(most));
        return most.map(Amount::Most).ok_or_else(|| "a whole number from 1 on is wanted".to_owned());
    }
    let told = |why: NotARate| why.help().map_or_else(|| why.to_string(), |help| format!("{why} ({help})"));
    parse_rate(measure, text).map(Amount::Rate).map_err(told)
}

/// Writes an amount as [`parse_amount`] reads it.
pub fn amount_text(measure: Measure, amount: Amount) -> String {
    match amount {
        Amount::Rate(rate) => format_rate(measure, &rate),
        Amount::Most(most) => most.to_string(),
    }
}

/// Writes so much of what `measure` counts.
pub fn format_count(measure: Measure, count: u64) -> String {
    if measure.is_in_bytes() { format_bytes(count) } else { count.to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packets(text: &str) -> Result<(u64, u64, u64), NotARate> {
        parse_rate(Measure::Packets, text).map(|rate| (rate.count, rate.period.as_secs(), rate.burst))
    }

    fn bytes(text: &str) -> Result<(u64, u64, u64), NotARate> {
        parse_rate(Measure::Bytes, text).map(|rate| (rate.count, rate.period.as_secs(), rate.burst))
    }

    #[test]
    fn rates_are_read_with_their_bursts() {
        assert_eq!(packets("100/s burst 200"), Ok((100, 1, 200)));
        assert_eq!(packets(" 5 / m  burst  10 "), Ok((5, 60, 10)));
        assert_eq!(bytes("10MB/s burst 20MB"), Ok((10_000_000, 1, 20_000_000)));
        assert_eq!(bytes("1MiB/s burst 65536"), Ok((1 << 20, 1, 65_536)));
    }

    #[test]
    fn a_burst_that_is_not_said_is_a_fiftieth_of_a_second() {
        assert_eq!(packets("100/s"), Ok((100, 1, 2)));
        assert_eq!(packets("49/s"), Ok((49, 1, 1)));
        assert_eq!(packets("30000/m"), Ok((30_000, 60, 10)));
        assert_eq!(bytes("10MB/s"), Ok((10_000_000, 1, 200_000)));
        assert_eq!(bytes("10kB/s"), Ok((10_000, 1, 65_536)), "a whole packet passes");
    }

    #[test]
    fn what_is_no_rate_is_refused_with_its_reason() {
        assert_eq!(packets("100"), Err(NotARate::Shape(Measure::Packets)));
        assert_eq!(packets("many/s"), Err(NotARate::Count("many".into(), Measure::Packets)));
        assert_eq!(packets("-1/s"), Err(NotARate::Count("-1".into(), Measure::Packets)));
        assert_eq!(packets("+1/s"), Err(NotARate::Count("+1".into(), Measure::Packets)));
        assert_eq!(packets("/s"), Err(NotARate::Count("".into(), Measure::Packets)));
        assert_eq!(packets("10MB/s"), Err(NotARate::Count("10MB".into(), Measure::Packets)));
        assert_eq!(packets("100/minute"), Err(NotARate::Period("minute".into())));
        assert_eq!(packets("100/"), Err(NotARate::Period("".into())));
        assert_eq!(packets("100/s bust 3"), Err(NotARate::After("bust 3".into())));
        assert_eq!(packets("100/s burst"), Err(NotARate::After("burst".into())));
        assert_eq!(packets("0/s"), Err(NotARate::Zero));
        assert_eq!(packets("1/s burst 0"), Err(NotARate::ZeroBurst));
        assert_eq!(packets("1/d burst 400"), Err(NotARate::Impossible), "more than a year");
        assert_eq!(packets("18446744073709551615/s"), Err(NotARate::Impossible));
        assert_eq!(bytes("10mb/s"), Err(NotARate::Count("10mb".into(), Measure::Bytes)));
        assert_eq!(bytes("10MB/s burst 1kB"), Err(NotARate::ShortBurst(1000)));
        assert_eq!(bytes("59B/m"), Err(NotARate::TooSlow));
        assert_eq!(NotARate::Period("minute".into()).help().as_deref(), Some("did you mean /m?"));
    }

    proptest! {
        #[test]
        fn every_rate_is_read_as_it_is_written(
            count in 1u64..1 << 40, period in 0usize..4, burst in 2_000u64..1 << 20, of_bytes: bool,
        ) {
            let measure = if of_bytes { Measure::Bytes } else { Measure::Packets };
            let rate = Rate { count, period: Duration::from_secs(PERIODS[period].1), burst };
            if check_rate(measure, rate).is_ok() {
                prop_assert_eq!(parse_rate(measure, &format_rate(measure, &rate)), Ok(rate));
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text: String) {
            let _ = parse_rate(Measure::Bytes, &text);
        }
    }
}
