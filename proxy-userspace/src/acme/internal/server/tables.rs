//! What the server remembers. Every table is bounded; accounts outlive a restart, orders do not.

use std::collections::HashMap;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::jwk::Jwk;
use super::problem::{Kind, Problem};
use crate::config::ChallengeType;

/// Accounts.
pub(super) const MOST_ACCOUNTS: usize = 10_000;
/// Orders that are not over, and those whose certificate may still be fetched.
const MOST_ORDERS: usize = 10_000;
/// Orders of one account that are not over.
const MOST_ORDERS_EACH: usize = 300;
/// Certificates whose orderer is remembered, so that it may revoke them.
const MOST_ISSUED: usize = 50_000;

/// Who orders.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) key: Jwk,
    #[serde(default)]
    pub(super) contact: Vec<String>,
    #[serde(default)]
    pub(super) deactivated: bool,
}

/// A proof that is asked for.
#[derive(Clone, Debug)]
pub(super) struct Authorization {
    pub(super) account: Box<str>,
    pub(super) name: Box<str>,
    pub(super) token: Box<str>,
    pub(super) state: Proof,
    pub(super) until: SystemTime,
}

/// How far a proof is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Proof {
    Open,
    Looking(ChallengeType),
    Proved(ChallengeType),
    Refuted(ChallengeType, Problem),
}

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) account: Box<str>,
    pub(super) names: Vec<Box<str>>,
    pub(super) authorizations: Vec<Box<str>>,
    pub(super) until: SystemTime,
    /// The chain, PEM, once there is one.
    pub(super) chain: Option<String>,
}

/// A certificate that was made: who may revoke it.
#[derive(Clone, Debug)]
struct Issued {
    account: Box<str>,
    until: SystemTime,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) accounts: HashMap<Box<str>, Account>,
    /// Accounts by their key's thumbprint.
    by_key: HashMap<String, Box<str>>,
    pub(super) orders: HashMap<Box<str>, Order>,
    pub(super) authorizations: HashMap<Box<str>, Authorization>,
    issued: HashMap<String, Issued>,
}

impl Tables {
    /// With accounts of before.
    pub(super) fn with(accounts: HashMap<Box<str>, Account>) -> Self {
        let by_key =
            accounts.iter().filter_map(|(id, account)| Some((account.key.thumbprint().ok()?, id.clone())));
        Self { by_key: by_key.collect(), accounts, ..Self::default() }
    }

    /// The account of a key.
    pub(super) fn account_of(&self, thumbprint: &str) -> Option<Box<str>> {
        self.by_key.get(thumbprint).cloned()
    }

    /// One more account.
    pub(super) fn add_account(
        &mut self,
        id: Box<str>,
        thumbprint: String,
        account: Account,
    ) -> Result<(), Problem> {
        if self.accounts.len() >= MOST_ACCOUNTS {
            return Err(Problem::new(Kind::RateLimited, "there are as many accounts as there may be"));
        }
        self.by_key.insert(thumbprint, id.clone());
        self.accounts.insert(id, account);
        Ok(())
    }

    /// Another key for an account.
    pub(super) fn change_key(&mut self, id: &str, old: &str, new: String, key: Jwk) {
        if let Some(account) = self.accounts.get_mut(id) {
            account.key = key;
            self.by_key.remove(old);
            self.by_key.insert(new, id.into());
        }
    }

    /// One more order, with a proof to be made for each name.
    pub(super) fn add_order(
        &mut self,
        id: Box<str>,
        order: Order,
        proofs: Vec<(Box<str>, Authorization)>,
        now: SystemTime,
    ) -> Result<(), Problem> {
        self.forget(now);
        let own = self.orders.values().filter(|other| other.account == order.account).count();
        if self.orders.len() >= MOST_ORDERS || own >= MOST_ORDERS_EACH {
            return Err(Problem::new(Kind::RateLimited, "too many orders are open: come back in an hour"));
        }
        self.orders.insert(id, order);
        self.authorizations.extend(proofs);
        Ok(())
    }

    /// Remembers who ordered a certificate.
    pub(super) fn issued(&mut self, serial: String, account: Box<str>, until: SystemTime, now: SystemTime) {
        if self.issued.len() >= MOST_ISSUED {
            self.issued.retain(|_, issued| issued.until > now);
        }
        if self.issued.len() < MOST_ISSUED {
            self.issued.insert(serial, Issued { account, until });
        }
    }

    /// Whether this account ordered the certificate of this serial number.
    pub(super) fn ordered(&self, account: &str, serial: &str) -> bool {
        self.issued.get(serial).is_some_and(|issued| *issued.account == *account)
    }

    fn forget(&mut self, now: SystemTime) {
        self.orders.retain(|_, order| order.until > now);
        self.authorizations.retain(|_, proof| proof.until > now);
    }

    /// An order's state, as clients know it (RFC 8555 §7.1.6).
    pub(super) fn order_state(&self, order: &Order) -> &'static str {
        if order.chain.is_some() {
            return "valid";
        }
        let proofs = || order.authorizations.iter().map(|id| self.authorizations.get(id).map(|p| &p.state));
        if proofs().any(|proof| matches!(proof, None | Some(Proof::Refuted(..)))) {
            "invalid"
        } else if proofs().all(|proof| matches!(proof, Some(Proof::Proved(_)))) {
            "ready"
        } else {
            "pending"
        }
    }
}
