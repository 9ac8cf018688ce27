//! What is true on one machine only: its folders, and where it gets packages from.

use super::finding::Finding;
use super::policy::{MACHINE_FOLDERS, REGISTRY_HOSTS};
use super::source::Source;

/// Every line that names one.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    // Cargo writes where a package comes from into its lock file.
    if source.path.ends_with(".lock") {
        return Vec::new();
    }
    let lines = source.text.lines().enumerate();
    let found = lines.filter_map(|(at, line)| Some(Finding::new(&source.path, at + 1, wrong(line)?)));
    found.collect()
}

fn wrong(line: &str) -> Option<String> {
    for folder in MACHINE_FOLDERS {
        let path = format!("/{folder}/");
        // In `docs/work/` it is a part of a path, at the beginning of one it is a folder of this machine.
        let begins = line
            .match_indices(&path)
            .any(|(at, _)| !line[..at].chars().next_back().is_some_and(|before| before.is_ascii_lowercase()));
        if begins {
            return Some(format!("`{path}` is a folder of one machine"));
        }
    }
    let hosts = REGISTRY_HOSTS.iter().map(|(name, end)| format!("{name}{end}"));
    hosts
        .into_iter()
        .find(|host| line.contains(host))
        .map(|host| format!("`{host}` is the host of a registry"))
}
