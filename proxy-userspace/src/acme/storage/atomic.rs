//! Files that appear whole, or not at all, and that no crash takes away again: written aside, synced, renamed, and the
//! folder synced.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::model::StorageError;

/// Only the daemon's user reads what is here.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;
/// What is written aside is called so; whoever finds one that is old removes it.
pub(super) const ASIDE: &str = ".new";

/// Says which file it was.
pub(super) trait At<T> {
    /// With the path, and what was tried.
    fn at(self, path: &Path, doing: &'static str) -> Result<T, StorageError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, path: &Path, doing: &'static str) -> Result<T, StorageError> {
        self.map_err(|source| StorageError { at: path.display().to_string().into(), doing, source })
    }
}

/// Makes a folder, and those above it. There before is fine.
pub(super) fn folder(path: &Path) -> Result<(), StorageError> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(path).at(path, "cannot be made")
}

/// Writes a file in a folder that is there, and makes sure that its content is on the disk.
pub(super) fn write_synced(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(FILE_MODE).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().at(path, "cannot be written")
}

/// Puts a file in the place of another, whole.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(ASIDE);
    let aside = Path::new(&aside);
    // What a crash left may belong to somebody else, or be a folder: away with it rather than into it.
    if let Err(error) = std::fs::remove_file(aside)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error).at(aside, "cannot be removed");
    }
    let put = || -> Result<(), StorageError> {
        write_synced(aside, content)?;
        std::fs::rename(aside, path).at(path, "cannot be replaced")?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    };
    put().inspect_err(|_| {
        // A full disk gets its space back. If even that fails, the next writer tries.
        let _ = std::fs::remove_file(aside);
    })
}

/// Makes sure that the names in a folder are on the disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), StorageError> {
    File::open(path).and_then(|folder| folder.sync_all()).at(path, "cannot be synced")
}

/// A file's content; none: it is not there.
pub(super) fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, StorageError> {
    use std::io::Read;
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at(path, "cannot be read"),
    };
    let mut content = Vec::new();
    file.take(most + 1).read_to_end(&mut content).at(path, "cannot be read")?;
    if content.len() as u64 > most {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is too long")).at(path, "cannot be read");
    }
    Ok(Some(content))
}
