//! A program that is called: `PROGRAM present|cleanup FQDN VALUE`.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use hickory_proto::rr::Name;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A program that is not done by then is killed, with all that it started.
const WITHIN: Duration = Duration::from_secs(120);
/// What it has said is read for so long after it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// No more of what it says when it fails is passed on.
const SAID_BYTES: u64 = 2048;

/// Calls a program.
#[derive(Debug)]
pub(in super::super) struct Exec {
    command: Vec<Box<str>>,
    within: Duration,
}

/// Why the program did not do it.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum ExecError {
    #[error("`command` of [acme.dns] is empty: it names the program")]
    Empty,
    #[error("{program} cannot be run: {error}")]
    Run { program: Box<str>, error: io::Error },
    #[error("{program} {action} {fqdn} failed ({status}){said}")]
    Failed { program: Box<str>, action: &'static str, fqdn: Name, status: ExitStatus, said: Box<str> },
    #[error("{program} {action} {fqdn} was not done within {} s, and was killed", .within.as_secs())]
    Slow { program: Box<str>, action: &'static str, fqdn: Name, within: Duration },
}

impl Exec {
    /// This program, with its first arguments.
    pub(in super::super) fn new(command: &[Box<str>]) -> Self {
        Self { command: command.to_vec(), within: WITHIN }
    }

    /// The name is absolute (it ends with a dot), as programs for other ACME clients expect.
    pub(super) async fn call(&self, action: &'static str, fqdn: &Name, value: &str) -> Result<(), ExecError> {
        let (program, first) = self.command.split_first().ok_or(ExecError::Empty)?;
        let cannot = |error| ExecError::Run { program: program.clone(), error };
        let mut command = Command::new(&**program);
        command.args(first.iter().map(|argument| &**argument)).arg(action).arg(fqdn.to_ascii()).arg(value);
        // A group of its own, so that what it started can be ended with it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = Group(command.spawn().map_err(cannot)?);
        let stderr = child.0.stderr.take();
        let done = timeout(self.within, ended(&mut child.0, said(stderr))).await;
        let Ok((status, said)) = done else {
            let (program, fqdn) = (program.clone(), fqdn.clone());
            return Err(ExecError::Slow { program, action, fqdn, within: self.within });
        };
        let status = status.map_err(cannot)?;
        if status.success() {
            return Ok(());
        }
        Err(ExecError::Failed { program: program.clone(), action, fqdn: fqdn.clone(), status, said })
    }
}

/// How it ended, and what it said until then: something that it leaves behind may hold the pipe open.
async fn ended(
    child: &mut Child,
    said: impl Future<Output = Box<str>>,
) -> (io::Result<ExitStatus>, Box<str>) {
    tokio::pin!(said);
    tokio::select! {
        status = child.wait() => (status, timeout(LAST_WORDS, said).await.unwrap_or_default()),
        said = &mut said => (child.wait().await, said),
    }
}

/// A program and what it started: ended when nobody waits for it any more.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // None: it has ended and was waited for.
        let running = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(Err(error)) = running.map(|group| kill_process_group(group, Signal::KILL)) {
            tracing::warn!("a program that is too slow cannot be ended: {error}");
        }
    }
}

/// The beginning of what a program says. The rest is read and forgotten: it must not wait for a reader.
async fn said(stderr: Option<impl AsyncRead + Unpin>) -> Box<str> {
    let Some(mut stderr) = stderr else { return "".into() };
    let mut first = Vec::new();
    let read = (&mut stderr).take(SAID_BYTES).read_to_end(&mut first).await;
    let drained = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    if let Err(error) = read.and(drained.map(|_| 0)) {
        tracing::debug!("what the program says cannot be read: {error}");
    }
    let text = String::from_utf8_lossy(&first);
    match text.trim() {
        "" => "".into(),
        text => format!(": {}", text.replace(char::is_control, " ")).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::zone::absolute;
    use super::*;

    fn shell(script: &str, within: Duration) -> Exec {
        Exec { command: ["sh", "-c", script, "program"].map(Into::into).to_vec(), within }
    }

    #[tokio::test]
    async fn the_program_is_told_what_to_do_with_which_record() {
        let seen = std::env::temp_dir().join(format!("proxy-now-exec-{}", std::process::id()));
        let exec = shell(&format!("echo \"$@\" >> {}", seen.display()), WITHIN);
        let fqdn = absolute("_acme-challenge.app.example.com").unwrap();
        exec.call("present", &fqdn, "value").await.unwrap();
        exec.call("cleanup", &fqdn, "-value").await.unwrap();
        let told = std::fs::read_to_string(&seen).unwrap();
        std::fs::remove_file(&seen).unwrap();
        assert_eq!(
            told,
            "present _acme-challenge.app.example.com. value\ncleanup _acme-challenge.app.example.com. -value\n"
        );
    }

    #[tokio::test]
    async fn a_program_that_fails_is_quoted_and_its_noise_is_bounded() {
        let fqdn = absolute("_acme-challenge.app.example.com").unwrap();
        let exec = shell("echo 'no such zone' >&2; exit 3", WITHIN);
        let error = exec.call("present", &fqdn, "value").await.unwrap_err().to_string();
        let said = "sh present _acme-challenge.app.example.com. failed (exit status: 3): no such zone";
        assert_eq!(error, said);
        let loud = shell("yes | head -c 1000000 >&2; exit 1", WITHIN);
        let error = loud.call("present", &fqdn, "value").await.unwrap_err().to_string();
        assert!(error.len() < 2200, "{}", error.len());
        let none = Exec::new(&["/nonexistent/program".into()]);
        let error = none.call("present", &fqdn, "value").await.unwrap_err().to_string();
        assert_eq!(error, "/nonexistent/program cannot be run: No such file or directory (os error 2)");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_what_it_started() {
        let pids = std::env::temp_dir().join(format!("proxy-now-exec-slow-{}", std::process::id()));
        let exec =
            shell(&format!("sleep 600 & echo $! > {}; wait", pids.display()), Duration::from_millis(500));
        let fqdn = absolute("_acme-challenge.app.example.com").unwrap();
        let error = exec.call("present", &fqdn, "value").await.unwrap_err();
        assert!(matches!(error, ExecError::Slow { .. }), "{error}");
        let child = std::fs::read_to_string(&pids).unwrap();
        std::fs::remove_file(&pids).unwrap();
        let stat = Path::new("/proc").join(child.trim()).join("stat");
        // Killed, it is gone or waits to be forgotten by whoever inherits it.
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..500 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("what the program started is still there");
    }
}
