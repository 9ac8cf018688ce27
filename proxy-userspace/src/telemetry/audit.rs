//! Who changed what by hand, when, from what to what: a line of JSON each. The file is opened for each line, so that it can
//! be moved away at any time, and lines of several processes do not mix: each is one write to its end.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

/// Who changed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Who asked the daemon: the user id of the socket's peer (`SO_PEERCRED`), if the kernel told it.
    Asked(Option<u32>),
    /// A command that changed the pinned maps itself, with this user id: no daemon was there.
    Offline(u32),
    /// The daemon, by a rule of the configuration.
    Rule,
}

/// A change.
#[derive(Clone, Copy, Debug)]
pub struct Audited<'a> {
    /// What was done: `limit set`, `ban add`.
    pub what: &'a str,
    /// With what: a limit and its measure, a prefix.
    pub name: &'a str,
    /// What it was.
    pub from: &'a str,
    /// What it is.
    pub to: &'a str,
    /// Who did it.
    pub by: By,
}

#[derive(Serialize)]
struct Line<'a> {
    when: String,
    what: &'a str,
    name: &'a str,
    from: &'a str,
    to: &'a str,
    by: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
}

/// Writes a change down: to the log (target `audit`), and to the file if there is one. That it could not be written there
/// is said, and holds nothing up.
pub fn audit(file: Option<&Path>, change: &Audited<'_>) {
    let Audited { what, name, from, to, by } = *change;
    let (who, uid) = match by {
        By::Asked(uid) => ("daemon", uid),
        By::Offline(uid) => ("offline", Some(uid)),
        By::Rule => ("rule", None),
    };
    tracing::info!(target: "audit", what, name, from, to, by = who, uid);
    let Some(path) = file else { return };
    let line = Line { when: Timestamp::now().to_string(), what, name, from, to, by: who, uid };
    if let Err(error) = append(path, &line) {
        tracing::warn!("the audit log {} misses a line: {error}", path.display());
    }
}

fn append(path: &Path, line: &Line<'_>) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    file.write_all(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_changed_what_from_what_to_what_and_when() {
        let path = std::env::temp_dir().join(format!("proxy-now-audit-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let change =
            |to, by| Audited { what: "limit set", name: "per-client connections", from: "100/s", to, by };
        audit(Some(&path), &change("500/s", By::Asked(Some(7))));
        audit(Some(&path), &change("600/s", By::Offline(0)));
        audit(None, &change("700/s", By::Rule));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [first, second] = &lines[..] else { panic!("{text}") };
        assert!(first["when"].as_str().unwrap().parse::<Timestamp>().is_ok());
        assert_eq!(
            (&first["by"], &first["uid"], &first["to"]),
            (&"daemon".into(), &7.into(), &"500/s".into())
        );
        assert_eq!((&second["by"], &second["from"]), (&"offline".into(), &"100/s".into()));
    }
}
