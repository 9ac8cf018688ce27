//! What dead test runs have left behind: namespaces, processes in them, pins. Whatever bears the number of a process
//! that no longer lives is removed.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::{fs, io};

use anyhow::{Context, Result, bail};

use crate::netns::{self, NETNS_DIR};

/// Where the harness keeps what is not in a namespace: configurations, sockets, logs.
pub const RUN_DIR: &str = "/run/proxy-now-tests";
/// A BPF file system of its own, for pins.
pub const BPF_DIR: &str = "/run/proxy-now-tests/bpf";

static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A name that nobody else has: `pn-<process>-<number>`. Everything in a world begins with it.
#[must_use]
pub fn unique_name() -> String {
    format!("pn-{}-{}", std::process::id(), WORLDS.fetch_add(1, Relaxed))
}

/// Makes the folders and the BPF file system, and removes what dead runs have left.
///
/// # Errors
/// When the file system cannot be mounted, or a namespace cannot be removed.
pub fn prepare() -> Result<()> {
    fs::create_dir_all(BPF_DIR).context(BPF_DIR)?;
    if fs::metadata(BPF_DIR)?.dev() == fs::metadata(RUN_DIR)?.dev() {
        rustix::mount::mount("bpf", BPF_DIR, "bpf", rustix::mount::MountFlags::empty(), None)
            .with_context(|| format!("a bpffs cannot be mounted at {BPF_DIR}"))?;
    }
    for name in names_in(NETNS_DIR)?.iter().filter(|name| is_dead(name)) {
        end_processes(name)?;
        if let Err(why) = netns::ip(&["netns", "del", name])
            && Path::new(NETNS_DIR).join(name).exists()
        {
            bail!("{why:#}");
        }
    }
    for folder in [BPF_DIR, RUN_DIR] {
        for name in names_in(folder)?.iter().filter(|name| is_dead(name)) {
            remove(&Path::new(folder).join(name));
        }
    }
    Ok(())
}

/// Removes a folder that may be gone already, or that another run is removing at this moment.
pub fn remove(folder: &Path) {
    drop(fs::remove_dir_all(folder));
}

/// Processes whose network is the namespace at `path`.
///
/// # Errors
/// When the namespace is gone.
pub fn processes_in(path: &Path) -> Result<Vec<i32>> {
    let inode = fs::metadata(path).with_context(|| path.display().to_string())?.ino();
    let mut found = Vec::new();
    for name in names_in("/proc")? {
        let Ok(pid) = name.parse::<i32>() else { continue };
        let here = PathBuf::from(format!("/proc/{pid}/ns/net"));
        if fs::metadata(here).is_ok_and(|meta| meta.ino() == inode) {
            found.push(pid);
        }
    }
    Ok(found)
}

fn end_processes(namespace: &str) -> Result<()> {
    let Ok(pids) = processes_in(&Path::new(NETNS_DIR).join(namespace)) else { return Ok(()) };
    for pid in pids {
        let pid = rustix::process::Pid::from_raw(pid).context("a process has a number")?;
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    Ok(())
}

/// Ends all processes of a program that are in a namespace.
pub fn end_program(namespace: &str, program: &Path) {
    let Ok(program) = program.canonicalize() else { return };
    for pid in processes_in(&Path::new(NETNS_DIR).join(namespace)).unwrap_or_default() {
        let runs = fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program);
        if let (true, Some(pid)) = (runs, rustix::process::Pid::from_raw(pid)) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

/// Whether a name is `pn-<process>-…` of a process that no longer lives.
fn is_dead(name: &str) -> bool {
    let mut parts = name.split('-');
    let (Some("pn"), Some(pid)) = (parts.next(), parts.next()) else { return false };
    let Ok(pid) = pid.parse::<u32>() else { return false };
    // One that has ended and is not yet waited for is dead too.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    stat.is_empty() || state.starts_with(['Z', 'X'])
}

fn names_in(folder: impl AsRef<Path>) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder.as_ref()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context(folder.as_ref().display().to_string()),
    };
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}
