//! Notices that the configuration's file has changed. Folders are watched, not the file: editors and configuration
//! managers write another file and rename it over the old one, and some change a link instead.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
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

/// Nothing must happen in the folder for this long before the file is read, unless it is known to be whole: it was
/// closed by its writer, or renamed to its name.
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
                changed = folders.changed() => match changed {
                    Changed::Content => {}
                    Changed::Whole => break,
                    Changed::Names => {
                        tokio::time::sleep(QUIET).await;
                        break;
                    }
                },
                () = orders.closed() => return,
            }
        }
    }
}

/// Watched folders.
struct Folders {
    events: EventStream<[u8; 4096]>,
    /// What the file is called in them.
    names: BTreeSet<OsString>,
}

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Changed {
    /// Something was written.
    Content,
    /// The file is there as a whole. A link may lead elsewhere now.
    Whole,
    /// Names have changed, so that the folders must be looked up anew: a link may lead elsewhere now.
    Names,
}

impl Folders {
    /// The folder that the path names, and that of the file it leads to.
    fn of(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let parent = |path: &Path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let real = std::fs::canonicalize(path).ok();
        let mut folders = BTreeSet::from([parent(path)]);
        folders.extend(real.as_deref().map(parent));
        let names = [Some(path), real.as_deref()].into_iter().flatten().filter_map(Path::file_name);
        let names = names.map(OsStr::to_owned).collect();
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
        Ok(Self { events: inotify.into_event_stream([0; 4096])?, names })
    }

    /// Waits until something has happened, and it is quiet again or the file is known to be whole.
    async fn changed(&mut self) -> Changed {
        let mut changed = self.next().await;
        let latest = Instant::now() + LATEST;
        while changed != Changed::Whole && Instant::now() < latest {
            let quiet = (Instant::now() + QUIET).min(latest);
            match timeout_at(quiet, self.next()).await {
                Ok(Changed::Content) => {}
                Ok(more) => changed = more,
                Err(_) => break,
            }
        }
        changed
    }

    async fn next(&mut self) -> Changed {
        let event = poll_fn(|context| Pin::new(&mut self.events).poll_next(context)).await;
        let Some(Ok(event)) = event else { return Changed::Names };
        let named = event.name.is_some_and(|name| self.names.contains(&name));
        if named && event.mask.intersects(EventMask::CLOSE_WRITE | EventMask::MOVED_TO) {
            Changed::Whole
        } else if event.mask == EventMask::CLOSE_WRITE {
            Changed::Content
        } else {
            Changed::Names
        }
    }
}
