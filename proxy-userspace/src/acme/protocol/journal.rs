//! An order that is under way, as it is kept: whoever starts after a crash goes on from here.
//!
//! | a crash comes after | what is known | what follows |
//! |---|---|---|
//! | the key is made, before it is kept | nothing | another key; nothing was asked |
//! | it is kept, before or while the order is asked for | key, no URL | the account's list of orders is looked through (RFC 8555 §7.1.2.1); if the CA has none, it is asked for again: CAs answer with the order that is open |
//! | the order is there | its URL | the CA says how far it is |
//! | a proof is shown, or the CA was told of it | how, and what | it is shown again; the CA is told unless it knows |
//! | the order is finalized | the same | the CA has the request, or gets the same one again: same key |
//! | the certificate is there, before it is kept | the same | it is downloaded again |
//! | it is kept, before this is removed | the same key as the certificate's | this is removed |

use serde::{Deserialize, Serialize};

use super::super::shelf::Shelf;
use super::super::solver::Presented;
use super::super::storage::{Document, StorageError};

/// An order that is under way.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The name it is for.
    pub(crate) name: Box<str>,
    /// The issuer's name in the configuration.
    pub(crate) issuer: Box<str>,
    /// The directory: the issuer's, or its staging's.
    pub(crate) directory: Box<str>,
    /// The account's URL.
    pub(crate) account: Box<str>,
    /// When, in seconds since 1970.
    pub(crate) begun: u64,
    /// The key of the certificate, PEM.
    pub(crate) key_pem: String,
    /// The order's URL; none: the CA may not have heard of it.
    #[serde(default)]
    pub(crate) url: Option<Box<str>>,
    /// The certificate that it replaces (RFC 9773 §4.1).
    #[serde(default)]
    pub(crate) replaces: Option<Box<str>>,
    /// The profile that is asked for.
    #[serde(default)]
    pub(crate) profile: Option<Box<str>>,
    /// How the name is proved.
    #[serde(default)]
    pub(crate) way: Option<Box<str>>,
    /// What is shown, and has to be taken away.
    #[serde(default)]
    pub(crate) shown: Vec<Presented>,
    /// How often it could not be gone on with.
    #[serde(default)]
    pub(crate) stalls: u32,
}

/// Keeps orders. Where the storage has failed before, and an order was begun all the same, it does what it can.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    shelf: Shelf,
    /// The storage must work.
    strict: bool,
}

impl Journal {
    pub(crate) fn new(shelf: Shelf, strict: bool) -> Self {
        Self { shelf, strict }
    }

    /// The order of a name that is under way.
    pub(crate) async fn load(shelf: &Shelf, name: &str) -> Result<Option<Order>, StorageError> {
        let order = shelf.read::<Order>(Document::Order, name).await?;
        Ok(order.filter(|order| *order.name == *name))
    }

    /// Before the CA hears of it.
    pub(crate) async fn begin(&self, order: &Order) -> Result<(), StorageError> {
        match self.shelf.write(Document::Order, &order.name, order).await {
            Err(error) if self.strict => Err(error),
            Err(error) => {
                tracing::warn!("{}: the order is not kept, a restart would forget it: {error}", order.name);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// As it goes on. The CA has heard of it: a storage that fails now is no reason to stop.
    pub(crate) async fn note(&self, order: &Order) {
        if let Err(error) = self.shelf.write(Document::Order, &order.name, order).await {
            tracing::warn!("{}: how far the order is, is not kept: {error}", order.name);
        }
    }

    /// It is over.
    pub(crate) async fn end(&self, name: &str) {
        if let Err(error) = self.shelf.delete(Document::Order, name).await {
            tracing::warn!("{name}: the order is over, and still kept: {error}");
        }
    }
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Order({} at {}, {:?})", self.name, self.directory, self.url)
    }
}
