//! What is answered to those who ask about certificates. An order may take minutes: whoever asks for one waits aside,
//! not in the supervisor's loop.

use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;

use super::certs::Certs;
use super::certs_list::list;
use crate::acme::{AskError, Handle, Reason};
use crate::admin::api::{Answer, Refusal, RefusalKind};
use crate::admin::certificates::{
    CertsAnswer, CertsRequest, Exported, Named, Renewed, Revoke, RevokeReason, Root,
};
use crate::config::Config;

/// Whoever asks is answered within this, however long the order takes: below what the admin socket allows.
const PATIENCE: Duration = Duration::from_secs(25);

/// Whoever asks: their user id, and where the answer goes.
type Asker = (Option<u32>, oneshot::Sender<Result<Answer, Refusal>>);

/// Answers, now or when it is done.
pub(super) fn answer(
    asked: CertsRequest,
    (uid, answer): Asker,
    config: &Config,
    certs: &Certs,
    io: &Runtime,
) {
    let answered = match asked {
        CertsRequest::List => Ok(CertsAnswer::List(list(certs))),
        CertsRequest::Root => root(&config.acme.storage),
        asked => match certs.manager().cloned() {
            Some(manager) => {
                io.spawn(async move {
                    // Whoever asked may have gone.
                    let _ = answer.send(ask(&manager, asked, uid).await.map(Answer::Certs));
                });
                return;
            }
            None => Err(Refusal::new(
                RefusalKind::NotFound,
                "no certificate is managed: the configuration has no https listener with hosts",
            )),
        },
    };
    let _ = answer.send(answered.map(Answer::Certs));
}

async fn ask(manager: &Handle, asked: CertsRequest, uid: Option<u32>) -> Result<CertsAnswer, Refusal> {
    match asked {
        CertsRequest::Renew(Named { name }) => {
            tracing::info!(name, uid, "a certificate's renewal is asked for");
            within(&name, manager.renew(&name)).await
        }
        CertsRequest::Revoke(Revoke { name, reason: why }) => {
            tracing::info!(name, uid, "a certificate's revocation is asked for");
            within(&name, manager.revoke(&name, reason(why))).await
        }
        CertsRequest::Export(Named { name }) => {
            tracing::info!(name, uid, "a certificate is exported with its key");
            let generation = manager.export(&name).await.map_err(|error| refusal(&error))?;
            let (chain, key) = (generation.chain_pem, generation.key_pem);
            Ok(CertsAnswer::Exported(Exported { name, chain, key }))
        }
        CertsRequest::List | CertsRequest::Root => {
            Err(Refusal::new(RefusalKind::BadRequest, "this is not about one certificate"))
        }
    }
}

async fn within(
    name: &str,
    asked: impl Future<Output = Result<(), AskError>>,
) -> Result<CertsAnswer, Refusal> {
    let done = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(result) => result.map(|()| true).map_err(|error| refusal(&error))?,
        Err(_) => false,
    };
    Ok(CertsAnswer::Renewed(Renewed { name: name.into(), done }))
}

const fn reason(reason: RevokeReason) -> Reason {
    match reason {
        RevokeReason::Unspecified => Reason::Unspecified,
        RevokeReason::KeyCompromise => Reason::KeyCompromise,
        RevokeReason::Superseded => Reason::Superseded,
        RevokeReason::CessationOfOperation => Reason::CessationOfOperation,
    }
}

fn refusal(error: &AskError) -> Refusal {
    let kind = match error {
        AskError::Unknown(_) | AskError::None(_) => RefusalKind::NotFound,
        AskError::Failed { .. } | AskError::Busy | AskError::Gone => RefusalKind::Failed,
    };
    Refusal::new(kind, error.to_string())
}

/// The internal CA's root, where it is kept for whoever shall trust it.
fn root(storage: &Path) -> Result<CertsAnswer, Refusal> {
    let path = storage.join("ca/root.pem");
    match std::fs::read_to_string(&path) {
        Ok(root) => Ok(CertsAnswer::Root(Root { root })),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Refusal::new(
            RefusalKind::NotFound,
            "there is no internal CA: it is made for the first host that needs it (tls = \"internal\")",
        )),
        Err(error) => Err(Refusal::new(RefusalKind::Failed, format!("{}: {error}", path.display()))),
    }
}
