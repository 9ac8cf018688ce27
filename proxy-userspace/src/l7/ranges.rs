//! Sets of addresses, as people write them: networks.

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses, as ranges in order that do not touch: lists may be long. IPv4 stands where IPv6 maps it, so that an
/// address is the same however it is written.
#[derive(Debug)]
pub(super) struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    /// Of these networks.
    pub(super) fn new(nets: &[IpNet]) -> Self {
        let mut all: Vec<_> =
            nets.iter().map(|net| (number(net.network()), number(net.broadcast()))).collect();
        all.sort_unstable();
        let mut ranges: Vec<(u128, u128)> = Vec::with_capacity(all.len());
        for (first, last) in all {
            match ranges.last_mut() {
                Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        Self(ranges)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is among them.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        let ip = number(ip);
        let after = self.0.partition_point(|&(first, _)| first <= ip);
        after > 0 && ip <= self.0[after - 1].1
    }
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_hold_what_their_networks_hold(
            nets in proptest::collection::vec((any::<u32>(), 0u8..=32), 0..20),
            ip in any::<u32>(),
        ) {
            let nets: Vec<IpNet> =
                nets.into_iter().map(|(ip, bits)| IpNet::new(IpAddr::V4(ip.into()), bits).unwrap()).collect();
            let ranges = Ranges::new(&nets);
            for net in &nets {
                for ip in [net.network(), net.broadcast()] {
                    prop_assert!(ranges.contains(ip));
                }
            }
            let ip = IpAddr::V4(ip.into());
            prop_assert_eq!(ranges.contains(ip), nets.iter().any(|net| net.contains(&ip)));
        }
    }
}
