//! Other people's programs: servers in a namespace, and clients that run to their end.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::netns::Namespace;
use crate::runner;
use crate::wait::{SOON, until};

/// A program that runs; ended when dropped, with what it has started.
#[derive(Debug)]
pub struct Program {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Program {
    /// Starts a program in a namespace; what it says goes to `folder/name.log`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn start(namespace: &Namespace, folder: &Path, name: &str, mut command: Command) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        // A group of its own: workers end with their master.
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = namespace.enter(|| command.spawn())?;
        let child = child.with_context(|| format!("{:?} cannot be run", command.get_program()))?;
        Ok(Self { child, name: name.to_owned(), log })
    }

    /// Waits until somebody listens at `address`.
    ///
    /// # Errors
    /// When nobody does in time, or the program has ended: with what it said.
    pub fn wait_for(&mut self, namespace: &Namespace, address: SocketAddr) -> Result<()> {
        let connect = || namespace.enter(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)));
        self.wait(|| {
            drop(connect()??);
            Ok(())
        })
    }

    /// Waits until a file is there: a Unix socket, or what the program writes when it is ready.
    ///
    /// # Errors
    /// When it is not there in time, or the program has ended: with what it said.
    pub fn wait_for_file(&mut self, path: &Path) -> Result<()> {
        self.wait(|| {
            ensure!(path.exists(), "{} is not there", path.display());
            Ok(())
        })
    }

    fn wait(&mut self, mut fact: impl FnMut() -> Result<()>) -> Result<()> {
        let what = format!("{} is there", self.name);
        let ended = until(&what, SOON, || match self.child.try_wait()? {
            Some(status) => Ok(Some(status)),
            None => fact().map(|()| None),
        });
        match ended.with_context(|| self.said())? {
            None => Ok(()),
            Some(status) => bail!("{} has ended ({status}):\n{}", self.name, self.said()),
        }
    }

    /// What it has said.
    #[must_use]
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id() as i32).context("a process has a number")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Waits until it ends, at most so long: whether it succeeded.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn wait_end(&mut self, limit: Duration) -> Result<bool> {
        let status =
            until(&format!("{} ends", self.name), limit, || self.child.try_wait()?.context("it runs"));
        Ok(status.with_context(|| self.said())?.success())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id() as i32) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        drop(self.child.wait());
        let said = self.said();
        let from = said.len().saturating_sub(4000);
        runner::evidence(&format!("{}:\n{}", self.name, said.get(from..).unwrap_or(&said)));
    }
}

/// Runs a program in a namespace to its end.
///
/// # Errors
/// When it cannot be run.
pub fn run(namespace: &Namespace, command: &mut Command) -> Result<Output> {
    let output = namespace.enter(|| command.stdin(Stdio::null()).output())?;
    output.with_context(|| format!("{:?} cannot be run", command.get_program()))
}

/// Runs a program that must succeed: what it printed.
///
/// # Errors
/// When it fails, with what it said.
pub fn succeed(namespace: &Namespace, command: &mut Command) -> Result<String> {
    let output = run(namespace, command)?;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{:?} ({}):\n{out}{err}", command.get_program(), output.status);
    Ok(out.into_owned())
}

/// A command by its words.
#[must_use]
pub fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    // Debian's path for people leaves out the folders where servers are.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// `python3`, with the packages that `cargo xtask setup` installs.
///
/// # Errors
/// A fact cannot be shown without them.
pub fn python() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let python = here.join("..").join(target).join("python/bin/python3");
    if python.exists() {
        return Ok(python);
    }
    Err(runner::skipped("the Python packages of the tests are not there: cargo xtask setup"))
}

/// A script of `tests/`, with its words.
///
/// # Errors
/// A fact cannot be shown without Python.
pub fn script(path: &str, words: &[&str]) -> Result<Command> {
    let mut command = Command::new(python()?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).args(words);
    command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    Ok(command)
}
