//! What certificates are told.

use http::Uri;
use serde_json::{Value as Json, json};

use super::parsed::{Parsed, PlainText, bad};
use super::wrong::{wrong_kind, wrong_value};
use crate::config::diagnostic::Fact;
use crate::config::host::parse_host;
use crate::config::host_pattern::HostPattern;
use crate::config::node::Value;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};
use crate::config::tls::OcspConfig;

/// The name of one host, or its address.
pub(in crate::config) const ONE_HOST: PlainText = Parsed {
    wanted: "the name of a host",
    example: "\"app.example.com\"",
    pattern: "^[A-Za-z0-9._:\\[\\]-]+$",
    parse: |text| match parse_host(text) {
        Ok(HostPattern::Exact(name)) => Ok(name),
        Ok(HostPattern::Wildcard(_)) => bad(NotOneHost),
        Err(reason) => bad(reason),
    },
};

/// Whom to ask whether a certificate was revoked: a flag, or an address.
#[derive(Debug)]
pub(in crate::config) struct Ocsp;

impl Kind for Ocsp {
    type Value = Option<OcspConfig>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported> {
        match &place.node.value {
            Value::Flag(flag) => Ok(flag.then_some(OcspConfig::Named)),
            Value::Text(text) if is_http(text) => Ok(Some(OcspConfig::Url(text.as_str().into()))),
            Value::Text(_) => {
                // Answers are signed: TLS would only be a circle (RFC 6960 appendix A).
                let help = Some("write it as: true, or \"http://ocsp.example.com\"".to_owned());
                Err(wrong_value(place, &"a responder has an http:// address", help, report))
            }
            _ => Err(wrong_kind(place, &self.wanted(), "true", report)),
        }
    }

    fn wanted(&self) -> String {
        "true, false, or an http:// address".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "^http://" }] })
    }
}

fn is_http(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
}

#[derive(Debug, thiserror::Error)]
#[error("one host is meant here")]
struct NotOneHost;

impl Fact for NotOneHost {
    fn help(&self) -> Option<String> {
        Some("write it as: \"app.example.com\"".to_owned())
    }
}
