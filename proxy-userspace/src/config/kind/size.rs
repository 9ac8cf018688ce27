//! Numbers of bytes, as people write them: `4096`, `"64KiB"`, `"10MB"`.

use serde_json::{Value as Json, json};

use super::number::NotFrom;
use super::wrong::{wrong_kind, wrong_value};
use crate::config::node::Value;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};
use crate::config::unit::{format_bytes, parse_bytes};

/// A number of bytes from `low` to `high`.
#[derive(Debug)]
pub(in crate::config) struct Size {
    pub(in crate::config) low: u64,
    pub(in crate::config) high: u64,
}

impl Kind for Size {
    type Value = u64;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<u64, Reported> {
        let bytes = match &place.node.value {
            Value::Integer(number) => number.to_u64(),
            Value::Text(text) => match parse_bytes(text) {
                Ok(bytes) => Some(bytes),
                Err(reason) => {
                    let help = Some("write it as: 65536, \"64KiB\" or \"10MB\"".to_owned());
                    return Err(wrong_value(place, &reason, help, report));
                }
            },
            _ => return Err(wrong_kind(place, "a number of bytes", "\"64KiB\"", report)),
        };
        match bytes {
            Some(bytes) if (self.low..=self.high).contains(&bytes) => Ok(bytes),
            _ => Err(wrong_value(
                place,
                &NotFrom(format_bytes(self.low), format_bytes(self.high)),
                None,
                report,
            )),
        }
    }

    fn wanted(&self) -> String {
        format!("bytes from {} to {}", format_bytes(self.low), format_bytes(self.high))
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": self.low, "maximum": self.high },
            { "type": "string", "pattern": "^[0-9]+ *([KMGT]iB|[kMGT]?B)$" },
        ] })
    }
}
