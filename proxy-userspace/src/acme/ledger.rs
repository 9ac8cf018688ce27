//! The ledgers of issuers in the storage: what was asked for is written down by all who share it.

use std::time::Duration;

use super::context::Context;
use super::limits::{Ledger, Limits};
use super::storage::{Document, Storage, StorageError};

/// Somebody else who writes is waited for so often, for so long.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Until when an issuer's limits forbid to ask it for a name.
pub(super) async fn blocked(context: &Context, directory: &str, name: &str, renewal: bool) -> Option<u64> {
    let limits = Limits::of(directory)?;
    let ledger: Ledger = context.shelf.read(Document::Ledger, directory).await.ok()??;
    ledger.blocked(limits, name, renewal, context.clock().unix())
}

/// Writes something down. What cannot be is said.
pub(super) async fn note(
    context: &Context,
    directory: &str,
    write: impl FnOnce(&mut Ledger, u64) + Send + 'static,
) {
    if Limits::of(directory).is_none() {
        return;
    }
    let (owned, now) = (Box::<str>::from(directory), context.clock().unix());
    let done = context.shelf.run(move |storage| rewrite(storage, &owned, |ledger| write(ledger, now)));
    if let Err(error) = done.await {
        tracing::warn!("{directory}: what it was asked for is not counted: {error}");
    }
}

fn rewrite(
    storage: &dyn Storage,
    directory: &str,
    write: impl FnOnce(&mut Ledger),
) -> Result<(), StorageError> {
    let lock = format!("ledger {directory}");
    let mut guard = storage.lock(&lock)?;
    for _ in 0..TRIES {
        if guard.is_some() {
            break;
        }
        std::thread::sleep(PAUSE);
        guard = storage.lock(&lock)?;
    }
    let kept = storage.get(Document::Ledger, directory)?;
    let mut ledger: Ledger = kept.and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default();
    write(&mut ledger);
    let content = serde_json::to_vec(&ledger).map_err(|error| StorageError {
        at: directory.into(),
        doing: "cannot be written as JSON",
        source: error.into(),
    })?;
    let done = storage.put(Document::Ledger, directory, &content);
    drop(guard);
    done
}
