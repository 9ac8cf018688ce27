//! Storage that fails.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::pebble::Settings;
use super::stand::Stand;

pub(crate) const FACTS: &[Fact] = facts![
    where_the_storage_is_full_the_new_certificate_is_served_from_memory,
    where_the_storage_is_read_only_the_new_certificate_is_served_from_memory,
];

const HOST: &str = "app.example.com";

/// A file system of its own, in memory. Gone when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Result<Self> {
        fs::create_dir_all(at)?;
        mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(c"size=256k,mode=700"))
            .with_context(|| format!("a file system at {}", at.display()))?;
        Ok(Self(at.to_owned()))
    }

    /// Leaves no room.
    fn fill(&self) -> Result<()> {
        use std::io::Write as _;
        let mut file = fs::File::create(self.0.join("other"))?;
        while file.write(&[0; 4096]).is_ok() {}
        Ok(())
    }

    fn make_read_only(&self) -> Result<()> {
        Ok(mount_remount(&self.0, MountFlags::RDONLY, c"")?)
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // A daemon that ends holds it a moment longer.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

/// A daemon whose storage cannot be written serves its certificate all the same, and says so.
fn from_memory(spoil: fn(&Small) -> Result<()>) -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let small = Small::mount(&stand.storage())?;
    spoil(&small)?;
    let daemon = Daemon::start(&stand.world, &stand.config("", &[HOST]))?;
    stand.wait_served(HOST, &daemon)?;
    let row = Stand::listed(&daemon, HOST)?;
    ensure!(row["stored"] == false, "{row}");
    ensure!(stand.finalized() == 1, "{:?}", stand.proxy.seen());
    let log = daemon.log();
    ensure!(log.contains("in memory"), "{log}");
    Ok(())
}

fn where_the_storage_is_full_the_new_certificate_is_served_from_memory() -> Result<()> {
    from_memory(Small::fill)
}

fn where_the_storage_is_read_only_the_new_certificate_is_served_from_memory() -> Result<()> {
    from_memory(Small::make_read_only)
}
