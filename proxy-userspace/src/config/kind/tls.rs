//! What certificates are told.

use http::Uri;
use serde_json::{Value as Json, json};

use super::wrong::{wrong_kind, wrong_value};
use crate::config::node::Value;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};
use crate::config::tls::OcspConfig;

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
