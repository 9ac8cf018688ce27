//! Texts with variables, filled in from a request.

use std::io::Write;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use super::id::Id;
use super::request::Request;
use super::tls::TlsInfo;
use crate::config::{Template, TemplatePart, Variable};

/// A text, ready to be filled in. One without variables is made once.
#[derive(Clone, Debug)]
pub struct Text {
    parts: Vec<TemplatePart>,
    fixed: Option<HeaderValue>,
}

/// What variables stand for.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// The request.
    pub request: &'a Request,
    /// The route's name.
    pub route: &'a str,
}

impl Text {
    /// From what the configuration says.
    pub fn new(template: &Template) -> Self {
        let literal = |part: &TemplatePart| match part {
            TemplatePart::Literal(text) => Some(text.clone()),
            TemplatePart::Variable(_) => None,
        };
        let whole: Option<String> = template.0.iter().map(literal).collect();
        Self { parts: template.0.clone(), fixed: whole.map(|text| value(text.as_bytes())) }
    }

    /// As a value of a field. What no field may hold is left out.
    pub fn value(&self, values: Values<'_>) -> HeaderValue {
        self.fixed.clone().unwrap_or_else(|| value(&self.bytes(values)))
    }

    /// As it is.
    pub fn bytes(&self, values: Values<'_>) -> Vec<u8> {
        let mut text = Vec::with_capacity(64);
        for part in &self.parts {
            match part {
                TemplatePart::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                TemplatePart::Variable(variable) => write_value(&mut text, variable, values),
            }
        }
        text
    }
}

fn value(bytes: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(bytes).unwrap_or_else(|_| {
        let allowed: Vec<u8> =
            bytes.iter().copied().filter(|&byte| byte >= b' ' && byte != 0x7f || byte == b'\t').collect();
        HeaderValue::from_bytes(&allowed).unwrap_or(HeaderValue::from_static(""))
    })
}

fn write_value(text: &mut Vec<u8>, variable: &Variable, Values { request, route }: Values<'_>) {
    let https = request.record.https.get();
    // Writing to a vector cannot fail.
    let _ = match variable {
        Variable::ClientIp => write!(text, "{}", request.client_ip().to_canonical()),
        Variable::ClientPort => write!(text, "{}", request.connection.client.port()),
        Variable::Scheme => text.write_all(if https { b"https" } else { b"http" }),
        // In brackets, as every URI wants it (RFC 3986 §3.2.2).
        Variable::Host if request.authority.host.contains(':') => {
            write!(text, "[{}]", request.authority.host)
        }
        Variable::Host => text.write_all(request.authority.host.as_bytes()),
        Variable::Port => {
            write!(text, "{}", request.authority.port.unwrap_or(if https { 443 } else { 80 }))
        }
        Variable::Method => text.write_all(request.method.as_str().as_bytes()),
        Variable::Path => text.write_all(request.target.path().as_bytes()),
        Variable::Query => text.write_all(request.target.query().unwrap_or_default().as_bytes()),
        Variable::Uri => text.write_all(request.target.as_bytes()),
        Variable::RequestId => {
            let id = request.record.id.borrow();
            text.write_all(id.as_ref().map_or(&[][..], Id::as_bytes))
        }
        Variable::Listener => text.write_all(request.connection.listener.name.as_str().as_bytes()),
        Variable::Route => text.write_all(route.as_bytes()),
        Variable::Sni => text.write_all(of_tls(request, TlsInfo::sni)),
        Variable::Ja4 => text.write_all(of_tls(request, |tls| tls.ja4.as_deref())),
        Variable::Header(name) => {
            text.write_all(request.headers.get(name).map_or(&[][..], HeaderValue::as_bytes))
        }
        Variable::Cookie(name) => text.write_all(cookie(&request.headers, name).unwrap_or_default()),
    };
}

/// What is known of the client's TLS. Empty where it came without.
fn of_tls(request: &Request, what: impl FnOnce(&TlsInfo) -> Option<&str>) -> &[u8] {
    request.connection.tls.as_deref().and_then(what).unwrap_or_default().as_bytes()
}

/// The value of a cookie (RFC 6265 §5.4); the first, if there are more.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
