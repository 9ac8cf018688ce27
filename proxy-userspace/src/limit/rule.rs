//! Rates and masks by the clock and by numbers.

use std::net::IpAddr;

use proxy_common::gcra::{Gcra, Impossible};

use crate::config::{Measure, Per, Rate};

/// A measure's number: part of a key, and of where it is counted.
pub const fn number(measure: Measure) -> u8 {
    measure as u8
}

/// The measure of a number.
pub fn measure(number_: u8) -> Option<Measure> {
    Measure::ALL.into_iter().find(|measure| number(*measure) == number_)
}

/// A rate by a clock of `hz` ticks a second.
///
/// # Errors
/// It cannot be kept: too slow, or a burst worth more than a year.
pub fn gcra(rate: &Rate, hz: u32) -> Result<Gcra, Impossible> {
    let period = u64::try_from(rate.period.as_nanos()).map_err(|_| Impossible)?;
    Gcra::new(rate.count, period, rate.burst, hz)
}

/// The part of an address that a limit's key is made of; none: its keys are not made of addresses.
pub fn masked(per: &Per, address: IpAddr) -> Option<IpAddr> {
    let (v4, v6) = match per {
        Per::Ip => (32, 128),
        Per::Subnet { v4, v6 } => (u32::from(*v4), u32::from(*v6)),
        _ => return None,
    };
    Some(match address {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(v4)).unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(v6)).unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_masked_to_any_length() {
        let per = |v4, v6| Per::Subnet { v4, v6 };
        let of = |per: &Per, address: &str| masked(per, address.parse().unwrap()).unwrap().to_string();
        assert_eq!(of(&Per::Ip, "192.0.2.77"), "192.0.2.77");
        assert_eq!(of(&per(24, 64), "192.0.2.77"), "192.0.2.0");
        assert_eq!(of(&per(0, 0), "192.0.2.77"), "0.0.0.0");
        assert_eq!(of(&per(24, 48), "2001:db8:1:2::3"), "2001:db8:1::");
        assert_eq!(of(&per(24, 0), "2001:db8:1:2::3"), "::");
        assert_eq!(of(&per(24, 128), "2001:db8:1:2::3"), "2001:db8:1:2::3");
        assert_eq!(masked(&Per::Listener, "192.0.2.77".parse().unwrap()), None);
    }
}
