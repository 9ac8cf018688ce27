//! Where a backend is, as people write it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::host::{ends_in_a_number, is_label};

/// Where a backend is. What the kernel balances is always [`Endpoint::Ip`].
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Endpoint {
    /// An address, without a port behind `dsr` only.
    Ip(BackendAddr),
    /// A name, resolved again and again.
    Name {
        /// In lower case, without a trailing dot.
        host: Box<str>,
        /// The port of each of its addresses.
        port: u16,
    },
    /// A Unix socket, its path absolute.
    Unix(PathBuf),
}

impl Endpoint {
    /// What begins the text of a Unix socket.
    pub const UNIX: &str = "unix:";

    /// The address, if it is one.
    pub const fn ip(&self) -> Option<BackendAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Name { .. } | Self::Unix(_) => None,
        }
    }

    /// The port, if it has one.
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => address.port,
            Self::Name { port, .. } => Some(*port),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address.into())
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}{}", Self::UNIX, path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        if let Some(path) = text.strip_prefix(Self::UNIX) {
            return unix_path(path).map(Self::Unix);
        }
        match text.parse() {
            Ok(address) => Ok(Self::Ip(address)),
            Err(NotAnAddress::HostName) => named(text),
            Err(wrong) => Err(wrong),
        }
    }
}

/// The path of a Unix socket.
pub(super) fn unix_path(path: &str) -> Result<PathBuf, NotAnAddress> {
    let fits = path.len() <= SOCKET_PATH_BYTES && !path.contains('\0');
    if path.starts_with('/') && fits { Ok(Path::new(path).to_owned()) } else { Err(NotAnAddress::SocketPath) }
}

/// A name and a port.
fn named(text: &str) -> Result<Endpoint, NotAnAddress> {
    let (host, port) = text.rsplit_once(':').ok_or(NotAnAddress::NoPort)?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or(NotAnAddress::Port)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > 253 || !host.split('.').all(is_label) {
        return Err(NotAnAddress::BadName);
    }
    if ends_in_a_number(host) {
        return Err(NotAnAddress::Unknown);
    }
    Ok(Endpoint::Name { host: host.to_ascii_lowercase().into(), port })
}

/// The longest path of a Unix socket, in bytes (`sun_path`, with its NUL: unix(7)).
pub(super) const SOCKET_PATH_BYTES: usize = 107;

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
    /// The name of a host with labels that no name has.
    #[error("a name has labels of 1 to 63 letters, digits, _ and -, with dots between them")]
    BadName,
    /// The name of a host, and nothing after it.
    #[error("the port is missing")]
    NoPort,
    /// `unix:`, and no path that a socket can have.
    #[error("the path of a socket is absolute and has at most {SOCKET_PATH_BYTES} bytes")]
    SocketPath,
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
    fn a_backend_is_an_address_a_name_or_a_socket() {
        for text in
            ["10.0.0.1:80", "[2001:db8::1]:80", "10.0.0.1", "app.example.com:80", "unix:/run/app.sock"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("App.Example.COM.:80".parse::<Endpoint>().unwrap().to_string(), "app.example.com:80");
        let wrong = |text: &str| text.parse::<Endpoint>().unwrap_err();
        assert_eq!(wrong("app.example.com"), NotAnAddress::NoPort);
        assert_eq!(wrong("app.example.com:0"), NotAnAddress::Port);
        assert_eq!(wrong("app.example.com:http"), NotAnAddress::Port);
        assert_eq!(wrong("app.example.com:+80"), NotAnAddress::Port);
        assert_eq!(wrong("app..example.com:80"), NotAnAddress::BadName);
        assert_eq!(wrong("-app.example.com:80"), NotAnAddress::BadName);
        assert_eq!(wrong("a.1:80"), NotAnAddress::Unknown);
        assert_eq!(wrong("unix:app.sock"), NotAnAddress::SocketPath);
        assert_eq!(wrong("unix:"), NotAnAddress::SocketPath);
        assert_eq!(wrong(&format!("unix:/{}", "x".repeat(107))), NotAnAddress::SocketPath);
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
