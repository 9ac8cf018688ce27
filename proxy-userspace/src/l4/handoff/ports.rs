//! Where connections to backends leave from that may be handed over: ports that neither the host nor the kernel part
//! gives to anybody else, since a connection that has left the host's table of sockets keeps its port in the flow table
//! alone.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The share of `nat_ports` that is kept for this.
const SHARE: u16 = 4;

/// Splits `nat_ports`: what connections of balanced listeners leave from, and what those do that may be handed over. `None`:
/// there are too few.
pub(crate) fn split(ports: &RangeInclusive<u16>) -> Option<(RangeInclusive<u16>, RangeInclusive<u16>)> {
    let count = ports.end().saturating_sub(*ports.start());
    let from = ports.end() - count / SHARE;
    (count >= SHARE).then(|| (*ports.start()..=from - 1, from..=*ports.end()))
}

/// Ports by turns.
#[derive(Debug, Default)]
pub(super) struct Turns(AtomicU32);

impl Turns {
    /// The next one of a range.
    pub(super) fn next(&self, ports: &RangeInclusive<u16>) -> u16 {
        let count = u32::from(ports.end().saturating_sub(*ports.start())) + 1;
        ports.start() + (self.0.fetch_add(1, Relaxed) % count) as u16
    }

    /// So many that may be tried for one connection: the next one, and then any, since those after it may all be of
    /// connections that the daemon before this one has left.
    pub(super) fn candidates(
        &self,
        ports: &RangeInclusive<u16>,
        count: usize,
    ) -> impl Iterator<Item = u16> + use<> {
        let all = ports.clone();
        std::iter::once(self.next(ports))
            .chain(std::iter::repeat_with(move || fastrand::u16(all.clone())))
            .take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_fourth_is_kept() {
        assert_eq!(split(&(1024..=32_767)), Some((1024..=24_831, 24_832..=32_767)));
        assert_eq!(split(&(5000..=5009)), Some((5000..=5006, 5007..=5009)));
        assert_eq!(split(&(5000..=5001)), None);
    }

    #[test]
    fn turns_go_around() {
        let turns = Turns::default();
        let given: Vec<_> = (0..5).map(|_| turns.next(&(7..=8))).collect();
        assert_eq!(given, [7, 8, 7, 8, 7]);
    }

    #[test]
    fn what_lies_behind_a_row_of_taken_ports_is_found() {
        let (turns, taken) = (Turns::default(), 24_832..=25_831);
        for _ in 0..100 {
            assert!(turns.candidates(&(24_832..=32_767), 16).any(|port| !taken.contains(&port)));
        }
    }
}
