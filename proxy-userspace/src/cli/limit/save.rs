//! Writes limits into the configuration's file: only the values change; comments, order and spaces stay. The new text is
//! checked before anything is written, and takes the old one's place as a whole.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value};

use crate::admin::limits::SetLimit;
use crate::config::{ConfigErrors, Measure, parse};

/// Why a limit cannot be written into the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSaved {
    #[error("cannot save in {}: {error}", .path.display())]
    System { path: PathBuf, error: io::Error },
    #[error("{} has no [limit.{limit}]: nothing is changed", .path.display())]
    NoSuchLimit { path: PathBuf, limit: String },
    #[error("{} is not TOML: {error}", .path.display())]
    NotToml { path: PathBuf, error: toml_edit::TomlError },
    #[error("there is no measure {0:?}")]
    NoSuchMeasure(String),
    #[error("{} has been changed by somebody else meanwhile: what was set is in force, and not saved; say it again", .0.display())]
    Changed(PathBuf),
    #[error(transparent)]
    Mistakes(#[from] ConfigErrors),
}

/// A new text for the file, checked.
#[derive(Debug)]
pub(super) struct Prepared {
    path: PathBuf,
    before: String,
    after: String,
    /// From 1.
    lines: Vec<usize>,
}

/// Makes the new text.
pub(super) fn prepare(path: &Path, wanted: &SetLimit) -> Result<Prepared, NotSaved> {
    let system = |error| NotSaved::System { path: path.into(), error };
    // What a link leads to is written, not the link.
    let path = path.canonicalize().map_err(system)?;
    let before = fs::read_to_string(&path).map_err(system)?;
    let after = edit(&path, &before, wanted)?;
    let name = path.display().to_string();
    parse(&before, &name)?;
    parse(&after, &name)?;
    let lines = lines(&after, wanted);
    Ok(Prepared { path, before, after, lines })
}

fn edit(path: &Path, text: &str, wanted: &SetLimit) -> Result<String, NotSaved> {
    let mut document: DocumentMut =
        text.parse().map_err(|error| NotSaved::NotToml { path: path.into(), error })?;
    let missing = || NotSaved::NoSuchLimit { path: path.into(), limit: wanted.limit.clone() };
    let limits = document.get_mut("limit").and_then(Item::as_table_like_mut).ok_or_else(missing)?;
    let limit = limits.get_mut(&wanted.limit).and_then(Item::as_table_like_mut).ok_or_else(missing)?;
    for (name, amount) in &wanted.amounts {
        let measure = Measure::of(name).ok_or_else(|| NotSaved::NoSuchMeasure(name.clone()))?;
        let mut value = match (measure, amount.parse::<i64>()) {
            (Measure::Concurrent, Ok(most)) => Value::from(most),
            _ => Value::from(amount.as_str()),
        };
        match limit.get_mut(name).and_then(Item::as_value_mut) {
            Some(old) => {
                // The comment behind the value is the value's.
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            None => {
                limit.insert(name, Item::Value(value));
            }
        }
    }
    Ok(document.to_string())
}

/// Where the values stand, from 1.
fn lines(text: &str, wanted: &SetLimit) -> Vec<usize> {
    let Ok(document) = toml_edit::Document::parse(text) else { return Vec::new() };
    let item =
        |name: &String| document.as_table().get("limit")?.get(wanted.limit.as_str())?.get(name.as_str());
    let place = |name: &String| item(name)?.span();
    let line = |place: std::ops::Range<usize>| 1 + text[..place.start].matches('\n').count();
    wanted.amounts.keys().filter_map(place).map(line).collect()
}

impl Prepared {
    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the new text in the old one's place, with its mode and owner. Gives the lines that changed.
    pub(super) fn write(self) -> Result<Vec<usize>, NotSaved> {
        let system = |error| NotSaved::System { path: self.path.clone(), error };
        if fs::read_to_string(&self.path).map_err(system)? != self.before {
            return Err(NotSaved::Changed(self.path));
        }
        let aside = self.path.with_extension(format!("toml.{}", std::process::id()));
        let written = self.write_aside(&aside).and_then(|()| fs::rename(&aside, &self.path));
        if let Err(error) = written {
            // What is not there need not be removed.
            let _ = fs::remove_file(&aside);
            return Err(system(error));
        }
        Ok(self.lines)
    }

    fn write_aside(&self, aside: &Path) -> io::Result<()> {
        let was = fs::metadata(&self.path)?;
        let mut file = File::options().write(true).create_new(true).open(aside)?;
        file.set_permissions(Permissions::from_mode(was.mode() & 0o7777))?;
        let is = file.metadata()?;
        if (is.uid(), is.gid()) != (was.uid(), was.gid()) {
            fchown(&file, Some(was.uid()), Some(was.gid()))?;
        }
        file.write_all(self.after.as_bytes())?;
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# What this machine serves.
[listener.web]
bind = \"192.0.2.1:80\"   # the world
protocol = \"http\"

[[route]]
respond = 204

[limit.per-client]  # nobody needs more
connections   =   '100/s' # new ones
concurrent = 5
";

    fn wanted(amounts: &[(&str, &str)]) -> SetLimit {
        let amounts = amounts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        SetLimit { limit: "per-client".to_owned(), amounts }
    }

    fn with_file<T>(name: &str, act: impl FnOnce(&Path) -> T) -> T {
        let folder = std::env::temp_dir().join(format!("proxy-now-save-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("proxy.toml");
        fs::write(&path, TEXT).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let acted = act(&path);
        fs::remove_dir_all(&folder).unwrap();
        acted
    }

    #[test]
    fn only_values_change_and_comments_order_and_mode_stay() {
        with_file("values", |path| {
            let amounts = [("connections", "500/s burst 9"), ("concurrent", "7"), ("requests", "5/s")];
            let lines = prepare(path, &wanted(&amounts)).unwrap().write().unwrap();
            let wanted = TEXT
                .replace("'100/s'", "\"500/s burst 9\"")
                .replace("concurrent = 5\n", "concurrent = 7\nrequests = \"5/s\"\n");
            assert_eq!(fs::read_to_string(path).unwrap(), wanted);
            assert_eq!(lines, [11, 10, 12]);
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o640);
            assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing lies about");
        });
    }

    #[test]
    fn what_would_not_check_is_not_written() {
        with_file("check", |path| {
            let error = prepare(path, &wanted(&[("connections", "0/s")])).unwrap_err();
            assert!(matches!(error, NotSaved::Mistakes(_)), "{error}");
            let other = SetLimit { limit: "other".to_owned(), ..wanted(&[("connections", "5/s")]) };
            assert!(matches!(prepare(path, &other).unwrap_err(), NotSaved::NoSuchLimit { .. }));
            assert_eq!(fs::read_to_string(path).unwrap(), TEXT);
        });
    }

    #[test]
    fn what_somebody_else_wrote_meanwhile_stays() {
        with_file("meanwhile", |path| {
            let prepared = prepare(path, &wanted(&[("connections", "5/s")])).unwrap();
            fs::write(path, "# theirs\n").unwrap();
            assert!(matches!(prepared.write().unwrap_err(), NotSaved::Changed(_)));
            assert_eq!(fs::read_to_string(path).unwrap(), "# theirs\n");
        });
    }
}
