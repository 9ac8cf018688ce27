//! Lists of prefixes: files are read when they change, documents of the web are asked for again and again. A thread of
//! its own: a list may be long, and its server slow. What cannot be read leaves the list of before in force.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use http::header::{
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};
use http::{Request, StatusCode};
use hyper::body::Bytes;
use tokio::runtime::{Builder, Runtime};

use super::desk::Bans;
use crate::acme::http::Client;
use crate::ban::{Parsed, parse};
use crate::config::{BanListConfig, BanListSource};
use crate::control::marks::Marks;

/// How often files are looked at. A change counts once two looks have seen the same.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A list is no longer.
const MOST_BYTES: u64 = 64 << 20;
/// A server has so long for one.
const PATIENCE: Duration = Duration::from_secs(120);
/// What did not come is asked for again after this, if that is sooner than usual.
const AGAIN: Duration = Duration::from_secs(30);

/// Who reads lists. The thread ends when this is dropped.
#[derive(Debug)]
pub(in crate::control) struct BanLists {
    orders: Sender<Vec<BanListConfig>>,
}

impl BanLists {
    /// Reads lists into this book.
    pub(in crate::control) fn start(bans: Bans) -> io::Result<Self> {
        let (orders, ordered) = channel();
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let reader = Reader { bans, runtime, lists: Vec::new() };
        thread::Builder::new().name("ban-lists".into()).spawn(move || reader.run(&ordered))?;
        Ok(Self { orders })
    }

    /// Reads these from now on.
    pub(in crate::control) fn configure(&self, lists: &[BanListConfig]) {
        // The thread ends with this alone.
        let _ = self.orders.send(lists.to_vec());
    }
}

#[derive(Debug)]
struct Reader {
    bans: Bans,
    runtime: Runtime,
    lists: Vec<Known>,
}

/// What is known of a list.
#[derive(Debug)]
struct Known {
    config: BanListConfig,
    /// The file when it was read, and at the last look if it was another then.
    read: Option<Marks>,
    pending: Option<Marks>,
    /// When a document is asked for again.
    due: Instant,
    /// What its server said it was (RFC 9110 §8.8).
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    /// What was last said to be wrong.
    said: Option<String>,
}

/// Why a list could not be read.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error("it has {0} bytes, and no list may have more than {MOST_BYTES}")]
    TooLong(u64),
    #[error("{0}")]
    Asked(String),
}

impl Reader {
    fn run(mut self, ordered: &Receiver<Vec<BanListConfig>>) {
        loop {
            match ordered.recv_timeout(LOOK_EVERY) {
                Ok(lists) => self.take(lists),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for number in 0..self.lists.len() {
                self.look(number);
            }
        }
    }

    /// What is known of lists that stay is kept.
    fn take(&mut self, lists: Vec<BanListConfig>) {
        let mut known: HashMap<BanListSource, Known> =
            self.lists.drain(..).map(|list| (list.config.source.clone(), list)).collect();
        let one = |config: BanListConfig| match known.remove(&config.source) {
            Some(list) => Known { due: list.due.min(Instant::now() + config.refresh), config, ..list },
            None => Known {
                config,
                read: None,
                pending: None,
                due: Instant::now(),
                etag: None,
                modified: None,
                said: None,
            },
        };
        self.lists = lists.into_iter().map(one).collect();
    }

    /// Reads a list if it is time to.
    fn look(&mut self, number: usize) {
        let list = &mut self.lists[number];
        let result = match &list.config.source {
            BanListSource::File(path) => list.file(&path.clone()),
            BanListSource::Url(url) if Instant::now() >= list.due => {
                let url = url.clone();
                list.document(&url, &self.runtime)
            }
            BanListSource::Url(_) => return,
        };
        let name = &list.config.name;
        match result {
            Ok(None) => {}
            Ok(Some(text)) => {
                let begin = Instant::now();
                let Parsed { prefixes, broken, more } = parse(&text);
                for line in &broken {
                    tracing::warn!("list {name}, {line}");
                }
                if more > 0 {
                    tracing::warn!("list {name}: and {more} more lines like these");
                }
                let count = prefixes.len();
                match self.bans.put_list(name, prefixes) {
                    Ok(()) => {
                        let ms = begin.elapsed().as_millis() as u64;
                        let broken = broken.len() + more;
                        tracing::info!(prefixes = count, broken, ms, "list {name} is in force");
                        list.said = None;
                    }
                    Err(error) => list.say(&error),
                }
            }
            Err(error) => list.say(&error),
        }
    }
}

impl Known {
    /// Says what is wrong, when it is news.
    fn say(&mut self, error: &dyn std::fmt::Display) {
        let text = error.to_string();
        if self.said.as_ref() != Some(&text) {
            tracing::error!("list {}: {text}; what was in it before stays in force", self.config.name);
            self.said = Some(text);
        }
    }

    /// The file, if it is another than before and whole.
    fn file(&mut self, path: &Path) -> Result<Option<Vec<u8>>, ListError> {
        let now = Marks::of([path.to_owned()]);
        if self.read.as_ref() == Some(&now) {
            self.pending = None;
            return Ok(None);
        }
        // The first time there is nothing in force that a half-written file could spoil.
        if self.read.is_some() && self.pending.as_ref() != Some(&now) {
            self.pending = Some(now);
            return Ok(None);
        }
        self.pending = None;
        self.read = Some(now);
        let length = fs::metadata(path)?.len();
        if length > MOST_BYTES {
            return Err(ListError::TooLong(length));
        }
        Ok(Some(fs::read(path)?))
    }

    /// The document, if it is another than before.
    fn document(&mut self, url: &str, runtime: &Runtime) -> Result<Option<Vec<u8>>, ListError> {
        self.due = Instant::now() + self.config.refresh.min(AGAIN);
        let asked = |error: &dyn std::fmt::Display| ListError::Asked(error.to_string());
        let client = Client::new(self.config.ca.as_deref()).map_err(|error| asked(&error))?;
        let client = client.within(PATIENCE).at_most(MOST_BYTES as usize);
        let mut request = Request::get(url).body(Bytes::new()).map_err(|error| asked(&error))?;
        for (name, value) in [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.modified)] {
            if let Some(value) = value {
                request.headers_mut().insert(name, value.clone());
            }
        }
        let answer = runtime.block_on(client.send(request)).map_err(|error| asked(&error))?;
        match answer.status() {
            StatusCode::NOT_MODIFIED => {
                self.due = Instant::now() + self.config.refresh;
                self.said = None;
                Ok(None)
            }
            StatusCode::OK => {
                let field = |headers: &HeaderMap, name: HeaderName| headers.get(name).cloned();
                self.etag = field(answer.headers(), ETAG);
                self.modified = field(answer.headers(), LAST_MODIFIED);
                self.due = Instant::now() + self.config.refresh;
                Ok(Some(answer.into_body().to_vec()))
            }
            status => Err(ListError::Asked(format!("its server answers {status}"))),
        }
    }
}
