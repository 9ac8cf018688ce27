//! Folders and files of one machine:
//!
//! ```text
//! certificates/NAME/GENERATION/{key.pem,chain.pem,meta.json}   complete when it has its name
//! certificates/NAME/current                                    which one that is
//! orders/NAME.json  attempts/NAME.json  renewals/NAME.json  proofs/NAME.json
//! accounts/DIRECTORY.json  ledgers/DIRECTORY.json
//! locks/NAME                                                   locked by whoever has it open (flock), never removed
//! ```

use std::fs::{self, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::atomic::{ASIDE, At, folder, read, replace, sync_folder, write_synced};
use super::model::{Document, Generation, GenerationId, Guard, Meta, Storage, StorageError};
use super::place::file_name;

/// No file here is longer: a chain, or a ledger.
const MOST_BYTES: u64 = 4 * 1024 * 1024;
/// Generations of a name that are kept, the current one among them.
const GENERATIONS: usize = 3;
const CURRENT: &str = "current";
const KEY: &str = "key.pem";
const CHAIN: &str = "chain.pem";
const META: &str = "meta.json";

/// Keeps everything in a folder.
#[derive(Debug)]
pub struct FileStorage {
    root: PathBuf,
    /// Distinguishes generations and probes of the same second and process.
    count: AtomicU32,
}

impl FileStorage {
    /// In this folder, which need not be there yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), count: AtomicU32::new(0) }
    }

    fn certificates(&self, name: &str) -> PathBuf {
        self.root.join("certificates").join(file_name(name))
    }

    fn document(&self, document: Document, of: &str) -> PathBuf {
        let folder = match document {
            Document::Account => "accounts",
            Document::Ledger => "ledgers",
            Document::Order => "orders",
            Document::Attempts => "attempts",
            Document::Renewal => "renewals",
            Document::Proofs => "proofs",
        };
        self.root.join(folder).join(format!("{}.json", file_name(of)))
    }

    /// Unique among those who write now, and among what they left.
    fn unique(&self) -> String {
        format!("{}-{}", std::process::id(), self.count.fetch_add(1, Ordering::Relaxed))
    }
}

impl Storage for FileStorage {
    fn names(&self) -> Result<Vec<Box<str>>, StorageError> {
        let mut names = Vec::new();
        for at in entries(&self.root.join("certificates"))? {
            // A folder's name may be cut: the names themselves stand in the generations.
            let generations = generations(&at)?;
            names.extend(generations.into_iter().next().map(|(_, generation)| generation.meta.name));
        }
        Ok(names)
    }

    fn current(&self, name: &str) -> Result<Option<GenerationId>, StorageError> {
        current(&self.certificates(name))
    }

    fn load(&self, name: &str) -> Result<Vec<(GenerationId, Generation)>, StorageError> {
        generations(&self.certificates(name))
    }

    fn store(&self, name: &str, generation: &Generation) -> Result<GenerationId, StorageError> {
        let at = self.certificates(name);
        folder(&at)?;
        clean(&at)?;
        let id = format!("{:010}-{}", generation.meta.obtained, self.unique());
        let aside = at.join(format!("{id}{ASIDE}"));
        let place = at.join(&id);
        let put = || -> Result<(), StorageError> {
            folder(&aside)?;
            write_synced(&aside.join(KEY), generation.key_pem.as_bytes())?;
            write_synced(&aside.join(CHAIN), generation.chain_pem.as_bytes())?;
            let meta = serde_json::to_vec_pretty(&generation.meta).map_err(Into::into);
            write_synced(&aside.join(META), &meta.at(&aside, "cannot be written")?)?;
            sync_folder(&aside)?;
            fs::rename(&aside, &place).at(&place, "cannot be named")?;
            sync_folder(&at)?;
            replace(&at.join(CURRENT), id.as_bytes())
        };
        put().inspect_err(|_| {
            // A full disk gets its space back. If even that fails, the next writer tries.
            let _ = fs::remove_dir_all(&aside);
        })?;
        prune(&at, &id);
        // The folder itself may be new.
        sync_folder(at.parent().unwrap_or(&self.root))?;
        Ok(GenerationId(id.into()))
    }

