//! From where operators are logged in: clients of this host's SSH servers. No rule bans them, whatever they try out.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::net::established;
use crate::net::netlink::Socket;

/// Nobody logs in and does something within so long; where there are many connections a look takes longer, and is taken
/// once in so many times that.
const FRESH: Duration = Duration::from_millis(100);
const LOOKS: u32 = 10;
/// Where SSH is, unless its configuration says otherwise.
const SSH: u16 = 22;
/// `TCP_ESTABLISHED`, as the kernel writes it.
const ESTABLISHED: &str = "01";

/// Clients of the SSH servers, read when somebody asks, and not again within a moment.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// They are read again from then on.
    next: Option<Instant>,
    from: BTreeSet<IpAddr>,
}

impl Sessions {
    /// From where operators are logged in now.
    pub(super) fn now(&mut self) -> &BTreeSet<IpAddr> {
        let begin = Instant::now();
        if self.next.is_none_or(|next| begin >= next) {
            let ports = ports();
            self.from = asked(&ports).unwrap_or_else(|_| written(&ports));
            self.next = Some(begin + FRESH.max(begin.elapsed() * LOOKS));
        }
        &self.from
    }
}

/// Clients of these ports, by asking the kernel for them.
fn asked(ports: &BTreeSet<u16>) -> io::Result<BTreeSet<IpAddr>> {
    let mut socket = Socket::of_sockets()?;
    let clients = ports.iter().map(|port| established::to_port(&mut socket, *port));
    Ok(clients.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The same where the kernel does not answer that (`CONFIG_INET_DIAG`): out of the tables that it writes for people. Where one
/// cannot be read nobody is logged in by it.
fn written(ports: &BTreeSet<u16>) -> BTreeSet<IpAddr> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok());
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    lines.filter_map(|line| client(line, ports)).collect()
}

/// Ports of SSH servers: `Port` in their configuration.
fn ports() -> BTreeSet<u16> {
    let mut files = vec!["/etc/ssh/sshd_config".into()];
    let more = fs::read_dir("/etc/ssh/sshd_config.d").into_iter().flatten().flatten();
    files.extend(more.map(|entry| entry.path()));
    let texts = files.into_iter().filter_map(|path| fs::read_to_string(path).ok());
    let mut ports: BTreeSet<u16> = texts.flat_map(|text| configured(&text)).collect();
    ports.insert(SSH);
    ports
}

fn configured(text: &str) -> Vec<u16> {
    let port = |line: &str| {
        let (key, value) = line.trim().split_once([' ', '\t', '='])?;
        key.eq_ignore_ascii_case("port").then(|| value.trim().parse().ok())?
    };
    text.lines().filter_map(port).collect()
}

/// `sl local remote state …`: addresses as they lie in memory, ports as numbers.
fn client(line: &str, ports: &BTreeSet<u16>) -> Option<IpAddr> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    if state != ESTABLISHED || !ports.contains(&u16::from_str_radix(local.split_once(':')?.1, 16).ok()?) {
        return None;
    }
    let address = remote.split_once(':')?.0;
    let word = |at: usize| Some(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    match address.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(local: &str, remote: &str, state: &str) -> String {
        format!("   1: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 0 0 1")
    }

    #[test]
    fn clients_of_ssh_are_found_as_the_kernel_writes_them() {
        let ports = BTreeSet::from([22, 2222]);
        let native = |octets: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(octets));
        let (own, their) = (native([192, 0, 2, 1]), native([198, 51, 100, 7]));
        let found = |local: &str, state: &str| {
            client(&line(&format!("{own}:{local}"), &format!("{their}:C350"), state), &ports)
        };
        assert_eq!(found("0016", "01"), Some("198.51.100.7".parse().unwrap()));
        assert_eq!(found("08AE", "01"), Some("198.51.100.7".parse().unwrap()));
        assert_eq!((found("0050", "01"), found("0016", "06")), (None, None));
        let words: String = "2001:db8::7"
            .parse::<Ipv6Addr>()
            .unwrap()
            .octets()
            .chunks(4)
            .map(|four| native([four[0], four[1], four[2], four[3]]))
            .collect();
        let v6 = line(&format!("{words}:0016"), &format!("{words}:C350"), "01");
        assert_eq!(client(&v6, &ports), Some("2001:db8::7".parse().unwrap()));
        assert_eq!(client("  sl  local_address rem_address   st tx_queue", &ports), None);
    }

    #[test]
    fn ports_are_read_as_sshd_reads_them() {
        assert_eq!(
            configured("# Port 1\nport 2222\n  Port\t22022\nPort=24\nPorts 5\nListenAddress ::"),
            [2222, 22022, 24]
        );
    }
}
