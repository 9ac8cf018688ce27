//! The daemon under test: started in a world's balancer, asked by its command line.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::leftovers;
use crate::runner;
use crate::wait::{SOON, until};
use crate::world::World;

/// The binary: `PROXY_NOW_BIN`, else the release or the debug build of this workspace, whichever is newer.
///
/// # Errors
/// When it is not built.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PROXY_NOW_BIN") {
        return Ok(path.into());
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("proxy-now"))
        .filter_map(|path| Some((path.metadata().and_then(|meta| meta.modified()).ok()?, path)))
        .max()
        .map(|(_, path)| path)
        .context("the daemon is not built: cargo build --release -p proxy-userspace")
}

/// How long a start may take: the kernel's verifier alone takes a second, and other tests start daemons at the same time.
const START: Duration = Duration::from_secs(60);

/// A running daemon. Killed when dropped; what it pinned goes with its world.
#[derive(Debug)]
pub struct Daemon<'w> {
    world: &'w World,
    child: Option<Child>,
    binary: PathBuf,
    starts: u32,
    environment: Vec<(String, String)>,
    /// What is done to the file system it sees, in the words of a shell.
    mounts: Vec<String>,
}

impl<'w> Daemon<'w> {
    /// Starts a daemon with this configuration and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, or does not get ready in time: with what it said.
    pub fn start(world: &'w World, config: &str) -> Result<Self> {
        let mut daemon = Self::prepare(world, config)?;
        daemon.run()?;
        Ok(daemon)
    }

    /// A daemon with this configuration, not started yet.
    ///
    /// # Errors
    /// When it is not built.
    pub fn prepare(world: &'w World, config: &str) -> Result<Self> {
        let daemon = Self {
            world,
            child: None,
            binary: binary()?,
            starts: 0,
            environment: Vec::new(),
            mounts: Vec::new(),
        };
        daemon.write_config(config)?;
        Ok(daemon)
    }

    /// From the next start on, it has this in its environment.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// From the next start on, it asks this name server, and no other.
    ///
    /// # Errors
    /// When the file that says so cannot be written.
    pub fn set_name_server(&mut self, address: IpAddr) -> Result<()> {
        let path = self.world.folder().join("resolv.conf");
        fs::write(&path, format!("nameserver {address}\noptions ndots:0 attempts:1 timeout:1\n"))?;
        self.mounts.push(format!("mount --bind '{}' /etc/resolv.conf", path.display()));
        Ok(())
    }

    /// From the next start on, it finds the system's log at this socket.
    pub fn set_syslog(&mut self, socket: &Path) {
        self.mounts.extend([
            "mount -t tmpfs none /dev".to_owned(),
            "mknod -m 666 /dev/null c 1 3".to_owned(),
            "mknod -m 444 /dev/urandom c 1 9".to_owned(),
            format!("ln -s '{}' /dev/log", socket.display()),
        ]);
    }

    fn start_command(&self) -> Command {
        if self.mounts.is_empty() {
            return Command::new(&self.binary);
        }
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c"]);
        command.arg(format!("{} && exec \"$0\" \"$@\"", self.mounts.join(" && "))).arg(&self.binary);
        command
    }

