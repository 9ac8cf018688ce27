//! Lists of trusted roots on this machine: the system's, and those of browsers that keep their own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A system's folder for roots of its own, and what is run after a change of it.
struct Kind {
    folder: &'static str,
    command: &'static [&'static str],
}

/// The first whose folder and program are there is this system's.
const KINDS: [Kind; 4] = [
    // Debian, Ubuntu, Alpine, Gentoo.
    Kind { folder: "/usr/local/share/ca-certificates", command: &["update-ca-certificates"] },
    // Fedora, RHEL.
    Kind { folder: "/etc/pki/ca-trust/source/anchors", command: &["update-ca-trust", "extract"] },
    // Arch.
    Kind { folder: "/etc/ca-certificates/trust-source/anchors", command: &["trust", "extract-compat"] },
    // openSUSE.
    Kind { folder: "/etc/pki/trust/anchors", command: &["update-ca-certificates"] },
];

/// Where programs are looked for, beside `PATH`: those of the superuser.
const PROGRAMS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Why a list could not be changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// None is known here.
    #[error(
        "no list of trusted roots is known here (Debian's, Fedora's, Arch's and openSUSE's are): install ca-certificates, or add {} by hand",
        .0.display()
    )]
    Unknown(PathBuf),
    /// A file could not be written or removed.
    #[error("{}: {error}; run this as root", .path.display())]
    File { path: PathBuf, error: io::Error },
    /// A program did not do it.
    #[error("{program} failed: {why}")]
    Program { program: String, why: String },
}

/// The system's list.
#[derive(Debug)]
pub(super) struct System {
    folder: PathBuf,
    command: Vec<String>,
}

impl System {
    /// This machine's, below `/`, or below another folder for tests.
    pub(super) fn find(root: &Path, for_what: &Path) -> Result<Self, StoreError> {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        for kind in &KINDS {
            let program = PROGRAMS.iter().map(|folder| below(folder).join(kind.command[0]));
            let program = program.into_iter().find(|path| path.exists());
            if let (Some(program), true) = (program, below(kind.folder).is_dir()) {
                let arguments = kind.command[1..].iter().map(|&argument| argument.to_owned());
                let command = [program.display().to_string()].into_iter().chain(arguments).collect();
                return Ok(Self { folder: below(kind.folder), command });
            }
        }
        Err(StoreError::Unknown(for_what.to_owned()))
    }

    /// Adds a root. Says what it did.
    pub(super) fn add(&self, name: &str, pem: &str) -> Result<Vec<String>, StoreError> {
        let path = self.path(name);
        fs::write(&path, pem).map_err(|error| StoreError::File { path: path.clone(), error })?;
        run(&self.command)?;
        Ok(vec![format!("wrote {}", path.display()), format!("ran {}", self.command.join(" "))])
    }

    /// Takes a root out, if it is there. Says what it did.
    pub(super) fn remove(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::File { path, error }),
        }
        run(&self.command)?;
        Ok(vec![format!("removed {}", path.display()), format!("ran {}", self.command.join(" "))])
    }

    /// Where a root of this name is: `.crt` is the one ending that all of them take.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }
}

/// Databases of browsers (NSS) in a home: Chromium's, and each profile of Firefox.
pub(super) fn databases(home: &Path) -> Vec<PathBuf> {
    let firefox = ["snap/firefox/common/.mozilla/firefox", ".mozilla/firefox"];
    let profiles = firefox.iter().flat_map(|folder| fs::read_dir(home.join(folder)).into_iter().flatten());
    let profiles = profiles.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<_> = [home.join(".pki/nssdb")].into_iter().chain(profiles).collect();
    found.retain(|folder| folder.join("cert9.db").exists());
    found.sort();
    found
}

/// Adds a root to a database of a browser, or takes it out.
pub(super) fn change_database(
    certutil: &Path,
    database: &Path,
    name: &str,
    add: Option<&Path>,
) -> Result<String, StoreError> {
    let at = format!("sql:{}", database.display());
    let mut command = vec![certutil.display().to_string(), "-d".into(), at, "-n".into(), name.to_owned()];
    match add {
        Some(pem) => {
            let more = ["-A", "-t", "C,,", "-i"].map(str::to_owned);
            command.extend(more.into_iter().chain([pem.display().to_string()]));
        }
        None => command.push("-D".into()),
    }
    run(&command)?;
    Ok(format!("ran {}", command.join(" ")))
}

/// Mozilla's program, if it is installed.
pub(super) fn certutil() -> Option<PathBuf> {
    PROGRAMS.iter().map(|folder| Path::new(folder).join("certutil")).find(|path| path.exists())
}

fn run(command: &[String]) -> Result<(), StoreError> {
    let failed = |why: String| StoreError::Program { program: command.join(" "), why };
    let done = Command::new(&command[0]).args(&command[1..]).output();
    let done = done.map_err(|error| failed(error.to_string()))?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(failed(format!("{}: {last}", done.status)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A system with one kind of list, whose program says that it was run.
    fn system(name: &str, kind: &Kind, program: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("pn-stores-{}-{name}", std::process::id()));
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        fs::create_dir_all(below(kind.folder)).unwrap();
        fs::create_dir_all(below("/usr/sbin")).unwrap();
        let path = below("/usr/sbin").join(kind.command[0]);
        fs::write(&path, format!("#!/bin/sh\n{program}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        root
    }

    #[test]
    fn each_system_has_its_list_and_what_was_added_can_be_removed() {
        for (number, kind) in KINDS.iter().enumerate() {
            let root = system(&number.to_string(), kind, "exit 0");
            let found = System::find(&root, Path::new("root.pem")).unwrap();
            let said = found.add("proxy-now", "the root").unwrap();
            let path = root.join(kind.folder.trim_start_matches('/')).join("proxy-now.crt");
            assert_eq!(fs::read_to_string(&path).unwrap(), "the root");
            assert!(said[1].contains(kind.command[0]), "{said:?}");
            assert_eq!(found.remove("proxy-now").unwrap().len(), 2);
            assert!(!path.exists());
            assert!(found.remove("proxy-now").unwrap().is_empty(), "there is nothing any more");
            fs::remove_dir_all(root).unwrap();
        }
    }

    #[test]
    fn what_failed_is_told_with_its_reason() {
        let root = system("fails", &KINDS[0], "echo 'no space' >&2; exit 3");
        let found = System::find(&root, Path::new("root.pem")).unwrap();
        let error = found.add("proxy-now", "the root").unwrap_err().to_string();
        assert!(error.contains("update-ca-certificates failed") && error.contains("no space"), "{error}");
        fs::remove_dir_all(root).unwrap();
        let nowhere = System::find(Path::new("/nowhere"), Path::new("root.pem")).unwrap_err().to_string();
        assert!(nowhere.contains("add root.pem by hand"), "{nowhere}");
    }

    #[test]
    fn databases_are_those_that_are_there() {
        let home = std::env::temp_dir().join(format!("pn-nss-{}", std::process::id()));
        for folder in [".pki/nssdb", ".mozilla/firefox/abc.default"] {
            fs::create_dir_all(home.join(folder)).unwrap();
            fs::write(home.join(folder).join("cert9.db"), "").unwrap();
        }
        fs::create_dir_all(home.join(".mozilla/firefox/empty")).unwrap();
        assert_eq!(databases(&home).len(), 2);
        fs::remove_dir_all(home).unwrap();
    }
}
