//! The storage, as facts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::file::FileStorage;
use super::model::{Document, Generation, Meta, Storage};

/// A folder that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("proxy-now-storage-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn storage(&self) -> FileStorage {
        FileStorage::new(&self.0.join("storage"))
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.join("storage").join(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn generation(name: &str, obtained: u64) -> Generation {
    Generation {
        key_pem: format!("key {obtained}"),
        chain_pem: format!("chain {obtained}"),
        meta: Meta {
            name: name.into(),
            issuer: "letsencrypt".into(),
            directory: "https://ca.example/directory".into(),
            obtained,
            on_demand: false,
        },
    }
}

fn files(at: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_last_generation_is_the_current_one_and_old_ones_go() {
    let scratch = Scratch::new();
    let storage = scratch.storage();
    assert_eq!(storage.current("*.example.com").unwrap(), None);
    assert!(storage.load("*.example.com").unwrap().is_empty());
    for obtained in 1..=5 {
        let id = storage.store("*.example.com", &generation("*.example.com", obtained)).unwrap();
        assert_eq!(storage.current("*.example.com").unwrap(), Some(id));
    }
    let loaded = storage.load("*.example.com").unwrap();
    let obtained: Vec<u64> = loaded.iter().map(|(_, generation)| generation.meta.obtained).collect();
    assert_eq!(obtained, [5, 4, 3]);
    assert_eq!(loaded[0].1, generation("*.example.com", 5));
    assert_eq!(storage.names().unwrap(), ["*.example.com".into()]);
    storage.forget("*.example.com").unwrap();
    assert!(storage.names().unwrap().is_empty());
}

#[test]
fn only_its_user_can_read_what_is_kept() {
    let scratch = Scratch::new();
    let storage = scratch.storage();
    storage.store("a.example", &generation("a.example", 1)).unwrap();
    storage.put(Document::Account, "https://ca.example/", b"{}").unwrap();
    drop(storage.lock("a.example").unwrap());
    for path in files(&scratch.0) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
    assert_eq!(fs::metadata(scratch.at("")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_a_crash_left_is_neither_found_nor_kept() {
    let scratch = Scratch::new();
    let storage = scratch.storage();
    storage.store("a.example", &generation("a.example", 1)).unwrap();
    // Before the generation got its name; before `current` was replaced.
    fs::create_dir_all(scratch.at("certificates/a.example/0000000002-1-1.new")).unwrap();
    fs::write(scratch.at("certificates/a.example/0000000002-1-1.new/key.pem"), "half").unwrap();
    fs::write(scratch.at("certificates/a.example/current.new"), "0000").unwrap();
    assert_eq!(storage.load("a.example").unwrap().len(), 1);
    storage.store("a.example", &generation("a.example", 3)).unwrap();
    assert!(!scratch.at("certificates/a.example/0000000002-1-1.new").exists());
    assert!(!scratch.at("certificates/a.example/current.new").exists());
    assert_eq!(storage.load("a.example").unwrap()[0].1.meta.obtained, 3);
}

#[test]
fn broken_generations_are_passed_over() {
    let scratch = Scratch::new();
    let storage = scratch.storage();
    storage.store("a.example", &generation("a.example", 1)).unwrap();
    let broken = storage.store("a.example", &generation("a.example", 2)).unwrap();
    fs::write(scratch.at(&format!("certificates/a.example/{}/meta.json", broken.0)), "{").unwrap();
    assert_eq!(storage.load("a.example").unwrap()[0].1.meta.obtained, 1);
    for garbage in ["", "../../../etc", "no such", "\u{0}"] {
        fs::write(scratch.at("certificates/a.example/current"), garbage).unwrap();
        assert_eq!(storage.current("a.example").unwrap(), None, "{garbage:?}");
        assert_eq!(storage.load("a.example").unwrap()[0].1.meta.obtained, 1);
    }
}

#[test]
fn documents_are_whole_and_of_their_own() {
    let scratch = Scratch::new();
    let storage = scratch.storage();

    assert_eq!(storage.get(Document::Order, "a.example").unwrap(), None);
    storage.delete(Document::Order, "a.example").unwrap();
    storage.put(Document::Order, "a.example", br#"{"name":"a.example"}"#).unwrap();
    storage.put(Document::Order, "*.a.example", br#"{"name":"*.a.example"}"#).unwrap();
    storage.put(Document::Renewal, "a.example", b"[1]").unwrap();
    assert_eq!(storage.get(Document::Order, "a.example").unwrap().unwrap(), br#"{"name":"a.example"}"#);
    let mut orders = storage.orders().unwrap();
    orders.sort();
    assert_eq!(orders, ["*.a.example".into(), "a.example".into()]);
    fs::write(scratch.at("orders/broken.json"), "{").unwrap();
    assert_eq!(storage.orders().unwrap().len(), 2);
    storage.delete(Document::Order, "a.example").unwrap();
    assert_eq!(storage.get(Document::Order, "a.example").unwrap(), None);
    assert_eq!(storage.get(Document::Renewal, "a.example").unwrap().unwrap(), b"[1]");
}

#[test]
fn a_lock_is_its_holders_alone_and_garbage_in_it_means_nothing() {
    let scratch = Scratch::new();
    let (ours, theirs) = (scratch.storage(), scratch.storage());
    let held = ours.lock("a.example").unwrap();
    assert!(held.is_some());
    assert!(theirs.lock("a.example").unwrap().is_none());
    assert!(theirs.lock("b.example").unwrap().is_some());
    drop(held);
    fs::write(scratch.at("locks/a.example"), [0xff; 100]).unwrap();
    assert!(theirs.lock("a.example").unwrap().is_some());
}

#[test]
fn a_storage_that_cannot_be_written_says_where() {
    let scratch = Scratch::new();
    fs::write(scratch.at(""), "a file").unwrap_err();
    fs::write(scratch.0.join("storage"), "a file").unwrap();
    let error = scratch.storage().probe().unwrap_err().to_string();
    assert!(error.starts_with("storage: ") && error.contains("storage: cannot be made"), "{error}");
    fs::remove_file(scratch.0.join("storage")).unwrap();
    scratch.storage().probe().unwrap();
    assert!(files(&scratch.at("")).is_empty());
}
