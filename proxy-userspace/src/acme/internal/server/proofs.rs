//! Proofs that are asked for (RFC 8555 §7.5).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::core::{Asked, Core};
use super::orders::{identifier, stamp};
use super::problem::{Kind, Problem};
use super::reply::Reply;
use super::tables::{Authorization, Proof};
use crate::config::ChallengeType;

/// What is offered for every name.
const OFFERED: [(ChallengeType, &str); 2] =
    [(ChallengeType::Http01, "http-01"), (ChallengeType::TlsAlpn01, "tls-alpn-01")];

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    status: Option<String>,
}

/// A name's proof is looked at, or given up.
pub(super) fn one(core: &Core, id: &str, asked: &Asked) -> Result<Reply, Problem> {
    let mut proof = own(core, id, asked)?;
    if !asked.jws.payload.is_empty() {
        let change: Change = asked.jws.payload()?;
        if change.status.as_deref() != Some("deactivated") {
            return Err(Problem::malformed("a proof's status can be changed to deactivated alone"));
        }
        let given_up = Problem::new(Kind::Unauthorized, "it was given up by its account");
        proof.state = Proof::Refuted(ChallengeType::Http01, given_up);
        core.tables().authorizations.insert(id.into(), proof.clone());
    }
    Ok(Reply::ok(&shown(core, id, &proof)))
}

/// The client says that a proof stands: it is looked at, once. Also tells how far that is.
pub(super) fn challenge(core: &Arc<Core>, id: &str, word: &str, asked: &Asked) -> Result<Reply, Problem> {
    let mut proof = own(core, id, asked)?;
    let kind = OFFERED.iter().find(|(_, offered)| *offered == word).map(|(kind, _)| *kind);
    let kind = kind.ok_or(Problem::new(Kind::NotFound, "this kind of proof is not offered"))?;
    if !asked.jws.payload.is_empty() && proof.state == Proof::Open {
        proof.state = Proof::Looking(kind);
        core.tables().authorizations.insert(id.into(), proof.clone());
        let authorization = format!("{}.{}", proof.token, asked.key.thumbprint()?);
        let (core, id, looked) = (core.clone(), id.to_owned(), proof.clone());
        tokio::spawn(async move { look(&core, &id, &looked, kind, &authorization).await });
    }
    let up = format!("{}/proof/{id}", core.base);
    Ok(Reply::ok(&challenge_shown(core, id, &proof, (kind, word))).below(up))
}

async fn look(core: &Core, id: &str, proof: &Authorization, kind: ChallengeType, authorization: &str) {
    let found = match kind {
        ChallengeType::Http01 => core.prover.http(&proof.name, &proof.token, authorization).await,
        _ => core.prover.alpn(&proof.name, authorization).await,
    };
    if let Err(problem) = &found {
        tracing::info!(name = proof.name, "a name is not proved to the internal CA: {}", problem.detail);
    }
    if let Some(proof) = core.tables().authorizations.get_mut(id)
        && proof.state == Proof::Looking(kind)
    {
        proof.state = found.map_or_else(|problem| Proof::Refuted(kind, problem), |()| Proof::Proved(kind));
    }
}

fn own(core: &Core, id: &str, asked: &Asked) -> Result<Authorization, Problem> {
    let account = asked.account()?;
    let proof = core.tables().authorizations.get(id).cloned();
    let proof = proof.filter(|proof| proof.until > core.clock.now());
    let proof = proof.ok_or(Problem::new(Kind::NotFound, "no such proof is asked for, or it is over"))?;
    if *proof.account != *account {
        return Err(Problem::new(Kind::Unauthorized, "this is another account's"));
    }
    Ok(proof)
}

fn shown(core: &Core, id: &str, proof: &Authorization) -> Value {
    let status = match &proof.state {
        Proof::Open | Proof::Looking(_) => "pending",
        Proof::Proved(_) => "valid",
        Proof::Refuted(..) => "invalid",
    };
    let challenges: Vec<_> =
        OFFERED.iter().map(|offered| challenge_shown(core, id, proof, *offered)).collect();
    json!({
        "identifier": identifier(&proof.name),
        "status": status,
        "expires": stamp(proof.until),
        "challenges": challenges,
    })
}

fn challenge_shown(
    core: &Core,
    id: &str,
    proof: &Authorization,
    (kind, word): (ChallengeType, &str),
) -> Value {
    let (status, error) = match &proof.state {
        Proof::Looking(looked) if *looked == kind => ("processing", None),
        Proof::Proved(proved) if *proved == kind => ("valid", None),
        Proof::Refuted(refuted, problem) if *refuted == kind => ("invalid", Some(problem.json())),
        _ => ("pending", None),
    };
    let url = format!("{}/challenge/{id}/{word}", core.base);
    let mut shown = json!({ "type": word, "url": url, "status": status, "token": proof.token });
    if let Some(error) = error {
        shown["error"] = error;
    }
    shown
}
