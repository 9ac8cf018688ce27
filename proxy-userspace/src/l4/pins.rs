//! Where maps, programs and links outlive the daemon: files of the BPF file system, in one folder for each layout.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use proxy_common::ABI_VERSION;
use rustix::fs::{FlockOperation, flock, statfs};

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS_MAGIC: u64 = 0xcafe_4a11;

/// The folder of pins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pins {
    root: PathBuf,
}

/// What an XDP link's pin begins with; the interface follows.
const LINK: &str = "link-";
/// The same for the TC program's.
const TC_LINK: &str = "tc-";

impl Pins {
    /// Pins under `root` (`[kernel] pin_dir`).
    pub(super) fn under(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of this version's layout.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(format!("v{ABI_VERSION}"))
    }

    /// Where a map or a program is pinned.
    pub(super) fn object(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Where the XDP link of an interface is pinned.
    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.folder().join(format!("{LINK}{}", escaped(interface)))
    }

    /// Where the TC link of an interface is pinned.
    pub(super) fn tc_link(&self, interface: &str) -> PathBuf {
        self.folder().join(format!("{TC_LINK}{}", escaped(interface)))
    }

    /// Interfaces whose XDP links are pinned here.
    pub(super) fn linked_interfaces(&self) -> Vec<String> {
        let names = entries(&self.folder());
        names.iter().filter_map(|name| name.strip_prefix(LINK)).map(unescaped).collect()
    }

    /// Folders of other versions' layouts.
    pub(super) fn other_versions(&self) -> Vec<PathBuf> {
        let own = format!("v{ABI_VERSION}");
        let version = |name: &&String| {
            name.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        };
        let names = entries(&self.root);
        names.iter().filter(version).filter(|name| **name != own).map(|name| self.root.join(name)).collect()
    }

    /// The same file in another version's folder.
    pub(super) fn in_folder(folder: &Path, of: &Path) -> PathBuf {
        of.file_name().map_or_else(|| folder.to_owned(), |name| folder.join(name))
    }

    /// Whether there is a BPF file system where the pins are to be.
    pub(super) fn on_bpffs(&self) -> io::Result<bool> {
        let there = self.root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        Ok(statfs(there)?.f_type as u64 == BPF_FS_MAGIC)
    }

    /// The BPF file system that should have been mounted: where people have it, else the folder asked for.
    pub(super) fn expected_mount(&self) -> &Path {
        let usual = Path::new("/sys/fs/bpf");
        if self.root.starts_with(usual) { usual } else { self.root.parent().unwrap_or(&self.root) }
    }

    /// Makes the folder.
    pub(super) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(self.folder())
    }

    /// Holds the folder for this process alone; none: another process has it.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        let folder = File::open(&self.root)?;
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(folder)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the folders if nothing is in them.
    pub(super) fn remove_empty(&self) {
        // What is not empty stays, and that is no mistake.
        let _ = fs::remove_dir(self.folder());
        let _ = fs::remove_dir(&self.root);
    }
}

/// Names in a folder; none if there is no such folder.
pub(super) fn entries(folder: &Path) -> Vec<String> {
    let Ok(read) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        read.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Removes a file; that it is not there is no mistake.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A name without dots: the BPF file system keeps those for itself, and VLAN devices have them in theirs.
fn escaped(interface: &str) -> String {
    interface.replace('%', "%25").replace('.', "%2e")
}

fn unescaped(name: &str) -> String {
    name.replace("%2e", ".").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_is_known_again_by_its_pin() {
        for interface in ["eth0", "eth0.100", "a%2eb.c", "%"] {
            assert_eq!(unescaped(&escaped(interface)), interface);
            assert!(!escaped(interface).contains('.'));
        }
    }

    #[test]
    fn a_layout_has_its_own_folder() {
        let pins = Pins::under(Path::new("/sys/fs/bpf/proxy-now"));
        assert_eq!(
            pins.link("eth0.7"),
            Path::new(&format!("/sys/fs/bpf/proxy-now/v{ABI_VERSION}/link-eth0%2e7"))
        );
        assert_eq!(Pins::in_folder(Path::new("/x/v0"), &pins.link("eth0")), Path::new("/x/v0/link-eth0"));
    }
}
