//! Lists whose entries are all different.

use std::collections::HashSet;
use std::hash::Hash;

use crate::config::diagnostic::Fact;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::table::{Key, Kind};

/// A list, if it is there, without an entry that stands in it twice.
pub(super) fn distinct<K, T>(
    entries: &Entries,
    key: &'static Key<K>,
    report: &mut Report<'_>,
) -> Result<Option<Vec<At<T>>>, Reported>
where
    K: Kind<Value = Vec<At<T>>>,
    T: Eq + Hash,
{
    let Some(At { value: list, .. }) = entries.find(key, report)? else {
        return Ok(None);
    };
    if list.len() > 1 {
        let mut seen = HashSet::new();
        for entry in &list {
            if !seen.insert(&entry.value) {
                let text = report.text(&entry.span);
                return Err(report.error(&entry.span, &Twice { key: key.name, text }));
            }
        }
    }
    Ok(Some(list))
}

#[derive(Debug, thiserror::Error)]
#[error("{key} names {text} twice")]
struct Twice<'a> {
    key: &'static str,
    text: &'a str,
}

impl Fact for Twice<'_> {
    fn help(&self) -> Option<String> {
        Some("remove one of them".to_owned())
    }
}
