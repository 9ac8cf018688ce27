//! Bans: the book, what the configuration wants of it, and who may ask for what.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use proxy_common::ban::By;

use super::guard::guard;
use crate::admin::api::{Refusal, RefusalKind};
use crate::admin::bans::{
    AddBans, BanChanged, BanList, BanRow, BansAnswer, BansChanged, BansRequest, RemoveBans,
};
use crate::ban::{Book, Content, Guard, Heap, List, Place, Removed, Row, View};
use crate::config::{Config, format_duration};
use crate::l4::{BanMaps, PinnedError};
use crate::telemetry::audit::{self, Audited};
use crate::upstream::Registry;

/// The book of bans, with all who use it.
#[derive(Clone, Debug)]
pub(in crate::control) struct Bans {
    shared: Arc<Mutex<Shared>>,
    view: Arc<View>,
}

#[derive(Debug)]
pub(in crate::control) struct Shared {
    pub(in crate::control) book: Book,
    pub(in crate::control) guard: Guard,
}

impl Bans {
    /// Takes over the bans of a place; none: on the heap.
    pub(in crate::control) fn open(place: Option<Arc<dyn Place>>) -> io::Result<Self> {
        let view = Arc::new(View::default());
        let place = place.unwrap_or_else(|| Arc::new(Heap::default()));
        let book = Book::open(place, view.clone())?;
        let (notes, prefixes) = book.counts();
        if notes + prefixes > 0 {
            tracing::info!(bans = notes, prefixes, "bans of before are in force");
        }
        let shared = Shared { book, guard: Guard::default() };
        Ok(Self { shared: Arc::new(Mutex::new(shared)), view })
    }

    /// What workers ask.
    pub(in crate::control) fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// The book.
    pub(in crate::control) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the book what a configuration wants. Lists that were read before stay in force until they are read again.
    pub(in crate::control) fn configure(&self, config: &Config, registry: &Registry) -> io::Result<()> {
        let mut shared = self.lock();
        shared.guard = guard(config, |host| registry.addresses(host));
        let before = shared.book.content().clone();
        let known = |name: &str| before.lists.iter().find(|list| *list.name == *name).cloned();
        let list = |name: &str| {
            known(name).unwrap_or_else(|| Arc::new(List { name: name.into(), prefixes: Vec::new() }))
        };
        let wanted = Content {
            deny: config.ban.deny.clone(),
            allow: config.ban.allow.clone(),
            needed: shared.guard.prefixes(),
            lists: config.ban.lists.iter().map(|config| list(&config.name)).collect(),
        };
        if same(&wanted, &before) { Ok(()) } else { shared.book.replace(wanted) }
    }

    /// Puts a list in force that was read, in the place of the one before. Its tables are made while others use the
    /// book.
    pub(in crate::control) fn put_list(&self, name: &str, prefixes: Vec<IpNet>) -> io::Result<()> {
        let builder = {
            let shared = self.lock();
            let mut content = Content::clone(shared.book.content());
            let Some(list) = content.lists.iter_mut().find(|list| list.name == name) else { return Ok(()) };
            *list = Arc::new(List { name: name.to_owned(), prefixes });
            shared.book.builder(Arc::new(content))
        };
        let built = builder.build()?;
        self.lock().book.put(built)
    }

    /// Answers an operator.
    pub(in crate::control) fn answer(
        &self,
        request: BansRequest,
        uid: Option<u32>,
    ) -> Result<BansAnswer, Refusal> {
        let Shared { book, guard } = &mut *self.lock();
        answer(book, guard, request, (uid.unwrap_or(u32::MAX), audit::By::Asked(uid)))
    }
}

/// Order does not count: what is recovered has another.
fn same(a: &Content, b: &Content) -> bool {
    let sorted = |prefixes: &[IpNet]| {
        let mut prefixes = prefixes.to_vec();
        prefixes.sort_unstable();
        prefixes
    };
    sorted(&a.deny) == sorted(&b.deny)
        && sorted(&a.allow) == sorted(&b.allow)
        && sorted(&a.needed) == sorted(&b.needed)
        && a.lists.len() == b.lists.len()
        && a.lists.iter().zip(&b.lists).all(|(a, b)| Arc::ptr_eq(a, b))
}

/// What can go wrong without a daemon.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// The maps cannot be had.
    #[error(transparent)]
    Maps(#[from] PinnedError),
    /// Nothing is loaded.
    #[error("no daemon answers, and no kernel part is loaded: nobody can be kept out")]
    Nothing,
    /// The tables cannot be read.
    #[error("the tables of bans cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It was refused.
    #[error("{}", .0.error)]
    Refused(Refusal),
}

