//! How others ask the manager: from any thread, while it works.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::on_demand::{Counts, Gate};
use super::status::{CertificateStatus, Metrics};
use super::storage::Generation;
use crate::tls::{Certificate, Denied};

/// What the manager has said last.
#[derive(Debug, Default)]
pub(super) struct Board {
    pub(super) list: ArcSwap<Vec<CertificateStatus>>,
    pub(super) metrics: ArcSwap<Metrics>,
}

/// What the manager is asked.
#[derive(Debug)]
pub(super) enum Ask {
    /// Get another certificate now.
    Renew(Box<str>, oneshot::Sender<Result<(), AskError>>),
    /// Have its certificate revoked, and get another one.
    Revoke(Box<str>, Reason, oneshot::Sender<Result<(), AskError>>),
    /// Show its certificate and key.
    Export(Box<str>, oneshot::Sender<Result<Generation, AskError>>),
    /// A handshake wants a certificate for a name that is permitted.
    Demand(Box<str>, oneshot::Sender<Result<Arc<Certificate>, Denied>>),
}

/// Asks the manager. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    board: Arc<Board>,
    asks: mpsc::Sender<Ask>,
    gate: Arc<Gate>,
}

/// Why a certificate is revoked (RFC 5280 §5.3.1): what subscribers may give.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reason {
    /// None of the others.
    #[default]
    Unspecified,
    /// Somebody else has the key.
    KeyCompromise,
    /// Another certificate took its place.
    Superseded,
    /// The name is no longer served.
    CessationOfOperation,
}

/// Why the manager did not do as it was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AskError {
    /// It is none of ours.
    #[error("no certificate is managed for {0}: see `proxy-now certs list` for the names")]
    Unknown(Box<str>),
    /// There is none yet.
    #[error("there is no certificate for {0} yet")]
    None(Box<str>),
    /// It was tried.
    #[error("{name}: {cause}")]
    Failed {
        /// Which.
        name: Box<str>,
        /// Why.
        cause: Box<str>,
    },
    /// Many ask at the same time.
    #[error("too much is being asked for; try again")]
    Busy,
    /// The daemon is about to end.
    #[error("the daemon is about to end")]
    Gone,
}

impl Handle {
    pub(super) fn new(board: Arc<Board>, asks: mpsc::Sender<Ask>, gate: Arc<Gate>) -> Self {
        Self { board, asks, gate }
    }

    /// All names that are managed, and how they are. In their order.
    pub fn list(&self) -> Vec<CertificateStatus> {
        Vec::clone(&self.board.list.load())
    }

    /// What is counted.
    pub fn metrics(&self) -> Metrics {
        Metrics::clone(&self.board.metrics.load())
    }

    /// What became of names that handshakes asked for.
    pub fn on_demand(&self) -> Counts {
        self.gate.counts()
    }

    /// Gets another certificate for a name now, whatever its age. Ends when it is served, or cannot be had.
    pub async fn renew(&self, name: &str) -> Result<(), AskError> {
        self.ask(|answer| Ask::Renew(name.into(), answer)).await
    }

    /// Has a name's certificate revoked by its issuer, and gets another one.
    pub async fn revoke(&self, name: &str, reason: Reason) -> Result<(), AskError> {
        self.ask(|answer| Ask::Revoke(name.into(), reason, answer)).await
    }

    /// The certificate and key of a name.
    pub async fn export(&self, name: &str) -> Result<Generation, AskError> {
        self.ask(|answer| Ask::Export(name.into(), answer)).await
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, AskError>>) -> Ask,
    ) -> Result<T, AskError> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(ask(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AskError::Busy,
            mpsc::error::TrySendError::Closed(_) => AskError::Gone,
        })?;
        answered.await.unwrap_or(Err(AskError::Gone))
    }
}
