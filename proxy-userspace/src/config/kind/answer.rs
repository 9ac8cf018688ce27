//! What answers have, and what is decided by it.

use std::path::PathBuf;

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::wrong::{text, wrong_kind, wrong_value};
use crate::config::nearest::list;
use crate::config::node::Value;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};
use crate::config::web::AccessLogTarget;

/// One of some statuses.
#[derive(Debug)]
pub(in crate::config) struct Status {
    pub(in crate::config) allowed: &'static [u16],
}

impl Kind for Status {
    type Value = StatusCode;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<StatusCode, Reported> {
        let Value::Integer(number) = &place.node.value else {
            return Err(wrong_kind(place, &self.wanted(), "308", report));
        };
        let status = number.to_u64().and_then(|number| u16::try_from(number).ok());
        let status = status.filter(|status| self.allowed.contains(status));
        status.and_then(|status| StatusCode::from_u16(status).ok()).ok_or_else(|| {
            let help = Some(format!("allowed: {}", self.names()));
            wrong_value(place, &"this status will not do here", help, report)
        })
    }

    fn wanted(&self) -> String {
        format!("one of {}", self.names())
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.allowed })
    }
}

impl Status {
    fn names(&self) -> String {
        let names: Vec<_> = self.allowed.iter().map(u16::to_string).collect();
        list(names.iter().map(String::as_str))
    }
}

/// A failure after which a request may be tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum Failure {
    Connect,
    Reset,
    Timeout,
    Status(u16),
}

/// A word for a failure, or a status from 400 to 599, as a number or a text.
#[derive(Debug)]
pub(in crate::config) struct RetryOn;

impl Kind for RetryOn {
    type Value = Failure;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Failure, Reported> {
        let status = match &place.node.value {
            Value::Integer(number) => number.to_u64(),
            Value::Text(text) => match &**text {
                "connect" => return Ok(Failure::Connect),
                "reset" => return Ok(Failure::Reset),
                "timeout" => return Ok(Failure::Timeout),
                text => text.parse().ok(),
            },
            _ => return Err(wrong_kind(place, &self.wanted(), "[\"connect\", 503]", report)),
        };
        match status.and_then(|status| u16::try_from(status).ok()) {
            Some(status @ 400..=599) => Ok(Failure::Status(status)),
            _ => {
                let help = Some("allowed: connect, reset, timeout, and statuses from 400 to 599".to_owned());
                Err(wrong_value(place, &"this is no failure", help, report))
            }
        }
    }

    fn wanted(&self) -> String {
        "\"connect\", \"reset\", \"timeout\" or a status from 400 to 599".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "enum": ["connect", "reset", "timeout"] },
            { "type": "integer", "minimum": 400, "maximum": 599 },
            { "type": "string", "pattern": "^[45][0-9]{2}$" },
        ] })
    }
}

/// Where the access log goes.
#[derive(Debug)]
pub(in crate::config) struct AccessLogTo;

impl Kind for AccessLogTo {
    type Value = AccessLogTarget;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<AccessLogTarget, Reported> {
        match text(place, &self.wanted(), "\"stdout\"", report)? {
            "stdout" => Ok(AccessLogTarget::Stdout),
            "syslog" => Ok(AccessLogTarget::Syslog),
            path if path.starts_with('/') && !path.contains('\0') => {
                Ok(AccessLogTarget::File(PathBuf::from(path)))
            }
            _ => {
                let help = Some("allowed: stdout, syslog, or the absolute path of a file".to_owned());
                Err(wrong_value(place, &"there is no such place", help, report))
            }
        }
    }

    fn wanted(&self) -> String {
        "\"stdout\", \"syslog\" or an absolute path".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^(stdout|syslog|/.*)$" })
    }
}

/// What a value of a request must be, in one word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::config) enum Condition {
    /// This text.
    Text(Box<str>),
    /// There, or not.
    There(bool),
}

/// A text, true or false.
#[derive(Debug)]
pub(in crate::config) struct TextOrFlag;

impl Kind for TextOrFlag {
    type Value = Condition;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Condition, Reported> {
        match &place.node.value {
            Value::Text(text) => Ok(Condition::Text(text.as_str().into())),
            Value::Flag(flag) => Ok(Condition::There(*flag)),
            _ => Err(wrong_kind(
                place,
                "a text, true, false, or { regex = '…' }",
                "{ x-env = \"dev\" }",
                report,
            )),
        }
    }

    fn wanted(&self) -> String {
        "a text, true or false".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": ["string", "boolean"] })
    }
}
