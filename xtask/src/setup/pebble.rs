//! Pebble, an ACME server for tests, the newest that Debian packs: taken out of its package, not installed. A package of
//! a later release runs on an older one too, and nothing of the machine changes.

use super::debian;
use crate::{process, say, workspace};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Releases that are asked, the newest first. Later versions know renewal information and profiles.
const RELEASES: &[&str] = &["sid", "trixie"];
/// Who signs all of them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const PACKAGE: &str = "pebble";

/// Fetches it, or does nothing if it is there. Where it cannot be had, the facts that want it are skipped, and counted.
pub(super) fn fetch() -> Result<()> {
    let folder = workspace::target().join("pebble");
    let done = folder.join("installed");
    if done.exists() {
        return Ok(());
    }
    if !debian::is_here() {
        say::step(
            "pebble, an ACME server, is fetched on Debian only: what is tested with it will be skipped",
        );
        return Ok(());
    }
    say::step(&format!(
        "fetching pebble, an ACME server, to {}: the tests get certificates of it",
        folder.display()
    ));
    let later = RELEASES.iter().map(|release| fetch_of(Some(release), &folder));
    // The machine's own release last.
    let mut tries = later.chain(std::iter::once_with(|| fetch_of(None, &folder)));
    let version = tries.find_map(|tried| tried.map_err(|why| say::step(&format!("not so: {why:#}"))).ok());
    match version {
        // Written last: what was cut short is begun again.
        Some(version) => fs::write(&done, version).with_context(|| done.display().to_string()),
        None => {
            say::step("pebble cannot be had: what is tested with it will be skipped");
            Ok(())
        }
    }
}

/// Fetches that of a release, from where the machine's own packages come from; gives its version.
fn fetch_of(release: Option<&str>, folder: &Path) -> Result<String> {
    // What a try before this one has left.
    drop(fs::remove_dir_all(folder));
    let downloads = folder.join("downloads");
    fs::create_dir_all(&downloads).with_context(|| downloads.display().to_string())?;
    let apt = |word: &[&str], config: Option<&Path>| {
        let mut command = Command::new("apt-get");
        command.args(["-qq"]).args(word).current_dir(&downloads);
        if let Some(config) = config {
            command.env("APT_CONFIG", config);
        }
        process::run(&mut command)
    };
    let private = folder.join("apt");
    let config = release.map(|release| private_root(&private, release)).transpose()?;
    if let Some(config) = &config {
        apt(&["update"], Some(config))?;
    }
    apt(&["download", PACKAGE], config.as_deref())?;
    let package = fs::read_dir(&downloads)?.next().context("no package came")??.path();
    process::run(Command::new("dpkg").arg("-x").arg(&package).arg(folder.join("root")))?;
    // Tens of megabytes that nobody wants again.
    drop(fs::remove_dir_all(&private));
    let said = process::ask(folder.join("root/usr/bin/pebble"), &["-version"]);
    said.context("the program does not run on this machine")?;
    Ok(package.file_stem().unwrap_or_default().to_string_lossy().into_owned())
}

/// Lists and a cache of their own for the packages of a release; gives the file that makes APT use them.
fn private_root(folder: &Path, release: &str) -> Result<std::path::PathBuf> {
    for name in ["lists/partial", "cache/archives/partial"] {
        let name = folder.join(name);
        fs::create_dir_all(&name).with_context(|| name.display().to_string())?;
    }
    let sources = format!("deb [signed-by={KEYRING} target=Packages] {} {release} main\n", own_repository()?);
    let root = folder.display();
    let config = format!(
        "Dir::Etc::sourcelist \"{root}/sources.list\";\nDir::Etc::sourceparts \"-\";\n\
         Dir::State::lists \"{root}/lists\";\nDir::State::status \"{root}/status\";\n\
         Dir::Cache \"{root}/cache\";\nAcquire::Languages \"none\";\nAPT::Sandbox::User \"root\";\n"
    );
    let path = folder.join("apt.conf");
    for (path, text) in [
        (folder.join("sources.list"), sources),
        (folder.join("status"), String::new()),
        (path.clone(), config),
    ] {
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(path)
}

/// Where the packages of the machine's own release come from.
fn own_repository() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let own = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or_default();
    let format = "$(REPO_URI) $(CODENAME) $(COMPONENT)";
    let known = process::ask("apt-get", &["indextargets", "--format", format, "Created-By: Packages"])
        .unwrap_or_default();
    let wanted = |line: &&str| line.ends_with(&format!(" {own} main"));
    match known.lines().find(wanted).and_then(|line| line.split(' ').next()) {
        Some(repository) => Ok(repository.to_owned()),
        None => bail!("APT knows no repository of {own:?}"),
    }
}
