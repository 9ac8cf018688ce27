//! Accounts at CAs (RFC 8555 §7.3). A key is kept before the CA hears of it: whoever goes on after a crash asks with the same
//! key, and the CA says which account that is. No account is made twice, and none is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use instant_acme::Account;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::clock::Clock;
use super::super::http::Client;
use super::super::shelf::Shelf;
use super::super::storage::{Document, Guard};
use super::directory::{Directories, Directory};
use super::failure::{Failure, FailureKind};
use super::jws::{AccountKey, By, Server};
use super::tap::Tap;
use crate::config::{EabConfig, IssuerConfig};

/// A key that is older is replaced.
const KEY_AGE: u64 = 365 * 86_400;
/// Who else makes the account is waited for.
const ANOTHER: Duration = Duration::from_millis(200);
/// But no longer than so many times.
const WAITS: u32 = 300;

/// What is kept of an account.
#[derive(Clone, Serialize, Deserialize)]
struct Record {
    directory: Box<str>,
    /// PKCS#8, base64url.
    key: Box<str>,
    /// When the key was made, in seconds since 1970.
    made: u64,
    /// The account's URL; none: the CA may not have heard of it yet.
    #[serde(default)]
    url: Option<Box<str>>,
    #[serde(default)]
    contact: Option<Box<str>>,
    /// The key that is to take its place; whether it has, the CA knows.
    #[serde(default)]
    next: Option<Box<str>>,
}

/// What is known of accounts, should the storage fail: none is made with every order.
#[derive(Debug, Default)]
pub(crate) struct AccountMemory(Mutex<HashMap<Box<str>, Record>>);

/// An account that can be used.
pub(crate) struct Ready {
    pub(crate) account: Account,
    pub(crate) tap: Tap,
    pub(crate) url: Box<str>,
    pub(crate) key: AccountKey,
    pub(crate) directory: Arc<Directory>,
}

/// Whoever needs accounts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accounts<'a> {
    pub(crate) shelf: &'a Shelf,
    pub(crate) clock: &'a Clock,
    pub(crate) directories: &'a Directories,
    pub(crate) memory: &'a AccountMemory,
    pub(crate) client: &'a Client,
    pub(crate) issuer: &'a IssuerConfig,
    /// The issuer's, or its staging's.
    pub(crate) url: &'a str,
    pub(crate) email: Option<&'a str>,
}