    fn forget(&self, name: &str) -> Result<(), StorageError> {
        let at = self.certificates(name);
        match fs::remove_dir_all(&at) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at(&at, "cannot be removed"),
            _ => Ok(()),
        }
    }

    fn get(&self, document: Document, of: &str) -> Result<Option<Vec<u8>>, StorageError> {
        read(&self.document(document, of), MOST_BYTES)
    }

    fn put(&self, document: Document, of: &str, content: &[u8]) -> Result<(), StorageError> {
        let path = self.document(document, of);
        folder(path.parent().unwrap_or(&self.root))?;
        replace(&path, content)
    }

    fn delete(&self, document: Document, of: &str) -> Result<(), StorageError> {
        let path = self.document(document, of);
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(path.parent().unwrap_or(&self.root)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).at(&path, "cannot be removed"),
        }
    }

    fn orders(&self) -> Result<Vec<Box<str>>, StorageError> {
        /// As far as it must be known here.
        #[derive(serde::Deserialize)]
        struct Named {
            name: Box<str>,
        }
        let mut names = Vec::new();
        for path in entries(&self.root.join("orders"))? {
            let Some(content) = read(&path, MOST_BYTES)? else { continue };
            match serde_json::from_slice::<Named>(&content) {
                Ok(order) => names.push(order.name),
                Err(error) => tracing::warn!("{}: no order, and left alone: {error}", path.display()),
            }
        }
        Ok(names)
    }

    fn lock(&self, what: &str) -> Result<Option<Guard>, StorageError> {
        let path = self.root.join("locks").join(file_name(what));
        folder(path.parent().unwrap_or(&self.root))?;
        // Closed on exec, so that no child holds it; its content means nothing. The kernel lets it go with its holder.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .at(&path, "cannot be opened")?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Guard::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).at(&path, "cannot be locked"),
        }
    }

    fn probe(&self) -> Result<(), StorageError> {
        folder(&self.root)?;
        let path = self.root.join(format!(".probe-{}", self.unique()));
        // As much as a generation has, so that a disk that is almost full is found out.
        let content = vec![b'.'; 16 * 1024];
        let found = replace(&path, &content).and_then(|()| read(&path, MOST_BYTES));
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).at(&path, "cannot be removed"),
            _ => Ok(()),
        };
        if found?.as_deref() != Some(&content) {
            let error = std::io::Error::other("what was written is not what is read");
            return Err(error).at(&path, "cannot be trusted");
        }
        removed
    }
}

/// What is in a folder, but for what is written aside and hidden. None there: none.
fn entries(at: &Path) -> Result<Vec<PathBuf>, StorageError> {
    let listed = match fs::read_dir(at) {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).at(at, "cannot be listed"),
    };
    let mut found = Vec::new();
    for entry in listed {
        let name = entry.at(at, "cannot be listed")?.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with('.') && !name.ends_with(ASIDE) {
            found.push(at.join(name));
        }
    }
    found.sort();
    Ok(found)
}

fn current(at: &Path) -> Result<Option<GenerationId>, StorageError> {
    let content = read(&at.join(CURRENT), MOST_BYTES)?;
    let id = content.and_then(|content| String::from_utf8(content).ok());
    // Whatever else stands there leads nowhere.
    let own = |id: &String| id.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') && !id.is_empty();
    Ok(id.filter(own).map(|id| GenerationId(id.into())))
}

/// Complete generations, the current one first, then the newest.
fn generations(at: &Path) -> Result<Vec<(GenerationId, Generation)>, StorageError> {
    let current = current(at)?;
    let mut found = Vec::new();
    for path in entries(at)? {
        let Some(id) = path.file_name().and_then(|name| name.to_str()).filter(|name| *name != CURRENT) else {
            continue;
        };
        match generation(&path) {
            Ok(generation) => found.push((GenerationId(id.into()), generation)),
            Err(error) => tracing::warn!("a generation is left out: {error}"),
        }
    }
    found.sort_by(|(a, _), (b, _)| {
        let rank = |id: &GenerationId| (current.as_ref() == Some(id), id.0.clone());
        rank(b).cmp(&rank(a))
    });
    Ok(found)
}

fn generation(at: &Path) -> Result<Generation, StorageError> {
    let text = |name: &str| -> Result<String, StorageError> {
        let path = at.join(name);
        let content = read(&path, MOST_BYTES)?.ok_or_else(|| ErrorKind::NotFound.into());
        let content = content.at(&path, "cannot be read")?;
        String::from_utf8(content).map_err(|_| ErrorKind::InvalidData.into()).at(&path, "cannot be read")
    };
    let meta: Meta =
        serde_json::from_str(&text(META)?).map_err(Into::into).at(&at.join(META), "is no metadata")?;
    Ok(Generation { key_pem: text(KEY)?, chain_pem: text(CHAIN)?, meta })
}

/// Removes what a crash left aside. The caller has the name's lock.
fn clean(at: &Path) -> Result<(), StorageError> {
    for entry in fs::read_dir(at).at(at, "cannot be listed")? {
        let path = entry.at(at, "cannot be listed")?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(ASIDE.as_bytes()) && path.is_dir() {
            fs::remove_dir_all(&path).at(&path, "cannot be removed")?;
        }
    }
    Ok(())
}

/// Removes old generations. One that stays takes a few kilobytes until the next time.
fn prune(at: &Path, current: &str) {
    let Ok(mut all) = entries(at) else { return };
    all.retain(|path| path.is_dir() && path.file_name().is_some_and(|name| name != current));
    let surplus = (all.len() + 1).saturating_sub(GENERATIONS);
    for old in all.iter().take(surplus) {
        if let Err(error) = fs::remove_dir_all(old) {
            tracing::debug!("{}: cannot be removed: {error}", old.display());
        }
    }
}
