//! What CAs and DNS providers are told.

use std::net::{IpAddr, SocketAddr};

use http::Uri;
use serde_json::{Value as Json, json};

use super::parsed::{Parsed, PlainText, bad};
use super::wrong::wrong_kind;
use crate::config::acme::IssuerConfig;
use crate::config::diagnostic::Fact;
use crate::config::node::Value;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// A CA: a word for those that everybody knows, or the address of its directory.
pub(in crate::config) const ISSUER: Parsed<IssuerConfig> = Parsed {
    wanted: "\"letsencrypt\", \"letsencrypt-staging\", \"zerossl\", or the https:// address of an ACME directory",
    example: "\"https://ca.example.com/acme/directory\"",
    pattern: "^(letsencrypt|letsencrypt-staging|zerossl|https://.+)$",
    parse: |text| {
        let named = |name: &str, directory: &str| IssuerConfig {
            name: name.into(),
            directory: directory.into(),
            staging: None,
            ..IssuerConfig::letsencrypt()
        };
        match text {
            "letsencrypt" => Ok(IssuerConfig::letsencrypt()),
            "letsencrypt-staging" => Ok(named(text, IssuerConfig::LETSENCRYPT_STAGING)),
            "zerossl" => Ok(named(text, IssuerConfig::ZEROSSL)),
            _ => match web_address(text, &["https"]) {
                Some(uri) => Ok(named(uri.authority().map_or(text, |host| host.as_str()), text)),
                None => bad(BadAddress::Directory),
            },
        }
    },
};

/// An address that is asked.
pub(in crate::config) const WEB_ADDRESS: PlainText = Parsed {
    wanted: "an http:// or https:// address",
    example: "\"http://127.0.0.1:9000/may-have\"",
    pattern: "^https?://",
    parse: |text| match web_address(text, &["http", "https"]) {
        Some(_) => Ok(text.into()),
        None => bad(BadAddress::Web),
    },
};

/// A name server.
pub(in crate::config) const NAME_SERVER: Parsed<SocketAddr> = Parsed {
    wanted: "an address, with a port or without",
    example: "\"10.0.0.53:53\"",
    pattern: "^[0-9a-fA-F.:\\[\\]]+$",
    parse: |text| {
        let bare = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DNS_PORT));
        bare.or_else(|_| text.parse()).or_else(|_| bad(BadAddress::Server))
    },
};

/// An address of this machine, with its port.
pub(in crate::config) const SOCKET_ADDRESS: Parsed<SocketAddr> = Parsed {
    wanted: "an address with a port",
    example: "\"10.0.0.1:9443\"",
    pattern: "^[0-9a-fA-F.:\\[\\]]+:[0-9]+$",
    parse: |text| match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => bad(BadAddress::Socket),
    },
};

/// Whom CAs write to.
pub(in crate::config) const EMAIL: PlainText = Parsed {
    wanted: "an e-mail address",
    example: "\"ops@example.com\"",
    pattern: "^[^@ ]+@[^@ ]+$",
    parse: |text| {
        let good = |(user, host): (&str, &str)| !user.is_empty() && !host.is_empty() && !host.contains('@');
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && text.split_once('@').is_some_and(good) { Ok(text.into()) } else { bad(BadAddress::Mail) }
    },
};

/// A text that no message repeats.
#[derive(Debug)]
pub(in crate::config) struct Secret;

impl Kind for Secret {
    type Value = Box<str>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Box<str>, Reported> {
        match &place.node.value {
            Value::Text(text) if text.trim().is_empty() => {
                Err(report.error(&place.node.span, &EmptySecret { key: place.key }))
            }
            Value::Text(text) => Ok(text.trim().into()),
            other => {
                // What stands there may be the secret without its quotes.
                let hidden = match other {
                    Value::List(_) | Value::Table(_) => place,
                    _ => return Err(report.error(&place.node.span, &NoText { key: place.key })),
                };
                Err(wrong_kind(hidden, &self.wanted(), "\"…\"", report))
            }
        }
    }

    fn wanted(&self) -> String {
        "a text".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// An address of one of these schemes, with a host and no user.
fn web_address(text: &str, schemes: &[&str]) -> Option<Uri> {
    let uri = text.parse::<Uri>().ok()?;
    let good = schemes.contains(&uri.scheme_str()?) && !uri.host()?.is_empty();
    (good && !uri.authority()?.as_str().contains('@') && !text.contains('#')).then_some(uri)
}

/// Why an address will not do.
#[derive(Debug, thiserror::Error)]
enum BadAddress {
    #[error("this is neither a CA that is known by name nor the https:// address of a directory")]
    Directory,
    #[error("this is no http:// or https:// address")]
    Web,
    #[error("this is no address of a server")]
    Server,
    #[error("this is no address with a port")]
    Socket,
    #[error("this is no e-mail address")]
    Mail,
}

impl Fact for BadAddress {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Directory => {
                "write one of: \"letsencrypt\", \"letsencrypt-staging\", \"zerossl\", \"https://ca.example.com/acme/directory\"".to_owned()
            }
            Self::Web => "write it as: \"http://127.0.0.1:9000/may-have\"".to_owned(),
            Self::Server => "write it as: \"10.0.0.53\", \"10.0.0.53:53\" or \"[2001:db8::53]:53\"".to_owned(),
            Self::Socket => "write it as: \"10.0.0.1:9443\" or \"[2001:db8::1]:9443\"".to_owned(),
            Self::Mail => "write it as: \"ops@example.com\"".to_owned(),
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{key} is empty")]
struct EmptySecret {
    key: &'static str,
}

impl Fact for EmptySecret {}

#[derive(Debug, thiserror::Error)]
#[error("{key}: expected a text")]
struct NoText {
    key: &'static str,
}

impl Fact for NoText {
    fn help(&self) -> Option<String> {
        Some("write it in quotes".to_owned())
    }
}
