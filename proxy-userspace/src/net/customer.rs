//! Who counts as one client.

use std::net::{IpAddr, Ipv6Addr};

/// Bits of an IPv6 address that one customer is given at the least (RFC 6177 §2): whoever has them has all addresses that
/// begin so.
const BITS: u8 = 64;

/// The client that an address belongs to: the address itself; of IPv6 the network that one customer has.
pub fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> BITS << BITS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_ipv6_is_one_customer() {
        for (address, client) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ] {
            assert_eq!(customer(address.parse().unwrap()), client.parse::<IpAddr>().unwrap());
        }
    }
}
