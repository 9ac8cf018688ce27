//! A directory of certificates: which of its files belong together.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Pairs of one directory: more is trouble.
pub(super) const MOST_PAIRS: usize = 100_000;

/// What a directory holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Chain and key, by name; the same file twice where there is no key beside a chain: it may be in it.
    pub(super) pairs: Vec<(PathBuf, PathBuf)>,
    /// There are more than may be.
    pub(super) more: bool,
}

/// Every `NAME.crt` and `NAME.pem`, with its `NAME.key`. What begins with a dot is somebody's scratch paper.
pub(super) fn list(directory: &Path) -> io::Result<Listing> {
    let mut files = BTreeMap::new();
    let mut listing = Listing::default();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(stem) = path.file_stem().filter(|stem| !stem.as_encoded_bytes().starts_with(b".")) else {
            continue;
        };
        let what = match path.extension().and_then(OsStr::to_str) {
            Some("crt" | "pem") => true,
            Some("key") => false,
            _ => continue,
        };
        // A pair is two files.
        if files.len() > 2 * MOST_PAIRS {
            listing.more = true;
            break;
        }
        files.insert((stem.to_owned(), path), what);
    }
    for (stem, path) in files.iter().filter(|(_, is_chain)| **is_chain).map(|(file, _)| file) {
        let key = path.with_extension("key");
        let has_key = files.contains_key(&(stem.clone(), key.clone()));
        listing.pairs.push((path.clone(), if has_key { key } else { path.clone() }));
    }
    listing.more |= listing.pairs.len() > MOST_PAIRS;
    listing.pairs.truncate(MOST_PAIRS);
    Ok(listing)
}
