//! Automatic bans against listeners, and in themselves.

use std::fmt;
use std::time::Duration;

use crate::config::ban::{AutoBanConfig, AutoBanEvent};
use crate::config::diagnostic::Fact;
use crate::config::file::{File, FileAutoBan};
use crate::config::nearest::instead;
use crate::config::report::{Report, Reported};
use crate::config::unit::format_duration;

/// Everything about automatic bans.
pub(super) fn check(file: &File, report: &mut Report<'_>) {
    let known: Vec<String> = file
        .listener_names
        .iter()
        .flat_map(|name| [name.clone(), format!("{name}.v4"), format!("{name}.v6")])
        .collect();
    for rule in &file.auto_bans {
        let name = &rule.name.value;
        for listener in rule.listeners.iter().flatten() {
            if !known.iter().any(|known| **known == *listener.value) {
                let known = &file.listener_names;
                report.error(&listener.span, &NoSuchListener { rule: name, name: &listener.value, known });
            }
        }
        let (Ok(rest), Ok(longest)) = (&rule.rest, &rule.longest) else { continue };
        if longest.value < rest.duration {
            report.error(&longest.span, &TooShort { name, longest: longest.value, first: rest.duration });
        }
        let by_ja4 = rest.events.contains(&AutoBanEvent::Ja4);
        if by_ja4 == rest.ja4.is_empty() {
            report.error(&rule.name.span, &HalfJa4 { name, by_ja4 });
        }
        let statuses = [AutoBanEvent::Unauthorized, AutoBanEvent::Forbidden, AutoBanEvent::NotFound];
        if rest.share > 0.0 && !rest.events.iter().any(|event| statuses.contains(event)) {
            report.error(&rule.name.span, &ShareOfNothing { name });
        }
    }
}

/// What they mean.
pub(super) fn resolve(rules: Vec<FileAutoBan>) -> Result<Vec<AutoBanConfig>, Reported> {
    let one = |rule: FileAutoBan| {
        let listeners = rule.listeners?.iter().map(|name| (*name.value).into()).collect();
        Ok(AutoBanConfig { listeners, longest: rule.longest?.value, ..rule.rest? })
    };
    rules.into_iter().map(one).collect()
}

struct NoSuchListener<'a> {
    rule: &'a str,
    name: &'a str,
    known: &'a [String],
}

impl fmt::Display for NoSuchListener<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, name, .. } = self;
        write!(f, "auto-ban {rule:?} names the listener {name:?}, and there is none of that name")
    }
}

impl Fact for NoSuchListener<'_> {
    fn help(&self) -> Option<String> {
        Some(instead("listener", "listeners are", self.name, self.known))
    }
}

struct TooShort<'a> {
    name: &'a str,
    longest: Duration,
    first: Duration,
}

impl fmt::Display for TooShort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (longest, first) = (format_duration(self.longest), format_duration(self.first));
        write!(f, "auto-ban {:?} bans for {first} first, and for {longest} at the longest", self.name)
    }
}

impl Fact for TooShort<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("longest = {:?} or more", format_duration(self.first)))
    }
}

struct HalfJa4<'a> {
    name: &'a str,
    by_ja4: bool,
}

impl fmt::Display for HalfJa4<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.by_ja4 {
            "counts the event \"ja4\", and names no fingerprint"
        } else {
            "names fingerprints, and does not count the event \"ja4\""
        };
        write!(f, "auto-ban {:?} {what}", self.name)
    }
}

impl Fact for HalfJa4<'_> {
    fn help(&self) -> Option<String> {
        Some(if self.by_ja4 { "add: ja4 = [\"…\"]" } else { "add \"ja4\" to events" }.to_owned())
    }
}

struct ShareOfNothing<'a> {
    name: &'a str,
}

impl fmt::Display for ShareOfNothing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "auto-ban {:?} wants a share of answers, and counts none", self.name)
    }
}

impl Fact for ShareOfNothing<'_> {
    fn help(&self) -> Option<String> {
        Some("remove share, or count 401, 403 or 404".to_owned())
    }
}
