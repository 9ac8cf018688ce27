//! How many a second.

use serde_json::{Value as Json, json};

use super::wrong::{text, wrong_value};
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};

/// So many a second, as a text: `"1000/s"`; or `"off"`.
#[derive(Debug)]
pub(in crate::config) struct PerSecondOrOff {
    pub(in crate::config) high: u32,
}

impl Kind for PerSecondOrOff {
    type Value = Option<u32>;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<Option<u32>, Reported> {
        let said = text(place, &self.wanted(), "\"1000/s\"", report)?;
        if said == "off" {
            return Ok(None);
        }
        let number = said.strip_suffix("/s").and_then(|number| number.trim().replace('_', "").parse().ok());
        match number {
            Some(number) if (1..=self.high).contains(&number) => Ok(Some(number)),
            _ => {
                let fact = format!("this is not {}", self.wanted());
                Err(wrong_value(place, &fact, Some("write it as: \"1000/s\"".to_owned()), report))
            }
        }
    }

    fn wanted(&self) -> String {
        format!("a number a second, from \"1/s\" to \"{}/s\", or \"off\"", self.high)
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^([0-9_]+ */s|off)$" })
    }
}

/// So many a second.
#[derive(Debug)]
pub(in crate::config) struct PerSecond {
    pub(in crate::config) high: u32,
}

impl Kind for PerSecond {
    type Value = u32;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<u32, Reported> {
        let fact = format!("this is not {}", self.wanted());
        match (PerSecondOrOff { high: self.high }).read(place, report)? {
            Some(number) => Ok(number),
            None => Err(wrong_value(place, &fact, Some("write it as: \"1000/s\"".to_owned()), report)),
        }
    }

    fn wanted(&self) -> String {
        format!("a number a second, from \"1/s\" to \"{}/s\"", self.high)
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": "^[0-9_]+ */s$" })
    }
}
