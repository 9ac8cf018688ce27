//! What is kept, and what a place to keep it in must do.

use std::any::Any;
use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

/// A key with its certificate, and where they come from. They appear together or not at all, and never change.
#[derive(Clone, PartialEq, Eq)]
pub struct Generation {
    /// The key, PEM (PKCS#8).
    pub key_pem: String,
    /// The chain, leaf first, PEM.
    pub chain_pem: String,
    /// The rest.
    pub meta: Meta,
}

/// What is known of a certificate beside what stands in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Meta {
    /// The name it was asked for.
    pub name: Box<str>,
    /// The issuer's name in the configuration; `internal`: our own CA.
    pub issuer: Box<str>,
    /// The directory that was asked; empty: our own CA.
    pub directory: Box<str>,
    /// When, in seconds since 1970.
    pub obtained: u64,
    /// A handshake asked for it; the configuration does not name it.
    #[serde(default)]
    pub on_demand: bool,
}

/// Which generation is the current one. Another one has another.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GenerationId(pub Box<str>);

/// A kind of text that is written whole: JSON, most of them. Each is of a name, or of a directory by its URL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Document {
    /// The account at a directory.
    Account,
    /// The order of a name that is under way.
    Order,
    /// What failed and what has worked, of a name.
    Attempts,
    /// When a name's certificate is to be renewed.
    Renewal,
    /// What a directory has been asked for lately.
    Ledger,
    /// Proofs of a name that are open, for whoever else answers at the name.
    Proofs,
}

/// Who holds it is alone at what it stands for. Let go by dropping it, and by the end of the process, whatever that is.
pub struct Guard(#[expect(dead_code, reason = "held, and dropped")] Box<dyn Any + Send + Sync>);

impl Guard {
    /// Holds this until it is dropped.
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

/// Why something was not kept or found.
#[derive(Debug, thiserror::Error)]
#[error("storage: {at}: {doing}: {source}")]
pub struct StorageError {
    /// Where.
    pub at: Box<str>,
    /// `cannot be written`, ...
    pub doing: &'static str,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Keeps keys, certificates, accounts and orders. Calls may block, and are made where that is allowed.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Names that there is a generation of.
    fn names(&self) -> Result<Vec<Box<str>>, StorageError>;

    /// Which generation of a name is the current one; cheap.
    fn current(&self, name: &str) -> Result<Option<GenerationId>, StorageError>;

    /// The generations of a name, the current one first. What is broken is left out.
    fn load(&self, name: &str) -> Result<Vec<(GenerationId, Generation)>, StorageError>;

    /// Keeps another generation, and makes it the current one. When this is done, no crash loses it.
    fn store(&self, name: &str, generation: &Generation) -> Result<GenerationId, StorageError>;

    /// Forgets all generations of a name.
    fn forget(&self, name: &str) -> Result<(), StorageError>;

    /// A document, if it is there.
    fn get(&self, document: Document, of: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// Writes a document. When this is done, no crash loses it; a crash before leaves the old one.
    fn put(&self, document: Document, of: &str, content: &[u8]) -> Result<(), StorageError>;

    /// Removes a document, if it is there.
    fn delete(&self, document: Document, of: &str) -> Result<(), StorageError>;

    /// Names of orders that are under way.
    fn orders(&self) -> Result<Vec<Box<str>>, StorageError>;

    /// Makes its caller alone at `what`, among all who share the storage. None: somebody else is.
    fn lock(&self, what: &str) -> Result<Option<Guard>, StorageError>;

    /// Whether something can be written and read again.
    fn probe(&self) -> Result<(), StorageError>;
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("meta", &self.meta).finish_non_exhaustive()
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}
