//! A certificate that is served, with what is known of it.

use std::sync::Arc;

use super::clock::Clock;
use super::renewal::Renewal;
use super::shelf::Shelf;
use super::storage::{Document, Generation, GenerationId, StorageError};
use crate::tls::Certificate;

/// A certificate that is served.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) certificate: Arc<Certificate>,
    pub(super) generation: Arc<Generation>,
    /// None: it is in memory only.
    pub(super) id: Option<GenerationId>,
    pub(super) renewal: Renewal,
}

impl Held {
    /// From a generation, if it is what it says.
    pub(super) fn of(name: &str, id: Option<GenerationId>, generation: Generation) -> Option<Self> {
        let read = Certificate::from_pem(generation.chain_pem.as_bytes(), generation.key_pem.as_bytes());
        let certificate = match read {
            Ok(certificate) if certificate.names.iter().any(|own| **own == *name) => certificate,
            Ok(certificate) => {
                let names = certificate.names.join(", ");
                tracing::warn!("{name}: a certificate in the storage is for {names}, and left out");
                return None;
            }
            Err(error) => {
                tracing::warn!(
                    "{name}: a certificate in the storage cannot be served, and is left out: {error}"
                );
                return None;
            }
        };
        let renewal = Renewal::of(&certificate, fastrand::f64());
        Some(Self { certificate: Arc::new(certificate), generation: Arc::new(generation), id, renewal })
    }

    /// What the storage has for a name: the first that can be served. `known`: the one that is served now; what is not
    /// newer than that is not read.
    pub(super) async fn load(
        shelf: &Shelf,
        name: &str,
        known: Option<&GenerationId>,
    ) -> Result<Option<Self>, StorageError> {
        let (owned, known) = (Box::<str>::from(name), known.cloned());
        let found = shelf
            .run(move |storage| {
                if known.is_some() && storage.current(&owned)? == known {
                    return Ok(None);
                }
                let generations = storage.load(&owned)?;
                Ok(generations
                    .into_iter()
                    .find_map(|(id, generation)| Self::of(&owned, Some(id), generation)))
            })
            .await?;
        let Some(mut held) = found else { return Ok(None) };
        held.recall(shelf, name).await;
        Ok(Some(held))
    }

    /// The moment of renewal that was drawn for it before.
    async fn recall(&mut self, shelf: &Shelf, name: &str) {
        if let Ok(Some(renewal)) = shelf.read::<Renewal>(Document::Renewal, name).await
            && renewal.is_of(&self.certificate)
        {
            self.renewal = renewal;
        }
    }

    /// Keeps the moment of renewal.
    pub(super) async fn remember(&self, shelf: &Shelf, name: &str) {
        if let Err(error) = shelf.write(Document::Renewal, name, &self.renewal).await {
            tracing::debug!("{name}: the moment of renewal is not kept: {error}");
        }
    }

    /// Whether it is served well, and for long enough not to hurry: half of what is left at renewal.
    pub(super) fn is_comfortable(&self, clock: &Clock) -> bool {
        let now = clock.now();
        let lifetime = self.certificate.not_after.duration_since(self.certificate.not_before);
        let lifetime = lifetime.unwrap_or_default();
        self.certificate.is_valid(now) && clock.until(self.certificate.not_after) > lifetime / 6
    }
}
