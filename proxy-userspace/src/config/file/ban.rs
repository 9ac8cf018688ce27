//! `[ban]` and `[auto-ban.NAME]`.

use std::time::Duration;

use super::distinct::distinct;
use crate::config::ban::{AutoBanConfig, BanConfig, BanListConfig, BanListSource};
use crate::config::keys::ban as keys;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};

/// What the table of an automatic ban says.
#[derive(Debug)]
pub(in crate::config) struct FileAutoBan {
    pub(in crate::config) name: At<Box<str>>,
    pub(in crate::config) listeners: Result<Vec<At<Box<str>>>, Reported>,
    pub(in crate::config) longest: Result<At<Duration>, Reported>,
    /// All but the listeners.
    pub(in crate::config) rest: Result<AutoBanConfig, Reported>,
}

/// Reads `[ban]`.
pub(super) fn read_ban(entries: &Entries, report: &mut Report<'_>) -> Result<BanConfig, Reported> {
    let deny = distinct(entries, &keys::DENY, report);
    let allow = distinct(entries, &keys::ALLOW, report);
    let lists = distinct(entries, &keys::LISTS, report);
    let refresh = entries.get(&keys::REFRESH, report);
    let ca = entries.find(&keys::CA, report);
    let values = |found: Option<Vec<At<_>>>| found.into_iter().flatten().map(|at| at.value).collect();
    let (refresh, ca) = (refresh?.value, ca?.map(|ca| ca.value));
    let list = |source: At<BanListSource>| BanListConfig {
        name: match &source.value {
            BanListSource::File(path) => path.display().to_string().into(),
            BanListSource::Url(url) => url.clone(),
        },
        source: source.value,
        refresh,
        ca: ca.clone(),
    };
    Ok(BanConfig {
        deny: values(deny?),
        allow: values(allow?),
        lists: lists?.into_iter().flatten().map(list).collect(),
    })
}

impl FileAutoBan {
    /// Reads everything.
    pub(super) fn read(name: At<Box<str>>, entries: &Entries, report: &mut Report<'_>) -> Self {
        let before = report.text(&(0..name.span.start));
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        Self {
            listeners: distinct(entries, &keys::LISTENER, report).map(Option::unwrap_or_default),
            longest: entries.get(&keys::LONGEST, report),
            rest: read_rest(&name.value, line, entries, report),
            name,
        }
    }
}

fn read_rest(
    name: &str,
    line: usize,
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<AutoBanConfig, Reported> {
    let events = distinct(entries, &keys::EVENTS, report);
    let count = entries.get(&keys::COUNT, report);
    let within = entries.get(&keys::WITHIN, report);
    let share = entries.get(&keys::SHARE, report);
    let duration = entries.get(&keys::FOR, report);
    let growth = entries.get(&keys::GROWTH, report);
    let ja4 = distinct(entries, &keys::JA4, report);
    let events = events.and_then(|events| events.ok_or_else(|| needed(entries, report)));
    Ok(AutoBanConfig {
        name: name.into(),
        listeners: Vec::new(),
        events: events?.into_iter().map(|event| event.value).collect(),
        count: count?.value,
        within: within?.value,
        share: share?.value,
        duration: duration?.value,
        growth: growth?.value as u32,
        longest: Duration::ZERO,
        ja4: ja4?.into_iter().flatten().map(|at| at.value).collect(),
        line,
    })
}

/// Says that the events are missing, unless a key was mistyped.
fn needed(entries: &Entries, report: &mut Report<'_>) -> Reported {
    match entries.get(&keys::EVENTS, report) {
        Err(reported) => reported,
        Ok(_) => unreachable!("it was not found before"),
    }
}
