//! Addresses to bind, of backends, and of the balancer itself.

use std::fmt;
use std::net::IpAddr;

use serde_json::{Value as Json, json};

use super::wrong::{text, wrong_value};
use crate::config::address::{BackendAddr, Endpoint, NotAnAddress, unix_path};
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};
use crate::config::web::WebBind;

/// Why an address will not do, though it is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
enum Unfit {
    #[error("the port is missing")]
    NoPort,
    #[error("port 0 is no port")]
    PortZero,
    #[error("a wildcard is not an address that packets are sent to")]
    Wildcard,
    #[error("packets to a loopback address cross no interface")]
    Loopback,
    #[error("this is a multicast or broadcast address")]
    Multicast,
    #[error("this is an IPv4 address in the clothes of IPv6")]
    Mapped,
}

fn unfit(ip: IpAddr) -> Option<Unfit> {
    if ip.is_unspecified() {
        return Some(Unfit::Wildcard);
    }
    if ip.is_loopback() {
        return Some(Unfit::Loopback);
    }
    if ip.is_multicast() || ip == IpAddr::V4(std::net::Ipv4Addr::BROADCAST) {
        return Some(Unfit::Multicast);
    }
    (ip.to_canonical() != ip).then_some(Unfit::Mapped)
}

fn refuse(
    place: Place<'_>,
    ip: IpAddr,
    port: Option<u16>,
    unfit: Unfit,
    report: &mut Report<'_>,
) -> Reported {
    let help = match (unfit, ip) {
        (Unfit::NoPort, IpAddr::V4(ip)) => format!("write it as: \"{ip}:80\""),
        (Unfit::NoPort, IpAddr::V6(ip)) => format!("write it as: \"[{ip}]:80\""),
        (Unfit::PortZero, _) => "a port is a number from 1 to 65535".to_owned(),
        (Unfit::Wildcard, _) => {
            "name each address: the kernel part knows only those that are named".to_owned()
        }
        (Unfit::Loopback, _) => "use an address that others can reach".to_owned(),
        (Unfit::Multicast, _) => "use an address of one machine".to_owned(),
        (Unfit::Mapped, ip) => {
            let plain = BackendAddr { ip: ip.to_canonical(), port };
            format!("write it as: \"{plain}\"")
        }
    };
    wrong_value(place, &unfit as &dyn fmt::Display, Some(help), report)
}

fn parse(
    place: Place<'_>,
    wanted: &str,
    example: &str,
    report: &mut Report<'_>,
) -> Result<BackendAddr, Reported> {
    let text = text(place, wanted, &format!("{example:?}"), report)?;
    let address = text.parse::<BackendAddr>().map_err(|reason: NotAnAddress| {
        wrong_value(place, &reason, Some(format!("write it as: {example:?}")), report)
    })?;
    let port_zero = (address.port == Some(0)).then_some(Unfit::PortZero);
    match unfit(address.ip).or(port_zero) {
        Some(unfit) => Err(refuse(place, address.ip, address.port, unfit, report)),
        None => Ok(address),
    }
}

/// Where clients connect to: an address and port, or a Unix socket.
#[derive(Debug)]
pub(in crate::config) struct Bind {
    /// Only what packets are sent to: no wildcards, no loopback addresses, no Unix sockets.
    pub(in crate::config) packets: bool,
}

impl Kind for Bind {
    type Value = WebBind;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<WebBind, Reported> {
        let example = "203.0.113.10:443";
        let text = text(place, &self.wanted(), &format!("{example:?}"), report)?;
        if let Some(path) = text.strip_prefix(Endpoint::UNIX) {
            return self.read_unix(path, place, report);
        }
        let address = text.parse::<BackendAddr>().map_err(|reason: NotAnAddress| {
            wrong_value(place, &reason, Some(format!("write it as: {example:?}")), report)
        })?;
        let counts = |unfit: &Unfit| self.packets || !matches!(unfit, Unfit::Loopback | Unfit::Wildcard);
        let port_zero = (address.port == Some(0)).then_some(Unfit::PortZero);
        if let Some(unfit) = unfit(address.ip).filter(counts).or(port_zero) {
            return Err(refuse(place, address.ip, address.port, unfit, report));
        }
        match address.port {
            Some(port) => Ok(WebBind::Tcp(address.at(port))),
            None => Err(refuse(place, address.ip, None, Unfit::NoPort, report)),
        }
    }

    fn wanted(&self) -> String {
        "an address with a port, or \"unix:/path\"".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^(unix:/.+|([0-9.]+|\\[[0-9a-fA-F:.]+\\]):[0-9]{1,5})$" })
    }
}

impl Bind {
    fn read_unix(&self, path: &str, place: Place<'_>, report: &mut Report<'_>) -> Result<WebBind, Reported> {
        if self.packets {
            let help = Some("a tcp or udp listener is bound to addresses: \"203.0.113.10:443\"".to_owned());
            return Err(wrong_value(place, &"no packets are sent to a Unix socket", help, report));
        }
        unix_path(path).map(WebBind::Unix).map_err(|reason| {
            wrong_value(place, &reason, Some("write it as: \"unix:/run/web.sock\"".to_owned()), report)
        })
    }
}

/// Where a backend is: an address with a port or (`dsr`) without, a name with a port, or a Unix socket.
#[derive(Debug)]
pub(in crate::config) struct BackendAddress;

impl Kind for BackendAddress {
    type Value = Endpoint;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Endpoint, Reported> {
        let example = "10.0.0.11:8080";
        let text = text(place, &self.wanted(), &format!("{example:?}"), report)?;
        let endpoint = text.parse::<Endpoint>().map_err(|reason| {
            let help = match reason {
                NotAnAddress::NoPort => format!("write it as: \"{text}:80\""),
                NotAnAddress::SocketPath => "write it as: \"unix:/run/app.sock\"".to_owned(),
                _ => format!("write it as: {example:?}"),
            };
            wrong_value(place, &reason, Some(help), report)
        })?;
        if let Endpoint::Ip(BackendAddr { ip, port }) = endpoint {
            // Whether packets get to a loopback address is a question of the listeners that use it.
            let not_there = unfit(ip).filter(|unfit| *unfit != Unfit::Loopback);
            let port_zero = (port == Some(0)).then_some(Unfit::PortZero);
            if let Some(unfit) = not_there.or(port_zero) {
                return Err(refuse(place, ip, port, unfit, report));
            }
        }
        Ok(endpoint)
    }

    fn wanted(&self) -> String {
        "an address or a name with a port, or \"unix:/path\"".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^(unix:/.+|[0-9.]+(:[0-9]{1,5})?|\\[?[0-9a-fA-F:.]+\\]?(:[0-9]{1,5})?|[A-Za-z0-9._-]+:[0-9]{1,5})$" })
    }
}

/// An address of the balancer itself.
#[derive(Debug)]
pub(in crate::config) struct HostAddress;

impl Kind for HostAddress {
    type Value = IpAddr;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<IpAddr, Reported> {
        let address = parse(place, &self.wanted(), "10.0.0.5", report)?;
        match address.port {
            None => Ok(address.ip),
            Some(_) => {
                let help = Some(format!("write it as: \"{}\"", address.ip));
                Err(wrong_value(place, &"an address without a port is wanted", help, report))
            }
        }
    }

    fn wanted(&self) -> String {
        "an address without a port".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9a-fA-F:.]+$" })
    }
}
