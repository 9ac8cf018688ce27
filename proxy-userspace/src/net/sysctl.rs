//! Settings of the kernel under /proc/sys/net.

use std::io;
use std::ops::RangeInclusive;

/// A setting, by its path below /proc/sys (`net/ipv4/ip_forward`).
pub fn read(path: &str) -> io::Result<String> {
    Ok(std::fs::read_to_string(format!("/proc/sys/{path}"))?.trim().to_owned())
}

/// The ports that the host gives to its own connections.
pub fn local_ports() -> io::Result<RangeInclusive<u16>> {
    let text = read("net/ipv4/ip_local_port_range")?;
    let mut ports = text.split_whitespace().map(str::parse::<u16>);
    match (ports.next(), ports.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Ok(low..=high),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
