//! What requests have: hosts, paths, methods, fields, networks of clients.

use std::fmt;
use std::net::IpAddr;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;
use regex::RegexBuilder;

use super::parsed::{Parsed, bad};
use crate::config::diagnostic::Fact;
use crate::config::host::parse_host;
use crate::config::host_pattern::HostPattern;
use crate::config::path::check_path;
use crate::config::template::{is_token, parse_template};
use crate::config::web::{Template, TemplatePart};

/// The most memory that one compiled expression may take, in bytes.
const REGEX_BYTES: usize = 1 << 20;

/// Fields that belong to one connection, or stand elsewhere in a request: nothing is decided by them or done to them.
/// RFC 9110 §7.6.1, and those that frame a message.
const NOT_END_TO_END: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// An address or a network.
pub(in crate::config) const NETWORK: Parsed<IpNet> = Parsed {
    wanted: "an address or a network",
    example: "\"10.0.0.0/8\"",
    pattern: "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
    parse: |text| match text.parse::<IpNet>() {
        Ok(network) if network.addr() != network.network() => bad(BadNetwork::HostBits(network)),
        Ok(network) => Ok(network),
        Err(_) => match text.parse::<IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => bad(BadNetwork::Neither),
        },
    },
};

/// The host of a route.
pub(in crate::config) const HOST_PATTERN: Parsed<HostPattern> = Parsed {
    wanted: "the name of a host",
    example: "\"app.example.com\"",
    pattern: "^(\\*\\.)?[A-Za-z0-9._-]+$|^[0-9a-fA-F:.\\[\\]]+$",
    parse: |text| parse_host(text).or_else(bad),
};

/// A path, in its one form.
pub(in crate::config) const PATH: Parsed<Box<str>> = Parsed {
    wanted: "a path",
    example: "\"/api/\"",
    pattern: "^/",
    parse: |text| check_path(text).map(|()| text.into()).or_else(bad),
};

/// A regular expression.
pub(in crate::config) const REGEX: Parsed<Box<str>> = Parsed {
    wanted: "a regular expression",
    example: "'^/users/[0-9]+$'",
    pattern: "",
    parse: |text| match RegexBuilder::new(text).size_limit(REGEX_BYTES).build() {
        Ok(_) => Ok(text.into()),
        Err(error) => bad(BadRegex(error)),
    },
};

/// A method.
pub(in crate::config) const METHOD: Parsed<Method> = Parsed {
    wanted: "a method",
    example: "\"GET\"",
    pattern: "^[A-Z0-9!#$%&'*+.^_`|~-]+$",
    parse: |text| match text.parse::<Method>() {
        Ok(Method::CONNECT) => bad(BadMethod::Connect),
        Ok(method) if text.bytes().any(|byte| byte.is_ascii_lowercase()) => {
            bad(BadMethod::Case(method.as_str().to_ascii_uppercase().into()))
        }
        Ok(method) => Ok(method),
        Err(_) => bad(BadMethod::NoToken),
    },
};

/// The name of an end-to-end field.
pub(in crate::config) const FIELD_NAME: Parsed<HeaderName> = Parsed {
    wanted: "the name of a field",
    example: "\"x-user\"",
    pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    parse: |text| match text.parse::<HeaderName>() {
        Ok(name) if NOT_END_TO_END.contains(&name.as_str()) => bad(BadField::NotEndToEnd(name)),
        Ok(name) => Ok(name),
        Err(_) => bad(BadField::Name),
    },
};

/// The value of a field.
pub(in crate::config) const FIELD_VALUE: Parsed<HeaderValue> = Parsed {
    wanted: "the value of a field",
    example: "\"app.internal\"",
    pattern: "",
    parse: |text| match HeaderValue::from_str(text) {
        Ok(value) if !text.is_empty() => Ok(value),
        _ => bad(BadField::Value),
    },
};

/// The name of a cookie.
pub(in crate::config) const COOKIE_NAME: Parsed<Box<str>> = Parsed {
    wanted: "the name of a cookie",
    example: "\"session\"",
    pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
    parse: |text| if is_token(text) { Ok(text.into()) } else { bad(BadField::Cookie) },
};

