//! Whom the configuration needs: they are never kept out, and who bans them is asked whether that is meant.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ban::{Guard, Needed};
use crate::config::{Config, Endpoint, WebBind};

/// Whom a configuration needs on this host.
pub(in crate::control) fn guard(config: &Config, resolve: impl Fn(&str) -> Vec<IpAddr>) -> Guard {
    let mut needed = BTreeSet::new();
    let mut need = |address: IpAddr, what: String| {
        let address = address.to_canonical();
        if !address.is_unspecified() {
            needed.insert(Needed { address, what });
        }
    };
    for pool in &config.pools {
        for backend in &pool.backends {
            let what = || format!("a backend of pool {}", pool.name);
            match &backend.endpoint {
                Endpoint::Name { host, .. } => {
                    resolve(host).into_iter().for_each(|address| need(address, what()));
                }
                endpoint => endpoint.ip().into_iter().for_each(|backend| need(backend.ip, what())),
            }
        }
    }
    for listener in &config.listeners {
        listener
            .bind
            .iter()
            .for_each(|bind| need(bind.ip(), format!("an address of listener {}", listener.name)));
    }
    for listener in &config.web_listeners {
        for bind in &listener.bind {
            if let WebBind::Tcp(address) = bind {
                need(address.ip(), format!("an address of listener {}", listener.name));
            }
        }
    }
    gateways().into_iter().for_each(|address| need(address, "the default gateway".to_owned()));
    own_addresses().into_iter().for_each(|address| need(address, "an address of this host".to_owned()));
    let trusted = config.web_listeners.iter().flat_map(|listener| {
        listener.trusted_proxies.iter().map(|proxies| (*proxies, listener.name.to_string()))
    });
    let (needed, trusted) = (needed.into_iter().collect(), trusted.collect());
    Guard { needed, trusted, audit_log: config.admin.audit_log.clone() }
}

/// Gateways of default routes (/proc/net/route, /proc/net/ipv6_route). Where they cannot be read there are none.
fn gateways() -> Vec<IpAddr> {
    let v4 = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default();
    v4.lines().filter_map(gateway_v4).chain(v6.lines().filter_map(gateway_v6)).collect()
}

/// `Iface Destination Gateway …`: numbers as they lie in memory.
fn gateway_v4(line: &str) -> Option<IpAddr> {
    let mut words = line.split_whitespace().skip(1);
    let (destination, gateway) = (words.next()?, words.next()?);
    let gateway = u32::from_str_radix(gateway, 16).ok()?;
    (destination == "00000000" && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()).into())
}

/// `destination length source length gateway …`
fn gateway_v6(line: &str) -> Option<IpAddr> {
    let words: Vec<_> = line.split_whitespace().collect();
    let gateway = Ipv6Addr::from(u128::from_str_radix(words.get(4)?, 16).ok()?);
    (words.get(1) == Some(&"00") && !gateway.is_unspecified()).then(|| gateway.into())
}

/// The host's own addresses (/proc/net/fib_trie, /proc/net/if_inet6).
fn own_addresses() -> Vec<IpAddr> {
    let v4 = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let v6 = v6.lines().filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok());
    local_v4(&v4).map(IpAddr::from).chain(v6.map(|bits| Ipv6Addr::from(bits).into())).collect()
}

/// An address stands a line above what it is.
fn local_v4(trie: &str) -> impl Iterator<Item = Ipv4Addr> {
    let lines: Vec<&str> = trie.lines().map(str::trim).collect();
    let pairs: Vec<_> = lines
        .windows(2)
        .filter(|pair| pair[1].starts_with("/32 host LOCAL"))
        .filter_map(|pair| pair[0].rsplit(' ').next()?.parse().ok())
        .collect();
    pairs.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_read_as_the_kernel_writes_them() {
        let line = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0";
        let native = u32::from_str_radix("010200C0", 16).unwrap().to_ne_bytes();
        assert_eq!(gateway_v4(line), Some(Ipv4Addr::from(native).into()));
        assert_eq!(gateway_v4("eth0\t000200C0\t00000000\t0001"), None);
        let line = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003 eth0";
        assert_eq!(gateway_v6(line), Some("fe80::1".parse().unwrap()));
    }

    #[test]
    fn own_addresses_are_found_in_the_trie() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(trie).collect::<Vec<_>>(), [Ipv4Addr::new(10, 0, 0, 5)]);
    }
}
