//! The thread that gets certificates and keeps them.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, watch};

use super::clock::Clock;
use super::handle::{Ask, AskError, Board, Handle};
use crate::config::Config;
use crate::tls::{Challenges, Store, Wanted};

/// Questions that wait.
const MOST_ASKS: usize = 64;

/// Gets certificates and keeps them.
#[derive(Debug)]
pub struct Manager {
    settings: Settings,
    asks: mpsc::Receiver<Ask>,
}

/// What it works with.
#[derive(Debug)]
pub struct Settings {
    /// Where certificates go.
    pub store: Arc<Store>,
    /// Where proofs are shown.
    pub challenges: Arc<Challenges>,
    /// Names that handshakes ask for.
    pub on_demand: mpsc::Receiver<Wanted>,
    /// What to manage. When its sender is dropped, the manager ends.
    pub config: watch::Receiver<Arc<Config>>,
    /// What time it is.
    pub clock: Clock,
}

impl Manager {
    /// Starts the thread. It ends when the sender of the configuration is dropped.
    pub fn start(settings: Settings) -> io::Result<(Handle, JoinHandle<()>)> {
        let (asking, asks) = mpsc::channel(MOST_ASKS);
        let handle = Handle::new(Arc::new(Board::default()), asking);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let manager = Self { settings, asks };
        let thread =
            std::thread::Builder::new().name("acme".into()).spawn(move || runtime.block_on(manager.run()))?;
        Ok((handle, thread))
    }

    async fn run(mut self) {
        loop {
            tokio::select! {
                changed = self.settings.config.changed() => if changed.is_err() { return },
                Some(ask) = self.asks.recv() => refuse(ask),
            }
        }
    }
}

fn refuse(ask: Ask) {
    // Who asked may be gone.
    match ask {
        Ask::Renew(name, answer) => {
            let _ = answer.send(Err(AskError::Unknown(name)));
        }
        Ask::Revoke(name, reason, answer) => {
            tracing::debug!("{name} is not revoked: {reason:?}");
            let _ = answer.send(Err(AskError::Unknown(name)));
        }
        Ask::Export(name, answer) => {
            let _ = answer.send(Err(AskError::Unknown(name)));
        }
    }
}