    /// Writes the configuration, and does nothing else: a running daemon may notice.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_config(&self, config: &str) -> Result<()> {
        let path = self.config_path();
        // As an editor does: a daemon that watches the file never sees half of it.
        let fresh = path.with_extension("toml.new");
        fs::write(&fresh, config).with_context(|| fresh.display().to_string())?;
        fs::rename(&fresh, &path).with_context(|| path.display().to_string())
    }

    /// The configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.world.folder().join("proxy.toml")
    }

    /// The folder of the present layout's pins: `<pin_dir>/v<ABI_VERSION>`.
    ///
    /// # Errors
    /// When nothing is pinned.
    pub fn pins(&self) -> Result<PathBuf> {
        let mut layouts: Vec<PathBuf> = fs::read_dir(self.world.pin_dir())
            .with_context(|| self.world.pin_dir().display().to_string())?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        layouts.sort();
        layouts.pop().context("nothing is pinned")
    }

    /// Starts the daemon (again) and waits until it is ready.
    ///
    /// # Errors
    /// When it ends instead, or does not get ready in time: with what it said.
    pub fn run(&mut self) -> Result<()> {
        self.begin()?;
        self.wait_ready()
    }

    /// Starts the daemon (again), without waiting.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub fn begin(&mut self) -> Result<()> {
        ensure!(self.child.is_none(), "the daemon runs already");
        self.starts += 1;
        let log = File::create(self.log_path()).context("the daemon's log")?;
        let mut command = self.start_command();
        command.arg("run").arg("--config").arg(self.config_path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).env("NO_COLOR", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let child = self.world.balancer.enter(|| command.spawn())?;
        self.child = Some(child.with_context(|| format!("{} cannot be run", self.binary.display()))?);
        Ok(())
    }

    /// Waits for the line that says `ready`.
    ///
    /// # Errors
    /// When the daemon ends instead, or in time is not ready.
    pub fn wait_ready(&mut self) -> Result<()> {
        let log = self.log_path();
        let child = self.child.as_mut().context("the daemon does not run")?;
        let ended = until("the daemon is ready", START, || {
            if fs::read_to_string(&log)?.contains("ready") {
                return Ok(None);
            }
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            bail!("its log has {} bytes", fs::metadata(&log)?.len())
        });
        match ended.with_context(|| self.log())? {
            None => Ok(()),
            Some(status) => {
                self.child = None;
                bail!("the daemon ended ({status}) instead of getting ready:\n{}", self.log())
            }
        }
    }

    /// From the next start on, another binary.
    pub fn set_binary(&mut self, binary: PathBuf) {
        self.binary = binary;
    }

    fn log_path(&self) -> PathBuf {
        self.world.folder().join(format!("daemon-{}.log", self.starts))
    }

    /// What the present daemon has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until the daemon has said this.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn wait_log(&self, words: &str) -> Result<()> {
        until(&format!("the daemon says {words:?}"), SOON, || {
            ensure!(self.log().contains(words), "{}", self.log());
            Ok(())
        })
    }

    /// The process's number.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the daemon does not run")?.id())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid()? as i32).context("a process has a number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// `kill -9`. What is in the kernel stays.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.wait_end().map(drop)
    }

    /// SIGTERM, and the exit code. What is in the kernel stays.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn stop(&mut self) -> Result<i32> {
        self.signal(Signal::TERM)?;
        self.wait_end()
    }

    /// Waits until it ends by itself: the exit code.
    ///
    /// # Errors
    /// When it does not run, or does not end.
    pub fn wait_end(&mut self) -> Result<i32> {
        let mut child = self.child.take().context("the daemon does not run")?;
        let status = until("the daemon ends", SOON, || child.try_wait()?.context("it runs"));
        let status = status.inspect_err(|_| drop(child.kill()))?;
        Ok(status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)))
    }

    /// A command of the command line, in the balancer, told which daemon it is about.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub fn command(&self, words: &[&str]) -> Result<Output> {
        let mut command = self.of_command_line(words);
        self.world.balancer.enter(|| command.output())?.context("the command line cannot be run")
    }

    /// Begins a command, whose output is kept.
    ///
    /// # Errors
    /// When the binary cannot be run.
    pub fn spawn(&self, words: &[&str]) -> Result<Child> {
        let mut command = self.of_command_line(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.world.balancer.enter(|| command.spawn())?.context("the command line cannot be run")
    }

    fn of_command_line(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(words)
            .env("PROXY_NOW_SOCKET", self.world.folder().join("admin.sock"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null());
        command
    }

    /// A command that must succeed: what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn cli(&self, words: &[&str]) -> Result<String> {
        let output = self.command(words)?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "proxy-now {} ({}):\n{out}{err}", words.join(" "), output.status);
        Ok(out.into_owned())
    }

    /// A command with `--json` that must succeed: what it printed.
    ///
    /// # Errors
    /// When it fails, or what it printed is not JSON.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let mut all = words.to_vec();
        all.push("--json");
        let text = self.cli(&all)?;
        serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
    }

    /// Proportional set size, in KiB: the program's own pages too, of which a process has the less the more others run it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pss_kib(&self) -> Result<u64> {
        self.memory("Pss:")
    }

    /// What it has written to, and no file has, in KiB. Whoever else begins or ends meanwhile does not change it.
    ///
    /// # Errors
    /// When it does not run.
    pub fn anonymous_kib(&self) -> Result<u64> {
        self.memory("Anonymous:")
    }

    fn memory(&self, what: &str) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid()?))?;
        let line = text.lines().find_map(|line| line.strip_prefix(what)).context("not in smaps_rollup")?;
        Ok(line.split_whitespace().next().context("no number")?.parse()?)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
        // Those that it was upgraded to.
        leftovers::end_program(self.world.balancer.name(), &self.binary);
        runner::evidence(&format!("log of the daemon in {}:\n{}", self.world.name, self.log()));
    }
}
