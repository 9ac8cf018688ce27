//! What bans are told.

use super::parsed::{Parsed, bad};
use crate::config::ban::BanListSource;
use crate::config::diagnostic::Fact;

/// Where a list is: a path that is absolute, or an address of the web.
pub(in crate::config) const BAN_LIST: Parsed<BanListSource> = Parsed {
    wanted: "a path or an address of a list",
    example: "\"/etc/proxy-now/bad.txt\"",
    pattern: "^(/|https?://).+$",
    parse: |text| {
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        match host {
            Some(host) if text.parse::<http::Uri>().is_ok() && !host.starts_with('/') && !host.is_empty() => {
                Ok(BanListSource::Url(text.into()))
            }
            None if text.starts_with('/') && text.len() > 1 => Ok(BanListSource::File(text.into())),
            _ => bad(BadList),
        }
    },
};

#[derive(Debug, thiserror::Error)]
#[error("it is neither an absolute path nor an address that begins with http:// or https://")]
struct BadList;

impl Fact for BadList {}
