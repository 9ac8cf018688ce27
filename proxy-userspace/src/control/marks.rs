//! Whether files have changed since they were looked at: by what the file system says of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::config::{Config, PoolTlsConfig};

/// What tells a file from what it was: which file it is, its size, when it was written or moved. None: there is none.
type Mark = Option<(u64, u64, u64, i64, i64, i64, i64)>;

/// Files, as they were when they were looked at.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Marks(BTreeMap<PathBuf, Mark>);

impl Marks {
    /// Looks at files, and where links lead.
    pub(super) fn of(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let mark = |path: PathBuf| {
            let mark = fs::metadata(&path).ok().map(|is| {
                (is.dev(), is.ino(), is.size(), is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec())
            });
            (path, mark)
        };
        Self(paths.into_iter().map(mark).collect())
    }
}

/// Files beside certificates that a configuration names for TLS: what is made of them is made anew by a reload.
pub(super) fn named(config: &Config) -> BTreeSet<PathBuf> {
    let of_listeners =
        config.web_listeners.iter().filter_map(|listener| listener.tls.as_ref()?.client_auth.as_ref());
    let of_hosts = config.tls.hosts.values().filter_map(|host| host.client_auth.as_ref());
    let clients = of_listeners.chain(of_hosts).flat_map(|auth| [Some(auth.ca.clone()), auth.crl.clone()]);
    let backends = config.pools.iter().filter_map(|pool| pool.web.tls.as_ref()).flat_map(of_pool);
    let issuers = config.acme.issuers.iter().map(|issuer| issuer.directory_ca.clone());
    let tickets = [config.tls.tickets.key_file.clone()];
    clients.chain(backends).chain(issuers).chain(tickets).flatten().collect()
}

fn of_pool(tls: &PoolTlsConfig) -> [Option<PathBuf>; 3] {
    let client = tls.client.as_ref();
    [tls.ca.clone(), client.map(|files| files.chain.clone()), client.map(|files| files.key.clone())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_replaced_removed_or_led_elsewhere_has_another_mark() {
        let folder = std::env::temp_dir().join(format!("pn-marks-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name);
        fs::write(path("one"), "1").unwrap();
        fs::write(path("two"), "2").unwrap();
        std::os::unix::fs::symlink("one", path("link")).unwrap();
        let look = || Marks::of(["one", "link", "none"].map(path));
        let mut before = look();
        assert_eq!(before, look());
        let mut differs = |what: &str| {
            let now = look();
            assert_ne!(before, now, "{what}");
            before = now;
        };
        fs::write(path("one"), "longer").unwrap();
        differs("written");
        fs::write(path("new"), "longer").unwrap();
        fs::rename(path("new"), path("one")).unwrap();
        differs("replaced by another of its size");
        fs::remove_file(path("link")).unwrap();
        std::os::unix::fs::symlink("two", path("link")).unwrap();
        differs("led elsewhere");
        fs::remove_file(path("one")).unwrap();
        differs("removed");
        fs::write(path("none"), "").unwrap();
        differs("made");
        fs::remove_dir_all(folder).unwrap();
    }
}
