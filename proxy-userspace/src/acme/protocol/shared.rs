//! Proofs that are open, for the other daemons that share the storage: the CA may ask any of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::shelf::Shelf;
use super::super::solve::{Solvers, name as way_name};
use super::super::solver::{Presented, Proof};
use super::super::storage::Document;
use crate::config::ChallengeType;

/// Somebody else who waits for the name's lock is given so long to find the proof.
const FIND: Duration = Duration::from_secs(1);

/// A proof that is open.
#[derive(Serialize, Deserialize)]
struct Open {
    way: Box<str>,
    name: Box<str>,
    token: Box<str>,
    key_authorization: Box<str>,
    dns_value: Box<str>,
    digest: [u8; 32],
}

/// What is locked by who waits for a name.
pub(crate) fn waiting(name: &str) -> String {
    format!("waiting {name}")
}

/// Lets the others know.
pub(crate) async fn publish(shelf: &Shelf, of: &str, way: ChallengeType, proof: &Proof) {
    if way == ChallengeType::Dns01 {
        return;
    }
    let open = Open {
        way: way_name(way).into(),
        name: proof.name.clone(),
        token: proof.token.clone(),
        key_authorization: proof.key_authorization.clone(),
        dns_value: proof.dns_value.clone(),
        digest: proof.digest,
    };
    if let Err(error) = shelf.write(Document::Proofs, of, &open).await {
        tracing::debug!("{of}: others do not know the proof: {error}");
        return;
    }
    // It cannot be locked: somebody waits.
    if matches!(shelf.lock(waiting(of)).await, Ok(None)) {
        tokio::time::sleep(FIND).await;
    }
}

/// They need not know any more.
pub(crate) async fn withdraw(shelf: &Shelf, of: &str) {
    if let Err(error) = shelf.delete(Document::Proofs, of).await {
        tracing::debug!("{of}: others still know the proof: {error}");
    }
}

/// Shows what somebody else wants to be seen.
pub(crate) async fn show(shelf: &Shelf, solvers: &Solvers, of: &str) -> Option<Presented> {
    let open: Open = shelf.read(Document::Proofs, of).await.ok().flatten()?;
    let ways = [ChallengeType::Http01, ChallengeType::TlsAlpn01];
    let way = ways.into_iter().find(|way| way_name(*way) == &*open.way)?;
    let proof = Proof {
        name: open.name,
        wildcard: false,
        token: open.token,
        key_authorization: open.key_authorization,
        dns_value: open.dns_value,
        digest: open.digest,
    };
    solvers.present(way, &proof).await.ok()
}
