//! Whose traffic is counted together: what of a client, a connection or a request makes the key.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::desk::Desk;
use super::live::Live;
use crate::config::Per;
use crate::l7::request::Request;
use crate::l7::template::{Text, Values, cookie};
use crate::limit::{Key, masked};
use crate::net::stream::Target;

/// Whose traffic is counted together.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    /// Of addresses with these first bits in common.
    Address {
        v4: u8,
        v6: u8,
    },
    Listener,
    Backend,
    Sni,
    Ja4,
    Route,
    Header(HeaderName),
    Cookie(Box<str>),
    Template(Text),
}

/// What is known of who comes: less before there is a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<'a> {
    /// Where it is.
    pub(super) client: IpAddr,
    /// The listener's name.
    pub(super) listener: &'a str,
    /// What its ClientHello asks for, and its fingerprint.
    pub(super) sni: Option<&'a str>,
    pub(super) ja4: Option<&'a str>,
    /// A request,
    pub(super) request: Option<&'a Request>,
    /// its route; empty: none wants it,
    pub(super) route: &'a str,
    /// and its backend, once there is one.
    pub(super) backend: Option<&'a Target>,
}

/// What keys are made of beside addresses: short, most often.
type Bytes = SmallVec<[u8; 128]>;

impl Whose {
    /// As configured.
    pub(super) fn new(per: &Per) -> Self {
        match per {
            Per::Ip => Self::Address { v4: 32, v6: 128 },
            Per::Subnet { v4, v6 } => Self::Address { v4: *v4, v6: *v6 },
            Per::Listener => Self::Listener,
            Per::Backend => Self::Backend,
            Per::Sni => Self::Sni,
            Per::Ja4 => Self::Ja4,
            Per::Route => Self::Route,
            Per::Header(name) => Self::Header(name.clone()),
            Per::Cookie(name) => Self::Cookie(name.clone()),
            Per::Template(template) => Self::Template(Text::new(template)),
        }
    }

    /// The key of who comes.
    pub(super) fn key(&self, desk: &Desk, live: &Live, caller: &Caller<'_>) -> Key {
        match self {
            Self::Address { v4, v6 } => desk.address(live, first_bits(caller.client, *v4, *v6)),
            _ => desk.text(live, &self.text(caller)),
        }
    }

    /// What the key is made of, for people too. Who does not have it is counted with all who do not.
    pub(super) fn text(&self, caller: &Caller<'_>) -> Bytes {
        let mut text = Bytes::new();
        match self {
            Self::Address { v4, v6 } => {
                let ip = first_bits(caller.client, *v4, *v6);
                text.extend_from_slice(ip.to_string().as_bytes());
                let (length, whole) = if ip.is_ipv4() { (*v4, 32) } else { (*v6, 128) };
                if length < whole {
                    text.extend_from_slice(format!("/{length}").as_bytes());
                }
            }
            Self::Listener => text.extend_from_slice(caller.listener.as_bytes()),
            Self::Backend => {
                text.extend_from_slice(caller.listener.as_bytes());
                if let Some(backend) = caller.backend {
                    text.push(b' ');
                    text.extend_from_slice(backend.to_string().as_bytes());
                }
            }
            Self::Sni => text.extend_from_slice(caller.sni.unwrap_or_default().as_bytes()),
            Self::Ja4 => text.extend_from_slice(caller.ja4.unwrap_or_default().as_bytes()),
            Self::Route => text.extend_from_slice(caller.route.as_bytes()),
            Self::Header(name) => {
                let value = caller.request.and_then(|request| request.headers.value(name));
                text.extend_from_slice(value.as_ref().map_or(&[][..], HeaderValue::as_bytes));
            }
            Self::Cookie(name) => {
                let value = caller.request.and_then(|request| cookie(&request.headers, name));
                text.extend_from_slice(value.unwrap_or_default());
            }
            Self::Template(template) => {
                if let Some(request) = caller.request {
                    text.extend_from_slice(&template.bytes(Values { request, route: caller.route }));
                }
            }
        }
        text
    }

    /// Whether it is told by an address alone, before anything was said.
    pub(super) const fn is_of_connection(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::Listener)
    }

    /// Whether it is told by a ClientHello.
    pub(super) const fn is_of_hello(&self) -> bool {
        matches!(self, Self::Sni | Self::Ja4)
    }
}

/// The first bits of an address; IPv4 that is written as IPv6 is IPv4.
fn first_bits(ip: IpAddr, v4: u8, v6: u8) -> IpAddr {
    let ip = ip.to_canonical();
    masked(&Per::Subnet { v4, v6 }, ip).unwrap_or(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::testing::{request, with};

    fn caller(request: &Request) -> Caller<'_> {
        Caller {
            client: request.client_ip(),
            listener: "web",
            sni: None,
            ja4: None,
            request: Some(request),
            route: "all",
            backend: None,
        }
    }

    fn text(whose: &Whose, request: &Request) -> String {
        String::from_utf8(whose.text(&caller(request)).to_vec()).unwrap()
    }

    #[test]
    fn addresses_are_cut_to_their_first_bits() {
        let at = |ip: &str, v4, v6| first_bits(ip.parse().unwrap(), v4, v6).to_string();
        assert_eq!(at("192.0.2.77", 24, 64), "192.0.2.0");
        assert_eq!(at("192.0.2.77", 32, 64), "192.0.2.77");
        assert_eq!(at("192.0.2.77", 0, 64), "0.0.0.0");
        assert_eq!(at("::ffff:192.0.2.77", 24, 64), "192.0.2.0");
        assert_eq!(at("2001:db8:1:2:3::4", 24, 64), "2001:db8:1:2::");
        assert_eq!(at("2001:db8::1", 24, 0), "::");
        assert_eq!(at("2001:db8::1", 24, 128), "2001:db8::1");
    }

    #[test]
    fn a_key_is_made_of_what_is_asked_for() {
        let asked = with(with(request("/x"), "x-user", "u1"), "cookie", "a=1; session=s2");
        assert_eq!(text(&Whose::Header(HeaderName::from_static("x-user")), &asked), "u1");
        assert_eq!(text(&Whose::Cookie("session".into()), &asked), "s2");
        assert_eq!(text(&Whose::Cookie("none".into()), &asked), "");
        assert_eq!(
            (text(&Whose::Route, &asked), text(&Whose::Listener, &asked)),
            ("all".into(), "web".into())
        );
        assert_eq!(text(&Whose::Address { v4: 24, v6: 64 }, &asked), "192.0.2.0/24");
        assert_eq!(text(&Whose::Address { v4: 32, v6: 128 }, &asked), "192.0.2.7");
    }
}