impl Accounts<'_> {
    /// The account, made if there is none.
    pub(crate) async fn ready(&self) -> Result<Ready, Failure> {
        let directory = self.directories.get(self.client, self.clock, self.url).await?;
        let known = self.load().await.filter(|record| record.url.is_some());
        let settled = known.filter(|record| {
            record.next.is_none() && record.contact.as_deref() == self.email && !self.is_old(record)
        });
        let record = match settled {
            Some(record) => record,
            None => self.settle(&directory).await?,
        };
        let url = record.url.clone().unwrap_or_default();
        let (der, key) = key_of(&record.key)?;
        let tap = Tap::new(self.client.clone(), self.clock.clone());
        let account = Account::builder_with_http(Box::new(tap.clone()))
            .from_parts(url.to_string(), PrivatePkcs8KeyDer::from(der), self.url.to_owned())
            .await
            .map_err(|error| Failure::of(error, &tap.seen()))?;
        Ok(Ready { account, tap, url, key, directory })
    }

    /// The CA does not know the account any more: the next [`Accounts::ready`] makes it again, with the same key.
    pub(crate) async fn lost(&self, url: &str) {
        let guard = self.alone().await;
        if let Some(mut record) = self.load().await
            && record.url.as_deref() == Some(url)
        {
            record.url = None;
            record.next = None;
            self.keep(&record).await;
        }
        drop(guard);
    }

    /// Makes the account, or brings it up to date: alone.
    async fn settle(&self, directory: &Directory) -> Result<Record, Failure> {
        let _guard = self.alone().await;
        // Somebody else may have done it.
        let mut record = match self.load().await {
            Some(record) => record,
            None => {
                let record = self.new_record()?;
                self.keep(&record).await;
                record
            }
        };
        let server = Server { client: self.client, clock: self.clock, new_nonce: &directory.new_nonce };
        if record.next.is_some() {
            self.finish_change(&server, directory, &mut record).await?;
        }
        if record.url.is_none() {
            record = self.register(&server, directory, record).await?;
        } else if record.contact.as_deref() != self.email {
            self.change_contact(&server, &mut record).await?;
        }
        if self.is_old(&record) {
            self.change_key(&server, directory, &mut record).await;
        }
        Ok(record)
    }

    /// Tells the CA of the key. One that it knows already stands for the account that it has (§7.3.1).
    async fn register(
        &self,
        server: &Server<'_>,
        directory: &Directory,
        mut record: Record,
    ) -> Result<Record, Failure> {
        let (_, key) = key_of(&record.key)?;
        let mut payload = json!({ "termsOfServiceAgreed": true, "contact": contact(self.email) });
        match &self.issuer.eab {
            Some(eab) => payload["externalAccountBinding"] = bound(eab, &key, &directory.new_account)?,
            None if directory.meta.external_account_required => {
                return Err(Failure::new(
                    FailureKind::Refused,
                    format!(
                        "{} wants an account of its own: give its key as `eab` of the issuer",
                        self.issuer.name
                    ),
                ));
            }
            None => {}
        }
        let answer = server.post(&key, By::Key, &directory.new_account, Some(&payload)).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => {
                if failure.kind == FailureKind::Refused {
                    // A key that the CA does not take (a deactivated account's) is of no use.
                    tracing::warn!("{}: no account: {failure}; the next try is with another key", self.url);
                    let record = self.new_record()?;
                    self.keep(&record).await;
                }
                return Err(failure);
            }
        };
        let url = answer.seen.location.clone().ok_or_else(|| {
            Failure::new(FailureKind::Unreachable, "the CA does not say which account it made (Location)")
        })?;
        tracing::info!("{}: account {url}", self.url);
        record.url = Some(url);
        record.contact = self.email.map(Into::into);
        self.keep(&record).await;
        Ok(record)
    }

    async fn change_contact(&self, server: &Server<'_>, record: &mut Record) -> Result<(), Failure> {
        let (_, key) = key_of(&record.key)?;
        let Some(url) = record.url.clone() else { return Ok(()) };
        let payload = json!({ "contact": contact(self.email) });
        match server.post(&key, By::Account(&url), &url, Some(&payload)).await {
            Err(failure) if failure.kind == FailureKind::AccountLost => record.url = None,
            Err(failure) => tracing::warn!("{}: the contact is not changed: {failure}", self.url),
            Ok(_) => {}
        }
        // One that the CA does not take is not offered again and again.
        record.contact = self.email.map(Into::into);
        self.keep(record).await;
        match record.url {
            Some(_) => Ok(()),
            None => Err(Failure::new(FailureKind::AccountLost, "the CA does not know the account any more")),
        }
    }

    /// Another key in the place of an old one. It is kept before the CA hears of it; should a crash come between,
    /// [`Accounts::finish_change`] finds out which one counts.
    async fn change_key(&self, server: &Server<'_>, directory: &Directory, record: &mut Record) {
        let changed = async {
            let (Some(change), Some(url)) = (directory.key_change.as_deref(), record.url.clone()) else {
                return Ok(());
            };
            let next = new_key()?;
            record.next = Some(next.clone());
            if !self.keep(record).await {
                record.next = None;
                return Ok(());
            }
            let (_, old) = key_of(&record.key)?;
            let (_, new) = key_of(&next)?;
            let payload = new.succeeds(&old, &url, change)?;
            server.post(&old, By::Account(&url), change, Some(&payload)).await?;
            self.promote(record, next).await;
            Ok::<(), Failure>(())
        };
        if let Err(failure) = changed.await {
            tracing::warn!("{}: the account's key is not replaced: {failure}", self.url);
        }
        // Whether or not: not again with every order.
        record.made = self.clock.unix();
        self.keep(record).await;
    }

    /// After a crash in [`Accounts::change_key`]: asks which key the account has (§7.3.1: `onlyReturnExisting`).
    async fn finish_change(
        &self,
        server: &Server<'_>,
        directory: &Directory,
        record: &mut Record,
    ) -> Result<(), Failure> {
        let Some(next) = record.next.clone() else { return Ok(()) };
        let (_, key) = key_of(&next)?;
        let payload = json!({ "onlyReturnExisting": true });
        match server.post(&key, By::Key, &directory.new_account, Some(&payload)).await {
            Ok(_) => self.promote(record, next).await,
            Err(failure) if matches!(failure.kind, FailureKind::AccountLost | FailureKind::Refused) => {
                record.next = None;
                self.keep(record).await;
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    async fn promote(&self, record: &mut Record, next: Box<str>) {
        record.key = next;
        record.next = None;
        record.made = self.clock.unix();
        self.keep(record).await;
        tracing::info!("{}: the account has another key", self.url);
    }

    fn is_old(&self, record: &Record) -> bool {
        self.clock.unix().saturating_sub(record.made) > KEY_AGE
    }

    fn new_record(&self) -> Result<Record, Failure> {
        let (directory, made) = (self.url.into(), self.clock.unix());
        Ok(Record { directory, key: new_key()?, made, url: None, contact: None, next: None })
    }

    /// One at a time makes accounts. If the storage fails, or another takes forever, so be it.
    async fn alone(&self) -> Option<Guard> {
        for _ in 0..WAITS {
            match self.shelf.lock(format!("account {}", self.url)).await {
                Ok(Some(guard)) => return Some(guard),
                Ok(None) => tokio::time::sleep(ANOTHER).await,
                Err(error) => {
                    tracing::warn!("{error}");
                    return None;
                }
            }
        }
        None
    }

    async fn load(&self) -> Option<Record> {
        let kept = match self.shelf.read::<Record>(Document::Account, self.url).await {
            Ok(record) => {
                record.filter(|record| *record.directory == *self.url && key_of(&record.key).is_ok())
            }
            Err(error) => {
                tracing::warn!("{error}");
                None
            }
        };
        kept.or_else(|| self.memory.0.lock().unwrap_or_else(PoisonError::into_inner).get(self.url).cloned())
    }

    /// Keeps it. False: it could not be, which is said; then it lasts as long as the daemon.
    async fn keep(&self, record: &Record) -> bool {
        self.memory.0.lock().unwrap_or_else(PoisonError::into_inner).insert(self.url.into(), record.clone());
        let kept = self.shelf.write(Document::Account, self.url, record).await;
        kept.inspect_err(|error| tracing::warn!("{error}")).is_ok()
    }
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Record({:?})", self.url)
    }
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready({})", self.url)
    }
}

fn contact(email: Option<&str>) -> Vec<String> {
    email.map(|email| format!("mailto:{email}")).into_iter().collect()
}

fn new_key() -> Result<Box<str>, Failure> {
    let key = AccountKey::generate()
        .ok_or_else(|| Failure::new(FailureKind::Storage, "no key could be made: there is no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(key).into())
}

fn key_of(kept: &str) -> Result<(Vec<u8>, AccountKey), Failure> {
    let der = URL_SAFE_NO_PAD.decode(kept).ok();
    let key = der.and_then(|der| AccountKey::from_pkcs8(&der).map(|key| (der, key)));
    key.ok_or_else(|| Failure::new(FailureKind::Storage, "storage: the account's key makes no sense"))
}

/// CAs give the key in base64url; with padding, or in plain base64, some.
fn bound(eab: &EabConfig, key: &AccountKey, url: &str) -> Result<Value, Failure> {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let text = eab.hmac_key.trim_end_matches('=');
    let hmac_key = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
    let hmac_key = hmac_key.map_err(|_| {
        Failure::new(
            FailureKind::Refused,
            format!("the `hmac_key` of eab key {} is no base64url", eab.key_id),
        )
    })?;
    key.bound(&eab.key_id, &hmac_key, url)
}
