//! Notices that the configuration's file has changed. Folders are watched, not the file: editors and configuration
//! managers write another file and rename it over the old one, and some change a link instead.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::order::Order;

/// Nothing must happen in the folder for this long before the file is read.
const QUIET: Duration = Duration::from_millis(100);
/// In a folder that is never quiet, the file is read after this.
const LATEST: Duration = Duration::from_secs(1);
/// A folder that went away is looked for this often.
const AGAIN: Duration = Duration::from_secs(1);

/// Watches a file for as long as somebody takes the orders. `known` is what was in it when it was last loaded.
pub(super) async fn watch(path: PathBuf, mut known: Option<Vec<u8>>, orders: mpsc::Sender<Order>) {
    loop {
        let mut folders = match Folders::of(&path) {
            Ok(folders) => folders,
            Err(error) => {
                tracing::debug!("cannot watch {}: {error}", path.display());
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        loop {
            // Also at the start: it may have changed before it was watched. A file that is missing is on its way.
            let content = std::fs::read(&path).ok();
            if content.is_some() && content != known {
                known = content;
                if orders.send(Order::Reload("the file changed")).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                stays = folders.changed() => if !stays { break },
                () = orders.closed() => return,
            }
        }
        tokio::time::sleep(QUIET).await;
    }
}

/// Watched folders.
struct Folders {
    events: EventStream<[u8; 4096]>,
}

impl Folders {
    /// The folder that the path names, and that of the file it leads to.
    fn of(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let parent = |path: &Path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut folders = BTreeSet::from([parent(path)]);
        folders.extend(std::fs::canonicalize(path).ok().as_deref().map(parent));
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        for folder in &folders {
            inotify.watches().add(folder, mask)?;
        }
        Ok(Self { events: inotify.into_event_stream([0; 4096])? })
    }

    /// Waits until something has happened and it is quiet again. False if they must be looked up anew: after any
    /// change of names, since a link may lead elsewhere now.
    async fn changed(&mut self) -> bool {
        let Some(mut stays) = self.next().await else { return false };
        let latest = Instant::now() + LATEST;
        loop {
            let quiet = (Instant::now() + QUIET).min(latest);
            match timeout_at(quiet, self.next()).await {
                Ok(Some(more)) => stays &= more,
                Ok(None) => return false,
                Err(_) => return stays,
            }
            if Instant::now() >= latest {
                return stays;
            }
        }
    }

    /// Waits for an event. Whether it left every name as it was; none if there will be no more.
    async fn next(&mut self) -> Option<bool> {
        let event = poll_fn(|context| Pin::new(&mut self.events).poll_next(context)).await?.ok()?;
        Some(event.mask == EventMask::CLOSE_WRITE)
    }
}
