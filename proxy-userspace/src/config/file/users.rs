//! `basic_auth = { … }`: users of the table and of a file.

use std::collections::HashSet;
use std::path::Path;

use crate::config::diagnostic::Fact;
use crate::config::keys::middleware::{FILE, REALM_IS, USER_HEADER, USERS};
use crate::config::kind::{check_hash, check_user};
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::web::BasicAuthConfig;

/// No file of users is larger.
const FILE_BYTES: u64 = 16 << 20;

/// Users and their hashes.
type Users = Vec<(Box<str>, Box<str>)>;

/// Reads everything, then fails if anything was wrong.
pub(super) fn read_auth(entries: &Entries, report: &mut Report<'_>) -> Result<BasicAuthConfig, Reported> {
    let realm = entries.get(&REALM_IS, report);
    let user_header = entries.find(&USER_HEADER, report);
    let table = entries.find(&USERS, report);
    let file = entries.find(&FILE, report).and_then(|file| match file {
        Some(At { value, span }) => read_file(&value).map(Some).map_err(|wrong| report.error(&span, &wrong)),
        None => Ok(None),
    });
    let (table, file) = (table?, file?);
    if table.is_none() && file.is_none() {
        return Err(report.error(&entries.span, &NoUsers));
    }
    let of_table = table.into_iter().flat_map(|table| table.value).map(|(user, hash)| (user.value, hash));
    let mut seen = HashSet::new();
    // The table goes before the file.
    let users = of_table.chain(file.into_iter().flatten()).filter(|(user, _)| seen.insert(user.clone()));
    Ok(BasicAuthConfig {
        users: users.collect(),
        realm: realm?.value,
        user_header: user_header?.map(|name| name.value),
    })
}

/// The users of a file: a line `user:hash` each; empty ones and comments do not count.
fn read_file(path: &Path) -> Result<Users, BadFile> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES {
        return Err(BadFile::TooLarge);
    }
    let text = std::fs::read_to_string(path)?;
    let lines = (1..).zip(text.lines().map(str::trim));
    let counts = |(_, line): &(usize, &str)| !line.is_empty() && !line.starts_with('#');
    let users: Vec<_> =
        lines.filter(counts).map(|(line, text)| read_line(line, text)).collect::<Result<_, _>>()?;
    if users.is_empty() { Err(BadFile::Empty) } else { Ok(users) }
}

fn read_line(line: usize, text: &str) -> Result<(Box<str>, Box<str>), BadFile> {
    let (user, hash) = text.split_once(':').ok_or(BadFile::NoColon { line })?;
    check_user(user).map_err(|why| BadFile::Line { line, why: Box::new(why) })?;
    check_hash(hash).map_err(|why| BadFile::Line { line, why: Box::new(why) })?;
    Ok((user.into(), hash.into()))
}

/// What is wrong with a file of users. Hashes are not repeated.
#[derive(thiserror::Error)]
enum BadFile {
    #[error("the file of users cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("the file of users has more than {FILE_BYTES} bytes")]
    TooLarge,
    #[error("the file of users has none")]
    Empty,
    #[error("line {line} of the file of users is not user:hash")]
    NoColon { line: usize },
    #[error("line {line} of the file of users: {why}")]
    Line { line: usize, why: Box<dyn Fact> },
}

impl std::fmt::Debug for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl Fact for BadFile {
    fn help(&self) -> Option<String> {
        match self {
            Self::Unreadable(_) => Some("name a file that the daemon may read".to_owned()),
            Self::Line { why, .. } => why.help(),
            Self::TooLarge | Self::Empty | Self::NoColon { .. } => {
                Some("make it with: htpasswd -B -c FILE USER".to_owned())
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("basic_auth names no users: nobody could ask")]
struct NoUsers;

impl Fact for NoUsers {
    fn help(&self) -> Option<String> {
        Some("add users = { alice = \"$2y$…\" } or file = \"/etc/proxy-now/htpasswd\"".to_owned())
    }
}
