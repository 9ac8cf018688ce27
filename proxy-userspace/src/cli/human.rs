//! Numbers that people can take in.

/// A number that people can take in: 1234567 is 1.23M.
pub(super) fn short(value: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(unit, _)| value >= *unit) {
        Some((unit, letter)) => {
            let digits = match value / unit {
                v if v < 10.0 => 2,
                v if v < 100.0 => 1,
                _ => 0,
            };
            format!("{:.digits$}{letter}", value / unit)
        }
        None if value == value.trunc() => format!("{value:.0}"),
        None => format!("{value:.1}"),
    }
}

/// Seconds that people can take in: 3720 is `1h 2m`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_spans_are_short() {
        let numbers = [0.0, 0.25, 7.0, 999.0, 1000.0, 1_234_567.0, 98_765.0, 5.4e11];
        let text: Vec<_> = numbers.iter().map(|n| short(*n)).collect();
        assert_eq!(text, ["0", "0.2", "7", "999", "1.00k", "1.23M", "98.8k", "540G"]);
        assert_eq!([0, 61, 3720, 90_000].map(span), ["0s", "1m 1s", "1h 2m", "1d 1h"]);
    }
}
