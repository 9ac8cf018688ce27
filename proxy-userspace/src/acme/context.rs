//! What all work is done with. Made anew for each configuration; what outlives configurations is in [`Lasting`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::clock::Clock;
use super::counts::Counts;
use super::http::Client;
use super::internal::{Authority, Issued};
use super::protocol::account::{AccountMemory, Accounts};
use super::protocol::directory::Directories;
use super::protocol::failure::{Failure, FailureKind};
use super::shelf::Shelf;
use super::solve::Solvers;
use super::storage::FileStorage;
use crate::config::{AcmeConfig, IssuerConfig};
use crate::tls::Challenges;

/// What outlives configurations.
#[derive(Clone, Debug)]
pub(super) struct Lasting {
    pub(super) clock: Clock,
    pub(super) challenges: Arc<Challenges>,
    pub(super) counts: Arc<Counts>,
    pub(super) directories: Arc<Directories>,
    pub(super) accounts: Arc<AccountMemory>,
}

/// What all work is done with.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) lasting: Lasting,
    pub(super) config: AcmeConfig,
    pub(super) shelf: Shelf,
    pub(super) solvers: Solvers,
    /// Trusts the system's roots.
    plain: Client,
    /// By the file of a root of its own.
    clients: Mutex<HashMap<PathBuf, Client>>,
    authority: Arc<Mutex<Option<Arc<Authority>>>>,
}

impl Context {
    pub(super) fn new(lasting: Lasting, config: &AcmeConfig) -> Self {
        let storage = Arc::new(FileStorage::new(&config.storage));
        let plain = Client::new(None).unwrap_or_else(|error| {
            // Without roots every CA is a stranger, and that is what each order will say.
            tracing::error!("certificates of CAs cannot be verified: {error}");
            Client::untrusting()
        });
        let solvers =
            Solvers::new(config, Arc::clone(&lasting.challenges), plain.clone(), lasting.clock.clone());
        Self {
            shelf: Shelf::new(storage, Arc::clone(&lasting.counts.failures)),
            solvers,
            plain,
            clients: Mutex::default(),
            authority: Arc::default(),
            config: config.clone(),
            lasting,
        }
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.lasting.clock
    }

    /// The issuer with this name.
    pub(super) fn issuer(&self, name: &str) -> Option<&IssuerConfig> {
        self.config.issuers.iter().find(|issuer| *issuer.name == *name)
    }

    /// Who asks permission endpoints.
    pub(super) fn client_of_others(&self) -> Client {
        self.plain.clone()
    }

    /// Who asks this issuer.
    pub(super) fn client(&self, issuer: &IssuerConfig) -> Result<Client, Failure> {
        let Some(root) = &issuer.directory_ca else { return Ok(self.plain.clone()) };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(root) {
            return Ok(client.clone());
        }
        let client = Client::new(Some(root)).map_err(|error| Failure::new(FailureKind::Refused, error))?;
        clients.insert(root.clone(), client.clone());
        Ok(client)
    }

    /// Accounts of an issuer, at its directory or its staging's.
    pub(super) fn accounts<'a>(
        &'a self,
        client: &'a Client,
        issuer: &'a IssuerConfig,
        url: &'a str,
    ) -> Accounts<'a> {
        Accounts {
            shelf: &self.shelf,
            clock: self.clock(),
            directories: &self.lasting.directories,
            memory: &self.lasting.accounts,
            client,
            issuer,
            url,
            email: self.config.email.as_deref(),
        }
    }

    /// A certificate of our own CA.
    pub(super) async fn certify(&self, name: &str) -> Result<Issued, Failure> {
        let (held, config) = (Arc::clone(&self.authority), self.config.clone());
        let (names, now) = ([name.into()], self.clock().now());
        let made = tokio::task::spawn_blocking(move || {
            let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
            let authority = match &*held {
                Some(authority) => Arc::clone(authority),
                None => {
                    let opened = Authority::open(&folder(&config.storage), &config.internal, now)?;
                    Arc::clone(held.insert(Arc::new(opened)))
                }
            };
            drop(held);
            authority.issue(&names, config.key_type, now)
        });
        match made.await {
            Ok(made) => made.map_err(|error| Failure::new(FailureKind::Storage, error)),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
}

/// Where the keys of our own CA are.
fn folder(storage: &Path) -> PathBuf {
    storage.join("ca")
}
