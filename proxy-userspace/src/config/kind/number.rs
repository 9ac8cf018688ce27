//! Numbers, durations, ports and statuses: everything with a range.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::wrong::{text, wrong_kind, wrong_value};
use crate::config::node::Value;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};
use crate::config::unit::{format_duration, parse_duration};

/// Yes or no.
#[derive(Debug)]
pub(in crate::config) struct Flag;

impl Kind for Flag {
    type Value = bool;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<bool, Reported> {
        match &place.node.value {
            Value::Flag(flag) => Ok(*flag),
            _ => Err(wrong_kind(place, &self.wanted(), "true", report)),
        }
    }

    fn wanted(&self) -> String {
        "true or false".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "boolean" })
    }
}

/// A whole number from `low` to `high`.
#[derive(Debug)]
pub(in crate::config) struct Number {
    pub(in crate::config) low: u64,
    pub(in crate::config) high: u64,
}

impl Kind for Number {
    type Value = u64;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<u64, Reported> {
        let Value::Integer(number) = &place.node.value else {
            return Err(wrong_kind(place, &self.wanted(), &self.low.to_string(), report));
        };
        match number.to_u64() {
            Some(number) if (self.low..=self.high).contains(&number) => Ok(number),
            _ => Err(wrong_value(place, &NotFrom(self.low, self.high), None, report)),
        }
    }

    fn wanted(&self) -> String {
        format!("a whole number from {} to {}", self.low, self.high)
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.low, "maximum": self.high })
    }
}

/// A port.
#[derive(Debug)]
pub(in crate::config) struct Port;

impl Kind for Port {
    type Value = u16;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<u16, Reported> {
        Number { low: 1, high: u64::from(u16::MAX) }.read(place, report).map(|port| port as u16)
    }

    fn wanted(&self) -> String {
        "a port from 1 to 65535".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX })
    }
}

/// A port, or whether there is one at all.
#[derive(Debug)]
pub(in crate::config) struct PortOrFlag;

/// What a [`PortOrFlag`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::config) enum MaybePort {
    No,
    Yes,
    Port(u16),
}

impl Kind for PortOrFlag {
    type Value = MaybePort;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<MaybePort, Reported> {
        match &place.node.value {
            Value::Flag(false) => Ok(MaybePort::No),
            Value::Flag(true) => Ok(MaybePort::Yes),
            Value::Integer(_) => Port.read(place, report).map(MaybePort::Port),
            _ => Err(wrong_kind(place, &self.wanted(), "true", report)),
        }
    }

    fn wanted(&self) -> String {
        "true, false, or a port".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [{ "type": "boolean" }, Port.schema()] })
    }
}

/// A share, from 0 to `most`.
#[derive(Debug)]
pub(in crate::config) struct Share {
    pub(in crate::config) most: f64,
}

impl Kind for Share {
    type Value = f64;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<f64, Reported> {
        let share = match &place.node.value {
            Value::Integer(number) => number.to_u64().map(|number| number as f64),
            Value::Float(number) => number.parse::<f64>().ok(),
            _ => return Err(wrong_kind(place, &self.wanted(), "0.1", report)),
        };
        match share {
            Some(share) if (0.0..=self.most).contains(&share) => Ok(share),
            _ => Err(wrong_value(place, &NotFrom(0.0, self.most), None, report)),
        }
    }

    fn wanted(&self) -> String {
        format!("a number from 0 to {}", self.most)
    }

    fn schema(&self) -> Json {
        json!({ "type": "number", "minimum": 0, "maximum": self.most })
    }
}

/// A duration from `low` to `high`, with its unit.
#[derive(Debug)]
pub(in crate::config) struct Lasting {
    pub(in crate::config) low: Duration,
    pub(in crate::config) high: Duration,
}

impl Kind for Lasting {
    type Value = Duration;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Duration, Reported> {
        if let Value::Integer(number) = &place.node.value {
            let example = format!("\"{number}s\"");
            return Err(wrong_kind(place, "a duration with its unit", &example, report));
        }
        let text = text(place, "a duration with its unit", "\"2s\"", report)?;
        match parse_duration(text) {
            Ok(duration) if (self.low..=self.high).contains(&duration) => Ok(duration),
            Ok(_) => {
                let range = NotFrom(format_duration(self.low), format_duration(self.high));
                Err(wrong_value(place, &range, None, report))
            }
            Err(reason) => Err(wrong_value(place, &reason, None, report)),
        }
    }

    fn wanted(&self) -> String {
        format!("a duration from {} to {}", format_duration(self.low), format_duration(self.high))
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^([0-9]+(d|h|m|s|ms|us|ns) *)+$" })
    }
}

/// A range of ports, as a text: `"1024-32767"`.
#[derive(Debug)]
pub(in crate::config) struct PortRange {
    pub(in crate::config) low: u16,
}

impl Kind for PortRange {
    type Value = RangeInclusive<u16>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported> {
        let text = text(place, &self.wanted(), "\"1024-32767\"", report)?;
        let ends = text.split_once('-').and_then(|(low, high)| {
            Some((low.trim().parse::<u16>().ok()?, high.trim().parse::<u16>().ok()?))
        });
        let help = || Some("write it as: \"1024-32767\"".to_owned());
        match ends {
            None => {
                Err(wrong_value(place, &"this is not two ports with a dash between them", help(), report))
            }
            Some((low, high)) if low > high => {
                Err(wrong_value(place, &"the first port is greater than the last", help(), report))
            }
            Some((low, _)) if low < self.low => {
                Err(wrong_value(place, &NotFrom(self.low, u16::MAX), None, report))
            }
            Some((low, high)) => Ok(low..=high),
        }
    }

    fn wanted(&self) -> String {
        format!("two ports from {} to 65535 with a dash between them", self.low)
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9]{4,5} *- *[0-9]{4,5}$" })
    }
}

/// An HTTP status, or a range of them as a text: `200`, `"200-399"`.
#[derive(Debug)]
pub(in crate::config) struct StatusRange {
    /// The lowest that is allowed.
    pub(in crate::config) low: u16,
}

impl Kind for StatusRange {
    type Value = RangeInclusive<u16>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Self::Value, Reported> {
        let ends = match &place.node.value {
            Value::Integer(number) => {
                number.to_u64().and_then(|status| u16::try_from(status).ok()).map(|status| (status, status))
            }
            Value::Text(text) => {
                let (low, high) = text.split_once('-').unwrap_or((text, text));
                low.trim().parse::<u16>().ok().zip(high.trim().parse::<u16>().ok())
            }
            _ => return Err(wrong_kind(place, &self.wanted(), "\"200-399\"", report)),
        };
        match ends {
            Some((low, high)) if self.low <= low && low <= high && high <= 599 => Ok(low..=high),
            Some((low, high)) if low > high => {
                Err(wrong_value(place, &"the first status is greater than the last", None, report))
            }
            _ => {
                let low = self.low.max(200);
                let help = Some(format!("write it as: {low} or \"{low}-599\""));
                Err(wrong_value(place, &NotFrom(self.low, 599), help, report))
            }
        }
    }

    fn wanted(&self) -> String {
        "an HTTP status or a range of them".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^[1-5][0-9]{2}( *- *[1-5][0-9]{2})?$" },
        ] })
    }
}

/// A value outside of its range.
pub(super) struct NotFrom<T>(pub(super) T, pub(super) T);

impl<T: fmt::Display> fmt::Display for NotFrom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "allowed is {} to {}", self.0, self.1)
    }
}
