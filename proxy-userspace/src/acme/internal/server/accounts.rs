//! Accounts: who orders (RFC 8555 §7.3).

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::core::{Asked, Core};
use super::jwk::Jwk;
use super::jws::Jws;
use super::problem::{Kind, Problem};
use super::reply::Reply;
use super::tables::Account;
use super::token::random;

/// Contacts of an account, and how long one is.
const MOST_CONTACTS: usize = 8;
const CONTACT_BYTES: usize = 256;

#[derive(Deserialize)]
struct NewAccount {
    #[serde(default)]
    contact: Vec<String>,
    #[serde(default, rename = "onlyReturnExisting")]
    only_existing: bool,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    contact: Option<Vec<String>>,
    #[serde(default)]
    status: Option<String>,
}

/// `newAccount`.
pub(super) fn new(core: &Core, asked: &Asked) -> Result<Reply, Problem> {
    if asked.account.is_some() {
        return Err(Problem::malformed("newAccount is signed with jwk, not kid"));
    }
    let wanted: NewAccount = asked.jws.payload()?;
    let thumbprint = asked.key.thumbprint()?;
    let mut tables = core.tables();
    if let Some(id) = tables.account_of(&thumbprint) {
        let account = tables.accounts.get(&id).cloned();
        drop(tables);
        let account = account.ok_or(Problem::new(Kind::ServerInternal, "the account is gone"))?;
        if account.deactivated {
            return Err(Problem::new(Kind::Unauthorized, "the account is deactivated"));
        }
        return Ok(Reply::ok(&shown(core, &id, &account)).at(address(core, &id)));
    }
    if wanted.only_existing {
        return Err(Problem::new(Kind::AccountDoesNotExist, "no account has this key"));
    }
    let account = Account { key: asked.key.clone(), contact: contacts(wanted.contact)?, deactivated: false };
    let id = random();
    tables.add_account(id.clone(), thumbprint, account.clone())?;
    drop(tables);
    core.keep_accounts();
    Ok(Reply::json(StatusCode::CREATED, &shown(core, &id, &account)).at(address(core, &id)))
}

/// An account is looked at, changed, or ended.
pub(super) fn one(core: &Core, id: &str, asked: &Asked) -> Result<Reply, Problem> {
    if asked.account()? != id {
        return Err(Problem::new(Kind::Unauthorized, "this is another account's"));
    }
    let change: Change = match asked.jws.payload.as_slice() {
        [] => Change { contact: None, status: None },
        _ => asked.jws.payload()?,
    };
    let mut tables = core.tables();
    let account = tables.accounts.get_mut(id).ok_or(Problem::new(Kind::NotFound, "no such account"))?;
    let changed = change.contact.is_some() || change.status.is_some();
    if let Some(contact) = change.contact {
        account.contact = contacts(contact)?;
    }
    match change.status.as_deref() {
        None | Some("valid") => {}
        Some("deactivated") => account.deactivated = true,
        Some(_) => return Err(Problem::malformed("an account's status can be changed to deactivated alone")),
    }
    let account = account.clone();
    drop(tables);
    if changed {
        core.keep_accounts();
    }
    Ok(Reply::ok(&shown(core, id, &account)))
}

#[derive(Deserialize)]
struct KeyChange {
    account: String,
    #[serde(rename = "oldKey")]
    old: Jwk,
}

/// `keyChange` (RFC 8555 §7.3.5): signed with the old key, and within with the new one.
pub(super) fn change_key(core: &Core, asked: &Asked) -> Result<Reply, Problem> {
    let id = asked.account()?;
    let inner = Jws::parse(&asked.jws.payload)?;
    let new = inner.header.jwk.clone().ok_or(Problem::malformed("the inner JWS names no key"))?;
    inner.verify(&new)?;
    let change: KeyChange = inner.payload()?;
    if inner.header.url != asked.jws.header.url
        || change.account != address(core, id)
        || change.old != asked.key
    {
        return Err(Problem::malformed("the inner JWS is for another URL, account or key"));
    }
    let (before, after) = (asked.key.thumbprint()?, new.thumbprint()?);
    let mut tables = core.tables();
    if tables.account_of(&after).is_some() {
        return Err(Problem::new(Kind::Conflict, "another account has this key"));
    }
    tables.change_key(id, &before, after, new);
    drop(tables);
    core.keep_accounts();
    Ok(Reply::empty(StatusCode::OK))
}

fn address(core: &Core, id: &str) -> String {
    format!("{}/account/{id}", core.base)
}

fn shown(core: &Core, id: &str, account: &Account) -> Value {
    let status = if account.deactivated { "deactivated" } else { "valid" };
    json!({ "status": status, "contact": account.contact, "orders": format!("{}/orders/{id}", core.base) })
}

fn contacts(contact: Vec<String>) -> Result<Vec<String>, Problem> {
    if contact.len() > MOST_CONTACTS || contact.iter().any(|contact| contact.len() > CONTACT_BYTES) {
        return Err(Problem::malformed("an account has no more than 8 contacts of 256 bytes"));
    }
    Ok(contact)
}
