//! The storage, for who must not block: calls are made aside, and failures are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::storage::{Document, Guard, Storage, StorageError};

/// The storage. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    storage: Arc<dyn Storage>,
    failures: Arc<AtomicU64>,
}

impl Shelf {
    pub(super) fn new(storage: Arc<dyn Storage>, failures: Arc<AtomicU64>) -> Self {
        Self { storage, failures }
    }

    /// Does this with the storage, aside.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Storage) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let storage = Arc::clone(&self.storage);
        let done = match tokio::task::spawn_blocking(move || work(&*storage)).await {
            Ok(done) => done,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        if done.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        done
    }

    /// Alone at `what`; none: somebody else is.
    pub(super) async fn lock(&self, what: String) -> Result<Option<Guard>, StorageError> {
        self.run(move |storage| storage.lock(&what)).await
    }

    /// Reads a document. What makes no sense is as good as not there, and said.
    pub(super) async fn read<T: DeserializeOwned + Send + 'static>(
        &self,
        document: Document,
        key: &str,
    ) -> Result<Option<T>, StorageError> {
        let owned: Box<str> = key.into();
        let Some(content) = self.run(move |storage| storage.get(document, &owned)).await? else {
            return Ok(None);
        };
        match serde_json::from_slice(&content) {
            Ok(read) => Ok(Some(read)),
            Err(error) => {
                tracing::warn!(
                    "storage: what is kept of {key} makes no sense, and counts as not there: {error}"
                );
                Ok(None)
            }
        }
    }

    /// Writes a document.
    pub(super) async fn write<T: Serialize + Sync>(
        &self,
        document: Document,
        key: &str,
        value: &T,
    ) -> Result<(), StorageError> {
        let key: Box<str> = key.into();
        let content = serde_json::to_vec_pretty(value).map_err(|error| StorageError {
            at: key.clone(),
            doing: "cannot be written as JSON",
            source: error.into(),
        })?;
        self.run(move |storage| storage.put(document, &key, &content)).await
    }

    /// Removes a document.
    pub(super) async fn delete(&self, document: Document, key: &str) -> Result<(), StorageError> {
        let key: Box<str> = key.into();
        self.run(move |storage| storage.delete(document, &key)).await
    }
}