/// Answers an operator while no daemon runs, out of the pinned tables. `config`: what is on disk, if it has no mistake.
///
/// # Errors
/// Nothing is loaded, a daemon runs after all, or what is asked is refused.
pub fn bans_without_daemon(
    pin_dir: &Path,
    config: Option<&Config>,
    request: BansRequest,
) -> Result<BansAnswer, AloneError> {
    let maps = BanMaps::alone(pin_dir)?.ok_or(AloneError::Nothing)?;
    let mut book = Book::open(Arc::new(maps), Arc::default())?;
    let guard = config.map(|config| guard(config, |_| Vec::new())).unwrap_or_default();
    let uid = rustix::process::getuid().as_raw();
    answer(&mut book, &guard, request, (uid, audit::By::Offline(uid))).map_err(AloneError::Refused)
}

fn answer(
    book: &mut Book,
    guard: &Guard,
    request: BansRequest,
    who: (u32, audit::By),
) -> Result<BansAnswer, Refusal> {
    match request {
        BansRequest::List { all } => {
            let rows = book.rows(all).map_err(failed)?;
            Ok(BansAnswer::List(BanList { bans: rows.into_iter().map(row).collect() }))
        }
        BansRequest::Add(asked) => add(book, guard, &asked, who).map(BansAnswer::Changed),
        BansRequest::Remove(asked) => remove(book, guard, &asked, who.1).map(BansAnswer::Changed),
    }
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::Failed, error.to_string())
}

/// All of them, or what is wrong with each.
fn parsed(prefixes: &[String]) -> Result<Vec<IpNet>, Refusal> {
    let one = |text: &String| {
        let net = text.parse::<IpNet>().ok().or_else(|| Some(text.parse::<std::net::IpAddr>().ok()?.into()));
        net.map(|net| net.trunc())
            .ok_or_else(|| format!("{text:?} is no address and no network such as 192.0.2.0/24"))
    };
    let (nets, wrong): (Vec<_>, Vec<_>) = prefixes.iter().map(one).partition(Result::is_ok);
    let wrong: Vec<String> = wrong.into_iter().filter_map(Result::err).collect();
    match (wrong.is_empty(), prefixes.is_empty()) {
        (true, false) => Ok(nets.into_iter().filter_map(Result::ok).collect()),
        (true, true) => Err(Refusal::new(RefusalKind::BadRequest, "nobody is named")),
        _ => Err(Refusal::new(RefusalKind::BadRequest, wrong.join("; "))),
    }
}

fn add(
    book: &mut Book,
    guard: &Guard,
    asked: &AddBans,
    (uid, by): (u32, audit::By),
) -> Result<BansChanged, Refusal> {
    let prefixes = parsed(&asked.prefixes)?;
    let objections: Vec<String> = prefixes
        .iter()
        .filter_map(|prefix| {
            let said = guard.objections(prefix, asked.session);
            (!said.is_empty()).then(|| format!("{prefix}: {}", said.join(", ")))
        })
        .collect();
    if !objections.is_empty() && !asked.force {
        let error = format!("not banned: {}; --force bans all the same", objections.join("; "));
        return Err(Refusal::new(RefusalKind::BadRequest, error));
    }
    let time = asked.for_ms.map(Duration::from_millis);
    let mut bans = Vec::new();
    for prefix in prefixes {
        book.add(prefix, time, By::Operator, uid, &asked.why).map_err(failed)?;
        let lasting =
            time.map_or_else(|| "for ever".to_owned(), |time| format!("for {}", format_duration(time)));
        let (name, to) = (prefix.to_string(), format!("{lasting}: {}", asked.why));
        let change = Audited { what: "ban add", name: &name, from: "", to: &to, by };
        audit::audit(guard.audit_log.as_deref(), &change);
        let note = book.allowed(&prefix).map(|allow| {
            format!("{allow} is never kept out ([ban] allow, or the configuration needs it): this ban has no effect")
        });
        let needed = guard.needed.iter().any(|needed| prefix.contains(&needed.address));
        let note = note.or_else(|| {
            needed.then(|| "what the configuration needs of it is never kept out, the rest is".to_owned())
        });
        bans.push(BanChanged { prefix: prefix.to_string(), changed: true, note });
    }
    Ok(BansChanged { bans })
}

fn remove(book: &mut Book, guard: &Guard, asked: &RemoveBans, by: audit::By) -> Result<BansChanged, Refusal> {
    let mut bans = Vec::new();
    for prefix in parsed(&asked.prefixes)? {
        let removed =
            book.remove(prefix).map_err(|error| Refusal::new(RefusalKind::BadRequest, error.to_string()))?;
        let changed = removed == Removed::Yes;
        if changed {
            let change =
                Audited { what: "ban remove", name: &prefix.to_string(), from: "banned", to: "", by };
            audit::audit(guard.audit_log.as_deref(), &change);
        }
        let note = (!changed).then(|| "it was not banned; `proxy-now ban list` shows who is".to_owned());
        bans.push(BanChanged { prefix: prefix.to_string(), changed, note });
    }
    Ok(BansChanged { bans })
}

fn row(row: Row) -> BanRow {
    BanRow {
        prefix: row.prefix.to_string(),
        seconds_left: row.left.map(|left| left.as_secs()),
        hits: row.hits,
        by: row.by,
        why: row.why,
        uid: row.uid,
        since: row.since,
    }
}
