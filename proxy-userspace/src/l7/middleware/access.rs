//! `allow` and `deny`: which clients may ask.

use std::net::IpAddr;

use ipnet::IpNet;

use super::service::{LocalService, Step};
use crate::l7::cause::Cause;
use crate::l7::request::{Request, Response};
use crate::l7::respond::{Form, refuse};

/// Which clients may ask.
#[derive(Debug)]
pub(super) struct Access {
    allow: Ranges,
    deny: Ranges,
}

impl Access {
    /// Only those in `allow`, if there are any; and none in `deny`.
    pub(super) fn new(allow: &[IpNet], deny: &[IpNet]) -> Self {
        Self { allow: Ranges::new(allow), deny: Ranges::new(deny) }
    }

    fn lets(&self, client: IpAddr) -> bool {
        (self.allow.is_empty() || self.allow.contains(client)) && !self.deny.contains(client)
    }
}

impl Step for Access {
    async fn answer(&self, request: Request, next: &LocalService) -> Response {
        if self.lets(request.client_ip()) {
            next.answer(request).await
        } else {
            refuse(Form::of(&request), &request.record, Cause::Denied)
        }
    }
}

/// Addresses, as ranges in order that do not touch: lists may be long. IPv4 stands where IPv6 maps it, so that an
/// address is the same however it is written.
#[derive(Debug)]
struct Ranges(Vec<(u128, u128)>);

impl Ranges {
    fn new(nets: &[IpNet]) -> Self {
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

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contains(&self, ip: IpAddr) -> bool {
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

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn access(allow: &[&str], deny: &[&str]) -> Access {
        Access::new(&nets(allow), &nets(deny))
    }

    fn lets(access: &Access, ip: &str) -> bool {
        access.lets(ip.parse().unwrap())
    }

    #[test]
    fn deny_counts_more_than_allow() {
        let access = access(&["10.0.0.0/8", "2001:db8::/32"], &["10.1.0.0/16"]);
        assert!(
            lets(&access, "10.2.0.1") && lets(&access, "2001:db8::1") && lets(&access, "::ffff:10.2.0.1")
        );
        assert!(!lets(&access, "10.1.2.3") && !lets(&access, "192.0.2.1") && !lets(&access, "2001:db9::1"));
    }

    #[test]
    fn without_allow_all_but_the_denied_may_ask() {
        let access = access(&[], &["0.0.0.0/0"]);
        assert!(lets(&access, "2001:db8::1"));
        assert!(!lets(&access, "192.0.2.1") && !lets(&access, "::ffff:192.0.2.1"));
        assert!(lets(&self::access(&[], &[]), "192.0.2.1"));
    }

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
