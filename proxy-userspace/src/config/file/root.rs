//! The file's outermost tables.

use std::fmt;
use std::ops::Range;

use super::acme::read_acme;
use super::ban::read_ban;
use super::listener::AnyListener;
use super::server::{read_access_log, read_server};
use super::tls::read_tls;
use super::{
    FileAdmin, FileAutoBan, FileKernel, FileLimit, FileListener, FileMiddleware, FilePool, FileRoute,
    FileWebListener,
};
use crate::config::acme::AcmeConfig;
use crate::config::ban::BanConfig;
use crate::config::diagnostic::Fact;
use crate::config::keys::acme::ACME;
use crate::config::keys::ban::{AUTO_BAN, BAN};
use crate::config::keys::kernel::{ADMIN, KERNEL};
use crate::config::keys::limit::LIMIT;
use crate::config::keys::listener::LISTENER;
use crate::config::keys::middleware::MIDDLEWARE;
use crate::config::keys::pool::POOL;
use crate::config::keys::route::ROUTE;
use crate::config::keys::server::{ACCESS_LOG, SERVER};
use crate::config::keys::tls::TLS;
use crate::config::kind::{WrongKind, check_name};
use crate::config::nearest::nearest;
use crate::config::node::{Node, Table, Value};
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::table::Section;
use crate::config::tls::TlsConfig;
use crate::config::web::ServerConfig;

/// The names of the outermost tables.
const TABLES: [&str; 13] = [
    "kernel",
    "listener",
    "route",
    "middleware",
    "pool",
    "limit",
    "ban",
    "auto-ban",
    "tls",
    "acme",
    "server",
    "access_log",
    "admin",
];

/// The whole file. What could not be read is an `Err`, and was reported.
#[derive(Debug)]
pub(in crate::config) struct File {
    pub(in crate::config) kernel: Result<Option<FileKernel>, Reported>,
    pub(in crate::config) admin: Result<FileAdmin, Reported>,
    pub(in crate::config) listeners: Vec<FileListener>,
    pub(in crate::config) web_listeners: Vec<FileWebListener>,
    /// The names of all listeners, those that could not be read too.
    pub(in crate::config) listener_names: Vec<String>,
    pub(in crate::config) routes: Vec<FileRoute>,
    pub(in crate::config) middleware: Vec<FileMiddleware>,
    /// The names of all middleware, that which could not be read too.
    pub(in crate::config) middleware_names: Vec<String>,
    pub(in crate::config) server: Result<ServerConfig, Reported>,
    /// All of it, but for the hosts.
    pub(in crate::config) tls: Result<TlsConfig, Reported>,
    pub(in crate::config) acme: Result<AcmeConfig, Reported>,
    pub(in crate::config) pools: Vec<FilePool>,
    /// The names of all pools, those that could not be read too.
    pub(in crate::config) pool_names: Vec<String>,
    pub(in crate::config) limits: Vec<FileLimit>,
    pub(in crate::config) ban: Result<BanConfig, Reported>,
    pub(in crate::config) auto_bans: Vec<FileAutoBan>,
}

impl File {
    /// Reads a file's tables.
    pub(in crate::config) fn read(root: &Table, report: &mut Report<'_>) -> Self {
        for (key, _) in root.iter() {
            refuse_unknown(&key.value, &key.span, report);
        }
        let kernel = section(root, "kernel", &KERNEL, report);
        let kernel = kernel.map(|entries| entries.and_then(|entries| FileKernel::read(&entries, report)));
        let admin = section(root, "admin", &ADMIN, report).unwrap_or_else(|| Ok(Entries::absent("[admin]")));
        let server =
            section(root, "server", &SERVER, report).unwrap_or_else(|| Ok(Entries::absent("[server]")));
        let access_log = section(root, "access_log", &ACCESS_LOG, report);
        let access_log =
            access_log.map(|entries| entries.and_then(|entries| read_access_log(&entries, report)));
        let server = server.and_then(|entries| read_server(&entries, report));
        let tls = section(root, "tls", &TLS, report).unwrap_or_else(|| Ok(Entries::absent("[tls]")));
        let acme = section(root, "acme", &ACME, report).unwrap_or_else(|| Ok(Entries::absent("[acme]")));
        let (mut listeners, mut web_listeners) = (Vec::new(), Vec::new());
        for (name, entries) in named(root, "listener", &LISTENER, report) {
            match AnyListener::read(name, &entries, report) {
                AnyListener::Kernel(listener) => listeners.push(listener),
                AnyListener::Web(listener) => web_listeners.push(*listener),
            }
        }
        let pools = named(root, "pool", &POOL, report);
        let middleware = named(root, "middleware", &MIDDLEWARE, report);
        let limits = named(root, "limit", &LIMIT, report);
        let ban = section(root, "ban", &BAN, report).unwrap_or_else(|| Ok(Entries::absent("[ban]")));
        let auto_bans = named(root, "auto-ban", &AUTO_BAN, report);
        Self {
            kernel: kernel.transpose(),
            admin: admin.and_then(|entries| FileAdmin::read(&entries, report)),
            listeners,
            web_listeners,
            listener_names: names(root, "listener"),
            routes: routes(root, report),
            middleware: middleware
                .into_iter()
                .map(|(name, entries)| FileMiddleware::read(name, &entries, report))
                .collect(),
            middleware_names: names(root, "middleware"),
            server: access_log.transpose().and_then(|access_log| Ok(ServerConfig { access_log, ..server? })),
            acme: acme.and_then(|entries| read_acme(&entries, report)),
            tls: tls.and_then(|entries| read_tls(&entries, report)),
            pools: pools.into_iter().map(|(name, entries)| FilePool::read(name, &entries, report)).collect(),
            pool_names: names(root, "pool"),
            limits: limits
                .into_iter()
                .map(|(name, entries)| FileLimit::read(name, &entries, report))
                .collect(),
            ban: ban.and_then(|entries| read_ban(&entries, report)),
            auto_bans: auto_bans
                .into_iter()
                .map(|(name, entries)| FileAutoBan::read(name, &entries, report))
                .collect(),
        }
    }
}