/// Any text.
pub(in crate::config) const TEXT: Parsed<Box<str>> =
    Parsed { wanted: "a text", example: "\"text\"", pattern: "", parse: |text| Ok(text.into()) };

/// Where a redirect goes to.
pub(in crate::config) const LOCATION: Parsed<Template> = Parsed {
    wanted: "an address with variables",
    example: "\"https://{host}{uri}\"",
    pattern: "",
    parse: |text| {
        let template = parse_template(text, false).or_else(bad)?;
        let plain = |part: &TemplatePart| match part {
            TemplatePart::Literal(text) => text.bytes().all(|byte| byte.is_ascii_graphic()),
            TemplatePart::Variable(_) => true,
        };
        let good = !template.0.is_empty() && template.0.iter().all(plain);
        if good { Ok(template) } else { bad(NoAddress) }
    },
};

/// Why a text is no network.
#[derive(Debug, thiserror::Error)]
enum BadNetwork {
    #[error("this is neither an address nor a network")]
    Neither,
    #[error("the address has bits beyond the prefix of {} bits", .0.prefix_len())]
    HostBits(IpNet),
}

impl Fact for BadNetwork {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Neither => "write it as: \"10.0.0.0/8\", \"192.0.2.1\" or \"2001:db8::/32\"".to_owned(),
            Self::HostBits(network) => {
                format!("write the network: \"{}\", or the address: \"{}\"", network.trunc(), network.addr())
            }
        })
    }
}

/// What is wrong with a regular expression.
#[derive(Debug)]
struct BadRegex(regex::Error);

impl fmt::Display for BadRegex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            regex::Error::CompiledTooBig(limit) => {
                write!(f, "the expression takes more than {limit} bytes of memory")
            }
            error => {
                // The last line says what; those before show where, by columns that do not hold here.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                write!(f, "this is no regular expression: {}", last.trim_start_matches("error: "))
            }
        }
    }
}

impl Fact for BadRegex {
    fn help(&self) -> Option<String> {
        Some(match self.0 {
            regex::Error::CompiledTooBig(_) => "make its repetitions shorter".to_owned(),
            _ => "a literal string, in single quotes, needs no doubled backslashes: '^/v[0-9]+\\.json$'"
                .to_owned(),
        })
    }
}

/// Why a text is no method.
#[derive(Debug, thiserror::Error)]
enum BadMethod {
    #[error("CONNECT is refused, whatever it asks for")]
    Connect,
    #[error("methods are told apart by case, and no client sends this one")]
    Case(Box<str>),
    #[error("this is no method")]
    NoToken,
}

impl Fact for BadMethod {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Connect => "remove it".to_owned(),
            Self::Case(right) => format!("did you mean {right:?}?"),
            Self::NoToken => "write it as: \"GET\"".to_owned(),
        })
    }
}

/// Why a field will not do.
#[derive(Debug, thiserror::Error)]
enum BadField {
    #[error("a field's name has letters, digits and !#$%&'*+-.^_`|~")]
    Name,
    #[error("{0} belongs to a connection, or frames a message: it is not for routes, pools or middleware")]
    NotEndToEnd(HeaderName),
    #[error("a field's value has no control characters and is not empty")]
    Value,
    #[error("a cookie's name has letters, digits and !#$%&'*+-.^_`|~")]
    Cookie,
}

impl Fact for BadField {
    fn help(&self) -> Option<String> {
        match self {
            Self::NotEndToEnd(name) if name == http::header::HOST => {
                Some("there is a key for it: host".to_owned())
            }
            Self::NotEndToEnd(_) => Some("name a field that passes from end to end".to_owned()),
            Self::Name | Self::Value | Self::Cookie => None,
        }
    }
}

/// A redirect that goes nowhere.
#[derive(Debug, thiserror::Error)]
#[error("an address is not empty and has no spaces and only ASCII characters")]
struct NoAddress;

impl Fact for NoAddress {
    fn help(&self) -> Option<String> {
        Some("write it as: \"https://{host}{uri}\"; other characters are written as %C3%A4".to_owned())
    }
}
