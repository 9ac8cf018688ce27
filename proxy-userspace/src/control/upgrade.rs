//! Upgrading: the program on disk is started, everything is handed over to it, and this daemon serves those who are in
//! to their end. If the new one does not come up, this one goes on as if nothing had been.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use tokio::sync::oneshot;

use crate::admin::api::{Refusal, RefusalKind, Upgrade};
use crate::net::pass::Pass;

use super::drain::keys;
use super::handover::{Estate, PATIENCE, Remembered, Reply, VARIABLE};
use super::signal;
use super::supervisor::Supervisor;

/// Why the new daemon does not serve.
#[derive(Debug, thiserror::Error)]
enum UpgradeError {
    /// There is no program any more, or it cannot be run.
    #[error("cannot start {program:?}: {error}")]
    Start { program: OsString, error: io::Error },
    /// It could not be talked to.
    #[error("could not hand over: {0}")]
    Pass(#[from] io::Error),
    /// It said no.
    #[error("the new daemon says: {0}")]
    Refused(String),
}

impl Supervisor {
    /// Hands over to the program on disk.
    pub(super) async fn upgrade(&mut self, why: &str) -> Result<Upgrade, Refusal> {
        if self.leaving.is_some() {
            return Err(Refusal::new(RefusalKind::Failed, "this daemon is about to end"));
        }
        tracing::info!("upgrading ({why})");
        // The kernel part is one daemon's at a time. It goes on by itself meanwhile.
        drop(self.kernel.take());
        self.admin.pause();
        let result = match self.estate() {
            Ok(estate) => self.hand_over(estate).await,
            Err(error) => Err(error.into()),
        };
        match result {
            Ok(upgrade) => {
                tracing::info!(pid = upgrade.pid, version = upgrade.version, "the new daemon serves");
                signal::main_process(upgrade.pid);
                self.admin.release();
                self.bans.hand_over();
                (self.handed_over, self.applied) = (true, None);
                let _ = self.leave("upgrade");
                Ok(upgrade)
            }
            Err(error) => {
                tracing::error!("not upgraded, this daemon goes on: {error}");
                self.take_back();
                Err(Refusal::new(RefusalKind::Failed, format!("not upgraded: {error}")))
            }
        }
    }

    /// What is to be handed over.
    fn estate(&self) -> io::Result<Estate> {
        let sockets = self.web.sockets().iter().map(|(target, sockets)| {
            let sockets = sockets.iter().map(|socket| socket.try_clone()).collect::<io::Result<Vec<_>>>()?;
            Ok((target.clone(), sockets))
        });
        let remembered = keys(&self.config).map(|key| Remembered {
            down: !self.findings.serves(&key),
            drained_by_hand: self.drained.has(&key),
            pool: key.pool.to_string(),
            backend: key.backend.to_string(),
        });
        Ok(Estate {
            sockets: sockets.collect::<io::Result<_>>()?,
            admin: Some((self.admin.path(), self.admin.socket()?)),
            backends: remembered.filter(|known| known.down || known.drained_by_hand).collect(),
        })
    }

    /// Starts the program, and waits until it serves or says why not.
    async fn hand_over(&self, estate: Estate) -> Result<Upgrade, UpgradeError> {
        let (here, there) = Pass::pair()?;
        here.set_patience(PATIENCE)?;
        let mut child = start_anew(there.into_inner())?;
        let pid = child.id();
        let (done, mut doing) = oneshot::channel();
        // It waits for minutes, if need be: not on this thread, which the service manager watches.
        std::thread::Builder::new().name("handover".into()).spawn(move || {
            let result = estate.send(&here).and_then(|()| Reply::receive(&here));
            let serves = matches!(result, Ok(Reply::Ready { .. }));
            let _ = done.send(result);
            if !serves {
                let _ = child.kill();
            }
            // So that it leaves no corpse, should it end before this process.
            let _ = child.wait();
        })?;
        let mut alive = tokio::time::interval(std::time::Duration::from_secs(1));
        let reply = loop {
            tokio::select! {
                reply = &mut doing => break reply.map_err(|_| io::Error::other("the handover broke off"))??,
                _ = alive.tick() => signal::alive(),
            }
        };
        match reply {
            Reply::Ready { version } => Ok(Upgrade { pid, version }),
            Reply::Failed { error } => Err(UpgradeError::Refused(error)),
        }
    }

    /// After a failed handover: the kernel part and the admin socket are this daemon's again.
    fn take_back(&mut self) {
        {
            let _io = self.io.enter();
            if let Err(error) = self.admin.resume(self.calls.clone()) {
                tracing::error!("the admin socket is lost: {error}");
            }
        }
        self.take_kernel_back();
    }

    /// After a failed handover: what was given away is tried to be taken back until it is.
    pub(super) fn take_kernel_back(&mut self) {
        let (None, Some(desired)) = (&self.kernel, self.applied.clone()) else { return };
        if let Err(error) = self.replace_kernel(desired) {
            tracing::error!("the kernel part goes on by itself, and is not taken back yet: {error}");
        }
    }
}

/// The program that this process was started from, or what stands in its place by now, with the same arguments.
fn start_anew(handover: OwnedFd) -> Result<Child, UpgradeError> {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_else(|| "proxy-now".into());
    let mut command = Command::new(&program);
    command.args(arguments).env(VARIABLE, "1").stdin(Stdio::from(handover));
    command.spawn().map_err(|error| UpgradeError::Start { program, error })
}