/// A table that is there once, if it is.
fn section(
    root: &Table,
    key: &'static str,
    section: &'static Section,
    report: &mut Report<'_>,
) -> Option<Result<Entries, Reported>> {
    let (_, node) = root.get(key)?;
    Some(Entries::open(section, section.title.to_owned(), node, report))
}

/// The tables `[[route]]`.
fn routes(root: &Table, report: &mut Report<'_>) -> Vec<FileRoute> {
    let Some((_, node)) = root.get("route") else {
        return Vec::new();
    };
    let Value::List(tables) = &node.value else {
        report.error(&node.span, &WrongKind::of("route", "a list of tables", ROUTE.title, &node.value));
        return Vec::new();
    };
    // Routes stand in the order of the file: lines are counted on from one to the next.
    let (mut line, mut counted) = (1, 0);
    let mut found = Vec::with_capacity(tables.len());
    for node in tables {
        let start = node.span.start;
        line += report.text(&(counted..start)).bytes().filter(|byte| *byte == b'\n').count();
        counted = start;
        if let Ok(entries) = Entries::open(&ROUTE, ROUTE.title.to_owned(), node, report) {
            found.push(FileRoute::read(&entries, line, report));
        }
    }
    found
}

/// The tables below `[<key>.NAME]`, by name.
fn named(
    root: &Table,
    key: &'static str,
    section: &'static Section,
    report: &mut Report<'_>,
) -> Vec<(At<Box<str>>, Entries)> {
    let Some((_, node)) = root.get(key) else {
        return Vec::new();
    };
    let Value::Table(tables) = &node.value else {
        report.error(&node.span, &WrongKind::of(key, "tables with names", section.title, &node.value));
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, node) in tables.iter() {
        if let Ok(entry) = open_named(key, section, name, node, report) {
            found.push(entry);
        }
    }
    found
}

fn open_named(
    key: &'static str,
    section: &'static Section,
    name: &At<String>,
    node: &Node,
    report: &mut Report<'_>,
) -> Result<(At<Box<str>>, Entries), Reported> {
    let text = &*name.value;
    let good =
        check_name(text).map_err(|reason| report.error(&name.span, &BadName { key, name: text, reason }));
    let entries = Entries::open(section, format!("[{key}.{text}]"), node, report);
    good?;
    Ok((At { value: text.into(), span: name.span.clone() }, entries?))
}

fn names(root: &Table, key: &str) -> Vec<String> {
    match root.get(key).map(|(_, node)| &node.value) {
        Some(Value::Table(tables)) => tables.iter().map(|(name, _)| name.value.clone()).collect(),
        _ => Vec::new(),
    }
}

fn refuse_unknown(name: &str, span: &Range<usize>, report: &mut Report<'_>) {
    if TABLES.contains(&name) {
        return;
    }
    report.error(span, &UnknownTable { name });
}

struct UnknownTable<'a> {
    name: &'a str,
}

impl fmt::Display for UnknownTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown table or key {:?}", self.name)
    }
}

impl Fact for UnknownTable<'_> {
    fn help(&self) -> Option<String> {
        let tables = "[kernel], [listener.NAME], [[route]], [middleware.NAME], [pool.NAME], [limit.NAME], [tls], [acme], [server], [access_log], [admin]";
        Some(match nearest(self.name, TABLES) {
            Some(name) => format!("did you mean {name:?}? Tables are: {tables}"),
            None => format!("tables are: {tables}"),
        })
    }
}

struct BadName<'a, E> {
    key: &'static str,
    name: &'a str,
    reason: E,
}

impl<E: fmt::Display> fmt::Display for BadName<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.key, self.name, self.reason)
    }
}

impl<E: fmt::Display> Fact for BadName<'_, E> {}
