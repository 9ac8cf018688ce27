//! Facts about certificates of files while the daemon runs.

use std::path::{Path, PathBuf};

use super::*;
use crate::config::parse;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pn-cert-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a new pair.
    fn pair(&self, name: &str, host: &str) {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        std::fs::write(self.path(&format!("{name}.crt")), made.cert.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
}

fn started(config: &str) -> (CertFiles, Arc<Store>) {
    let store = Arc::<Store>::default();
    let files = CertFiles::new(store.clone());
    put(&files, config);
    (files, store)
}

fn put(files: &CertFiles, config: &str) {
    let config = Arc::new(parse(config, "proxy.toml").unwrap());
    files.put(&config, CertFiles::marks(&config));
}

fn looks(files: &CertFiles, times: usize) -> Vec<Found> {
    (0..times).map(|_| lock(&files.held).look()).collect()
}

fn directory(path: &Path) -> String {
    format!("[tls]\ndirectory = {path:?}\n")
}

fn fingerprint(store: &Store, name: &str) -> Option<Box<str>> {
    store.find(name).map(|certificate| certificate.fingerprint.clone())
}

#[test]
fn a_pair_that_changes_is_served_and_until_it_is_whole_the_old_one_is() {
    let folder = Folder::new("change");
    folder.pair("a", "a.test");
    let (files, store) = started(&directory(&folder.0));
    let first = fingerprint(&store, "a.test").unwrap();
    // The first look after a start reads what came meanwhile: nothing.
    looks(&files, 3);
    assert_eq!(looks(&files, 2), [Found::Nothing; 2]);

    let key = std::fs::read(folder.path("a.key")).unwrap();
    folder.pair("a", "a.test");
    let new_key = std::fs::read(folder.path("a.key")).unwrap();
    std::fs::write(folder.path("a.key"), key).unwrap();
    assert_eq!(looks(&files, 2), [Found::Nothing, Found::Certificates]);
    assert_eq!(fingerprint(&store, "a.test").unwrap(), first, "chain and key do not belong together");
    let troubles: Vec<_> = files.troubles().iter().map(ToString::to_string).collect();
    assert!(troubles.iter().any(|trouble| trouble.contains("still served")), "{troubles:?}");

    std::fs::write(folder.path("a.key"), new_key).unwrap();
    assert_eq!(looks(&files, 2), [Found::Nothing, Found::Certificates]);
    assert_ne!(fingerprint(&store, "a.test").unwrap(), first);
    assert!(!files.troubles().iter().any(|trouble| trouble.to_string().contains("still served")));
}

#[test]
fn pairs_come_to_a_directory_and_go() {
    let folder = Folder::new("come");
    let (files, store) = started(&directory(&folder.0));
    assert!(store.first().is_none());
    looks(&files, 3);
    folder.pair("b", "b.test");
    looks(&files, 2);
    assert!(fingerprint(&store, "b.test").is_some());
    looks(&files, 3);
    std::fs::remove_file(folder.path("b.crt")).unwrap();
    std::fs::remove_file(folder.path("b.key")).unwrap();
    looks(&files, 2);
    assert!(fingerprint(&store, "b.test").is_none());
}

#[test]
fn other_files_that_are_named_are_a_reload_once() {
    let folder = Folder::new("named");
    let secret = folder.path("secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    let config = format!("[tls]\ntickets = {{ key_file = {secret:?} }}\n");
    let (files, _) = started(&config);
    assert_eq!(looks(&files, 2), [Found::Nothing; 2]);
    std::fs::write(&secret, [8; 33]).unwrap();
    assert_eq!(looks(&files, 3), [Found::Nothing, Found::Named, Found::Nothing]);
}

#[test]
fn whoever_watches_ends_with_the_files_and_orders_a_reload() {
    let folder = Folder::new("watch");
    let secret = folder.path("secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    let (mut files, _) = started(&format!("[tls]\ntickets = {{ key_file = {secret:?} }}\n"));
    let (orders, mut ordered) = mpsc::channel(1);
    files.watch(orders).unwrap();
    std::fs::write(&secret, [8; 33]).unwrap();
    assert_eq!(ordered.blocking_recv(), Some(Order::Reload("a file that it names changed")));
    drop(files);
    assert_eq!(ordered.blocking_recv(), None, "the thread is gone");
}
