//! Sockets of this host that wait for clients.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A socket that waits for clients.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Waiting {
    /// `IPPROTO_TCP` or `IPPROTO_UDP`.
    pub protocol: u8,
    /// Where. An unspecified address is all of them; `::` usually those of IPv4 as well.
    pub address: SocketAddr,
}

/// Sockets of this network namespace that listen (TCP), or are bound and not connected (UDP).
pub fn waiting() -> io::Result<Vec<Waiting>> {
    let mut all = Vec::new();
    for (file, protocol, state) in
        [("tcp", 6, "0A"), ("tcp6", 6, "0A"), ("udp", 17, "07"), ("udp6", 17, "07")]
    {
        let text = match std::fs::read_to_string(format!("/proc/thread-self/net/{file}")) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            text => text?,
        };
        let there = text.lines().skip(1).filter_map(|line| local_address(line, state));
        all.extend(there.map(|address| Waiting { protocol, address }));
    }
    Ok(all)
}

/// The local address of a line of /proc/net/tcp and kin, if the socket is in this state.
fn local_address(line: &str, state: &str) -> Option<SocketAddr> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (address, port) = fields.next()?.split_once(':')?;
    if fields.nth(1)? != state {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    // Each 32-bit word of the address is printed as a number of this host.
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_wait_are_found() {
        let v4 = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let v6 = std::net::UdpSocket::bind("[::1]:0").ok();
        let connected = std::net::TcpStream::connect_timeout(
            &v4.local_addr().unwrap(),
            std::time::Duration::from_secs(5),
        )
        .unwrap();
        let waiting = waiting().unwrap();
        assert!(waiting.contains(&Waiting { protocol: 6, address: v4.local_addr().unwrap() }));
        if let Some(v6) = v6 {
            assert!(waiting.contains(&Waiting { protocol: 17, address: v6.local_addr().unwrap() }));
        }
        assert!(!waiting.contains(&Waiting { protocol: 6, address: connected.local_addr().unwrap() }));
    }
}
