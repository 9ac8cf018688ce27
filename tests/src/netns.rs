//! Network namespaces: made by `ip netns`, entered by a thread with `setns`. Only the network changes: the mount
//! namespace stays, so that the BPF file system is seen from everywhere.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where `ip netns` keeps namespaces.
pub const NETNS_DIR: &str = "/run/netns";

/// A network namespace; removed when dropped.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    fd: OwnedFd,
}

/// Brings the thread back to the namespace it came from, however a closure ends.
struct Back(OwnedFd);

impl Drop for Back {
    fn drop(&mut self) {
        // Cannot fail: we hold the namespace and came from it. If it did, going on in a wrong one would be worse.
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("a thread returns to the namespace it came from");
    }
}

impl Namespace {
    /// Makes a namespace, its loopback up.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn create(name: &str) -> Result<Self> {
        ip(&["netns", "add", name])?;
        let path = format!("{NETNS_DIR}/{name}");
        let fd = File::open(&path).with_context(|| format!("{path} cannot be opened"))?.into();
        let namespace = Self { name: name.to_owned(), fd };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, as `ip netns` knows it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `action` with this thread inside. Sockets made and processes started there stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter<T>(&self, action: impl FnOnce() -> T) -> Result<T> {
        let here = File::open("/proc/thread-self/ns/net").context("/proc/thread-self/ns/net")?;
        let back = Back(here.into());
        move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("namespace {} cannot be entered", self.name))?;
        let value = action();
        drop(back);
        Ok(value)
    }

    /// `ip -n NAME …`, the words separated by blanks. Gives what it printed.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, words: &str) -> Result<String> {
        let mut all = vec!["-n", &self.name];
        all.extend(words.split_whitespace());
        ip(&all)
    }

    /// Many `ip` commands at once, one a line.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip_batch(&self, lines: &str) -> Result<()> {
        batch(&["-n", &self.name], lines)
    }

    /// Sets a sysctl below `/proc/sys/net`.
    ///
    /// # Errors
    /// When the kernel refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{key}");
        self.enter(|| std::fs::write(&path, value))?
            .with_context(|| format!("{path} = {value} in {}", self.name))
    }

    /// The number of an interface.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn ifindex(&self, interface: &str) -> Result<u32> {
        let text = self.ip(&format!("-o link show dev {interface}"))?;
        let number = text.split(':').next().unwrap_or_default();
        number.trim().parse().with_context(|| format!("no number in: {text}"))
    }

    /// The link-layer address of an interface.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn mac(&self, interface: &str) -> Result<[u8; 6]> {
        let text = self.ip(&format!("-o link show dev {interface}"))?;
        let written = text
            .split_whitespace()
            .skip_while(|word| *word != "link/ether")
            .nth(1)
            .with_context(|| format!("no link/ether in: {text}"))?;
        let mut mac = [0; 6];
        for (byte, digits) in mac.iter_mut().zip(written.split(':')) {
            *byte = u8::from_str_radix(digits, 16)?;
        }
        Ok(mac)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // A namespace that somebody else removed is gone, which is what is wanted.
        drop(ip(&["netns", "del", &self.name]));
    }
}

/// `ip …`. Gives what it printed.
///
/// # Errors
/// What `ip` says.
pub fn ip(words: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(words).output().context("`ip` (package iproute2) cannot be run")?;
    if !output.status.success() {
        bail!("ip {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Many `ip` commands at once, one a line.
///
/// # Errors
/// What `ip` says.
pub fn batch(options: &[&str], lines: &str) -> Result<()> {
    use std::io::Write as _;
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("`ip` (package iproute2) cannot be run")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("ip -batch: {}\n{lines}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
