//! The Date of answers (RFC 9110 §6.6.1), made once a second in each thread.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use http::HeaderValue;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

/// The date, and until when it is right.
struct Made {
    value: HeaderValue,
    until: Instant,
}

thread_local! {
    static MADE: RefCell<Option<Made>> = const { RefCell::new(None) };
}

/// Now, as IMF-fixdate (RFC 9110 §5.6.7).
pub(super) fn now() -> HeaderValue {
    let now = Instant::now();
    MADE.with_borrow_mut(|made| match made {
        Some(made) if now < made.until => made.value.clone(),
        _ => {
            let time = Timestamp::now();
            let value = of(time);
            let rest =
                Duration::from_nanos(1_000_000_000 - time.subsec_nanosecond().clamp(0, 999_999_999) as u64);
            *made = Some(Made { value: value.clone(), until: now + rest });
            value
        }
    })
}

fn of(time: Timestamp) -> HeaderValue {
    let text = DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_wants() {
        assert_eq!(of(Timestamp::from_second(784_111_777).unwrap()), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_date_of_now_has_the_one_length_that_dates_have() {
        assert_eq!(now().len(), 29);
        assert!(now().to_str().unwrap().ends_with(" GMT"));
    }
}
