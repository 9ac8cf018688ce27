//! The address of a backend, as people write it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Where a backend is. Without a port (`dsr` only) it answers on the port of the listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct BackendAddr {
    /// The host.
    pub ip: IpAddr,
    /// The port, or none: the listener's.
    pub port: Option<u16>,
}

impl BackendAddr {
    /// The address to send to, for a listener on `listener_port`.
    pub fn at(self, listener_port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(listener_port))
    }
}

impl From<SocketAddr> for BackendAddr {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip(), port: Some(address.port()) }
    }
}

impl fmt::Display for BackendAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl FromStr for BackendAddr {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        bare.parse().map(|ip| Self { ip, port: None }).map_err(|_| NotAnAddress::of(text))
    }
}

/// Why a text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAnAddress {
    /// The port is there, and it is no number from 1 to 65535.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// An IPv6 address with a port needs brackets.
    #[error("an IPv6 address with a port is written in brackets: \"[2001:db8::1]:80\"")]
    Brackets,
    /// It looks like the name of a host.
    #[error("this is a name; an IP address is wanted here")]
    HostName,
    /// It is none of these.
    #[error("this is not an IP address")]
    Unknown,
}

impl NotAnAddress {
    /// Finds out what is wrong with a text that parses neither as an address nor as an address with a port.
    pub fn of(text: &str) -> Self {
        let host = text.rsplit_once(':').map_or(text, |(host, _port)| host);
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if bracketed.parse::<IpAddr>().is_ok() {
            return if bracketed.len() == host.len() && host.contains(':') {
                Self::Brackets
            } else {
                Self::Port
            };
        }
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.' || c == '_';
        if !host.is_empty() && host.chars().all(letters) && host.chars().any(|c| c.is_ascii_alphabetic()) {
            return Self::HostName;
        }
        Self::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_it_is_written() {
        for text in ["10.0.0.1:80", "[2001:db8::1]:80", "10.0.0.1", "2001:db8::1"] {
            assert_eq!(text.parse::<BackendAddr>().unwrap().to_string(), text);
        }
        assert_eq!("[::1]".parse::<BackendAddr>().unwrap().to_string(), "::1");
    }

    #[test]
    fn what_is_wrong_with_an_address_is_found_out() {
        let wrong = |text: &str| text.parse::<BackendAddr>().unwrap_err();
        assert_eq!(wrong("10.0.0.1:99999"), NotAnAddress::Port);
        assert_eq!(wrong("10.0.0.1:http"), NotAnAddress::Port);
        assert_eq!(wrong("2001:db8::1:99999"), NotAnAddress::Brackets);
        assert_eq!(wrong("web.example.com:80"), NotAnAddress::HostName);
        assert_eq!(wrong("localhost"), NotAnAddress::HostName);
        assert_eq!(wrong("10.0.0.256"), NotAnAddress::Unknown);
        assert_eq!(wrong(""), NotAnAddress::Unknown);
    }
}
