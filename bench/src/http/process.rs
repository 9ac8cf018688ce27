//! A program that runs on one CPU, and what it uses.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proxy_tests::netns::Namespace;
use proxy_tests::wait::until;
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

/// The proxy's.
pub(super) const PROXY_CPU: usize = 0;
/// The backend's and the generator's.
pub(super) const LOAD_CPU: usize = 1;

/// This thread, and what it starts from now on, runs on this CPU alone.
pub(super) fn pin(cpu: usize) -> Result<()> {
    pin_to(&[cpu])
}

fn pin_to(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    sched_setaffinity(None, &set).with_context(|| format!("CPUs {cpus:?} cannot be had: the bench needs two"))
}

/// This thread, and what it starts from now on, runs on both CPUs.
pub(super) fn everywhere() -> Result<()> {
    pin_to(&[PROXY_CPU, LOAD_CPU])
}

/// This process, and what it starts from now on, may have as many files as it can get: ten thousand connections want
/// one each here, and one or two in a proxy.
pub(super) fn allow_files() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("the limit of open files")
}

/// A running program. Ended when dropped, with all it has started.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
}

/// Hundredths of a second: `/proc/PID/stat` counts in these (USER_HZ).
const TICKS: f64 = 100.0;

impl Running {
    /// Starts a program on a CPU, in a namespace, its output in a file.
    pub(super) fn start(namespace: &Namespace, cpu: usize, command: Command, log: &Path) -> Result<Self> {
        Self::start_on(namespace, &[cpu], command, log)
    }

    /// Starts a program that may use both CPUs.
    pub(super) fn start_anywhere(namespace: &Namespace, command: Command, log: &Path) -> Result<Self> {
        Self::start_on(namespace, &[PROXY_CPU, LOAD_CPU], command, log)
    }

    fn start_on(namespace: &Namespace, cpus: &[usize], mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        pin_to(cpus)?;
        let child = namespace.enter(|| command.spawn());
        pin(LOAD_CPU)?;
        let child = child?.with_context(|| format!("{:?} cannot be run", command.get_program()))?;
        Ok(Self { child })
    }

    /// Waits until it listens at these ports, and answers as it should when asked.
    pub(super) fn wait(
        &mut self,
        namespace: &Namespace,
        ports: &[u16],
        log: &Path,
        ask: impl Fn() -> Result<()>,
    ) -> Result<()> {
        let ended = until("a peer listens", Duration::from_secs(20), || {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            for port in ports {
                namespace.enter(|| connect(*port))??;
            }
            // Some listen before they know their routes.
            namespace.enter(&ask)??;
            Ok(None)
        });
        let said = || fs::read_to_string(log).unwrap_or_default();
        match ended.with_context(said)? {
            None => Ok(()),
            Some(status) => bail!("it has ended ({status}): {}", said()),
        }
    }

    /// Seconds of CPU so far, of all its processes.
    pub(super) fn cpu_seconds(&self) -> Result<f64> {
        let mut ticks = 0.0;
        for pid in self.processes()? {
            // `utime` and `stime` are the 14th and 15th; the 2nd is a name in parentheses, with blanks maybe.
            let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
            let rest = stat.rsplit(')').next().unwrap_or_default();
            for field in rest.split_whitespace().skip(11).take(2) {
                ticks += field.parse::<f64>()?;
            }
        }
        Ok(ticks / TICKS)
    }

    /// Seconds of CPU so far, of all its threads that there are, to the nanosecond.
    pub(super) fn cpu_exactly(&self) -> Result<f64> {
        let mut seconds = 0.0;
        for pid in self.processes()? {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let path = task?.path().join("schedstat");
                let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                seconds += text.split_whitespace().next().context("no number")?.parse::<f64>()? / 1e9;
            }
        }
        Ok(seconds)
    }

    /// Seconds of CPU so far, of its first thread, to the nanosecond.
    pub(super) fn cpu_of_main(&self) -> Result<f64> {
        let pid = self.child.id();
        let path = format!("/proc/{pid}/task/{pid}/schedstat");
        let text = fs::read_to_string(&path).context(path)?;
        Ok(text.split_whitespace().next().context("no number")?.parse::<f64>()? / 1e9)
    }

    /// Proportional set size of all its processes, in KiB.
    pub(super) fn pss_kib(&self) -> Result<f64> {
        let mut kib = 0.0;
        for pid in self.processes()? {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
            let line = text.lines().find(|line| line.starts_with("Pss:")).context("no Pss")?;
            kib += line.split_whitespace().nth(1).context("no number")?.parse::<f64>()?;
        }
        Ok(kib)
    }

    /// It and all its descendants.
    fn processes(&self) -> Result<Vec<u32>> {
        let mut found = vec![self.child.id()];
        let mut at = 0;
        while let Some(pid) = found.get(at) {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                // A thread may end while one looks.
                let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
                found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
            at += 1;
        }
        Ok(found)
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(5))
}

impl Drop for Running {
    fn drop(&mut self) {
        for pid in self.processes().unwrap_or_default().into_iter().rev() {
            if let Some(pid) = Pid::from_raw(pid as i32) {
                // It may have ended by itself.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        drop(self.child.wait());
    }
}
