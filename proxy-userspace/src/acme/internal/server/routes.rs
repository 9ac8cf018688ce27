//! Which request goes where.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::json;

use super::core::Core;
use super::problem::{Kind, Problem};
use super::reply::Reply;
use super::{accounts, orders, proofs, revoke};

/// Answers a request. Needs a tokio runtime: proofs are looked at aside.
pub(super) fn answer(core: &Arc<Core>, method: &Method, path: &str, body: &[u8]) -> Reply {
    let answered = match *method {
        Method::GET | Method::HEAD => get(core, method, path),
        Method::POST => post(core, path, body),
        _ => Err(unknown()),
    };
    answered.unwrap_or_else(|problem| Reply::problem(&problem))
}

fn get(core: &Core, method: &Method, path: &str) -> Result<Reply, Problem> {
    match path {
        "/directory" => Ok(Reply::ok(&directory(core))),
        // RFC 8555 §7.2.
        "/new-nonce" if *method == Method::HEAD => Ok(Reply::empty(StatusCode::OK)),
        "/new-nonce" => Ok(Reply::empty(StatusCode::NO_CONTENT)),
        "/root.pem" => Ok(Reply::bytes("application/x-pem-file", core.authority.root_pem())),
        _ => Err(unknown()),
    }
}

fn post(core: &Arc<Core>, path: &str, body: &[u8]) -> Result<Reply, Problem> {
    let asked = core.verify(path, body)?;
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        ["directory"] => Ok(Reply::ok(&directory(core))),
        ["new-account"] => accounts::new(core, &asked),
        ["account", id] => accounts::one(core, id, &asked),
        ["orders", id] => orders::of_account(core, id, &asked),
        ["key-change"] => accounts::change_key(core, &asked),
        ["new-order"] => orders::new(core, &asked),
        ["order", id] => orders::one(core, id, &asked),
        ["order", id, "finalize"] => orders::finalize(core, id, &asked),
        ["proof", id] => proofs::one(core, id, &asked),
        ["challenge", id, kind] => proofs::challenge(core, id, kind, &asked),
        ["certificate", id] => orders::certificate(core, id, &asked),
        ["revoke-cert"] => revoke::revoke(core, &asked),
        _ => Err(unknown()),
    }
}

fn unknown() -> Problem {
    Problem::new(Kind::NotFound, "there is nothing here: see /directory")
}

fn directory(core: &Core) -> serde_json::Value {
    let base = &core.base;
    json!({
        "newNonce": format!("{base}/new-nonce"),
        "newAccount": format!("{base}/new-account"),
        "newOrder": format!("{base}/new-order"),
        "revokeCert": format!("{base}/revoke-cert"),
        "keyChange": format!("{base}/key-change"),
        "meta": { "externalAccountRequired": false },
    })
}
