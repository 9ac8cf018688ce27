//! `[[route]]`.

use std::fmt;
use std::hash::Hash;
use std::ops::Range;

use super::distinct::distinct;
use super::middleware::Parts;
use super::steer::{read_client_hello, refuse_of_requests};
use super::tls::{FileRouteTls, read_route_tls};
use http::{HeaderName, StatusCode};

use crate::config::diagnostic::Fact;
use crate::config::keys::middleware::USE;
use crate::config::keys::route as keys;
use crate::config::keys::steer::{PASSTHROUGH, REFUSE};
use crate::config::kind::{Condition, Named};
use crate::config::nested::Short;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::table::{Key, Kind};
use crate::config::web::{
    FieldCondition, MiddlewareConfig, PathPattern, QueryCondition, RedirectConfig, RespondConfig,
    RouteAction, RouteConfig, ValuePattern,
};

/// What a route's table says. Names are not looked up yet.
#[derive(Debug)]
pub(in crate::config) struct FileRoute {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) name: Result<Option<At<Box<str>>>, Reported>,
    /// None: every `http` and `https` listener.
    pub(in crate::config) listeners: Result<Option<Vec<At<Box<str>>>>, Reported>,
    pub(in crate::config) pool: Result<Option<At<Box<str>>>, Reported>,
    /// Names of `[middleware.NAME]`.
    pub(in crate::config) uses: Result<Vec<At<Box<str>>>, Reported>,
    /// Middleware of its own.
    pub(in crate::config) parts: Result<Option<Box<Parts>>, Reported>,
    /// TLS of its hosts.
    pub(in crate::config) tls: Result<Option<Box<At<FileRouteTls>>>, Reported>,
    /// All of it, but for its name, listeners and middleware.
    /// There are many routes, and they are moved about: boxed, what is large stays where it is.
    pub(in crate::config) rest: Result<Box<RouteConfig>, Reported>,
}

impl FileRoute {
    /// Reads everything.
    pub(super) fn read(entries: &Entries, line: usize, report: &mut Report<'_>) -> Self {
        Self {
            span: entries.span.clone(),
            name: entries.find(&keys::NAME, report),
            listeners: distinct(entries, &keys::LISTENERS, report),
            pool: entries.find(&keys::POOL, report),
            uses: distinct(entries, &USE, report).map(Option::unwrap_or_default),
            parts: Parts::read(entries, report).map(|parts| parts.is_some().then(|| Box::new(parts))),
            tls: read_route_tls(entries, report),
            rest: read_rest(entries, line, report).map(Box::new),
        }
    }
}

fn read_rest(entries: &Entries, line: usize, report: &mut Report<'_>) -> Result<RouteConfig, Reported> {
    let hosts = list(entries, &keys::HOST, report);
    let path = read_path(entries, report);
    let methods = list(entries, &keys::METHOD_IS, report);
    let headers = read_headers(entries, report);
    let query = read_query(entries, report);
    let client_ip = list(entries, &keys::CLIENT_IP, report);
    let client_hello = read_client_hello(entries, report);
    let passthrough = entries.get(&PASSTHROUGH, report);
    let action = read_action(entries, report);
    let request_timeout = entries.find(&keys::TIMEOUT, report);
    refuse_of_requests(entries, report);
    Ok(RouteConfig {
        name: "".into(),
        listeners: Vec::new(),
        hosts: hosts?,
        path: path?,
        methods: methods?,
        headers: headers?,
        query: query?,
        client_ip: client_ip?,
        client_hello: client_hello?,
        passthrough: passthrough?.value,
        action: action?,
        middleware: MiddlewareConfig::default(),
        request_timeout: request_timeout?.map(|timeout| timeout.value),
        line,
    })
}

/// The values of a list; none if it is not there.
fn list<K, T>(entries: &Entries, key: &'static Key<K>, report: &mut Report<'_>) -> Result<Vec<T>, Reported>
where
    K: Kind<Value = Vec<At<T>>>,
    T: Eq + Hash,
{
    let list = distinct(entries, key, report)?;
    Ok(list.into_iter().flatten().map(|entry| entry.value).collect())
}

fn read_path(entries: &Entries, report: &mut Report<'_>) -> Result<PathPattern, Reported> {
    let prefix = entries.find(&keys::PATH_PREFIX, report);
    let exact = entries.find(&keys::PATH_EXACT, report);
    let regex = entries.find(&keys::PATH_REGEX, report);
    match (prefix?, exact?, regex?) {
        (None, None, None) => Ok(PathPattern::Any),
        (Some(prefix), None, None) => Ok(PathPattern::Prefix(prefix.value)),
        (None, Some(exact), None) => Ok(PathPattern::Exact(exact.value)),
        (None, None, Some(regex)) => Ok(PathPattern::Regex(regex.value)),
        _ => Err(report.error(&entries.span, &SeveralPaths)),
    }
}

fn read_headers(entries: &Entries, report: &mut Report<'_>) -> Result<Vec<FieldCondition>, Reported> {
    let Some(headers) = entries.find(&keys::HEADER, report)? else {
        return Ok(Vec::new());
    };
    let conditions = patterns(headers.value, report)?;
    refuse_repeats(&conditions, report)?;
    Ok(conditions.into_iter().map(|(name, value)| FieldCondition { name: name.value, value }).collect())
}

/// Names of fields are the same in any case, keys of TOML are not.
fn refuse_repeats(
    conditions: &[(At<HeaderName>, ValuePattern)],
    report: &mut Report<'_>,
) -> Result<(), Reported> {
    for (index, (name, _)) in conditions.iter().enumerate() {
        if conditions[..index].iter().any(|(before, _)| before.value == name.value) {
            return Err(report.error(&name.span, &FieldTwice { name: &name.value }));
        }
    }
    Ok(())
}

fn read_query(entries: &Entries, report: &mut Report<'_>) -> Result<Vec<QueryCondition>, Reported> {
    let Some(query) = entries.find(&keys::QUERY, report)? else {
        return Ok(Vec::new());
    };
    let conditions = patterns(query.value, report)?;
    Ok(conditions.into_iter().map(|(name, value)| QueryCondition { name: name.value, value }).collect())
}

fn patterns<N>(
    named: Named<N, Short<Condition>>,
    report: &mut Report<'_>,
) -> Result<Vec<(At<N>, ValuePattern)>, Reported> {
    let mut pattern = |(name, value)| {
        let value = match value {
            Short::One(Condition::Text(text)) => ValuePattern::Exact(text),
            Short::One(Condition::There(true)) => ValuePattern::Present,
            Short::One(Condition::There(false)) => ValuePattern::Absent,
            Short::Table(table) => ValuePattern::Regex(table.get(&keys::REGEX_IS, report)?.value),
        };
        Ok((name, value))
    };
    // Collected twice, so that every value is read though the first was wrong.
    named.into_iter().map(&mut pattern).collect::<Vec<_>>().into_iter().collect()
}

fn read_action(entries: &Entries, report: &mut Report<'_>) -> Result<RouteAction, Reported> {
    let redirect = entries.find(&keys::REDIRECT, report).and_then(|redirect| match redirect {
        Some(redirect) => read_redirect(redirect.value, report).map(Some),
        None => Ok(None),
    });
    let respond = entries.find(&keys::RESPOND, report).and_then(|respond| match respond {
        Some(respond) => read_respond(respond, report).map(Some),
        None => Ok(None),
    });
    let refuse = entries.find(&REFUSE, report);
    let count = [
        entries.has(&keys::POOL),
        entries.has(&keys::REDIRECT),
        entries.has(&keys::RESPOND),
        entries.has(&REFUSE),
    ];
    if count.into_iter().filter(|there| *there).count() != 1 {
        return Err(entries
            .missing(&keys::POOL)
            .unwrap_or_else(|| report.error(&entries.span, &NotOneAction)));
    }
    match (redirect?, respond?, refuse?) {
        (Some(redirect), ..) => Ok(RouteAction::Redirect(redirect)),
        (None, Some(respond), _) => Ok(RouteAction::Respond(respond)),
        (None, None, Some(refuse)) => Ok(RouteAction::Refuse(refuse.value)),
        (None, None, None) => Ok(RouteAction::Pool((&*entries.get(&keys::POOL, report)?.value).into())),
    }
}

fn read_redirect(
    redirect: Short<crate::config::web::Template>,
    report: &mut Report<'_>,
) -> Result<RedirectConfig, Reported> {
    match redirect {
        Short::One(to) => Ok(RedirectConfig { to, status: StatusCode::PERMANENT_REDIRECT }),
        Short::Table(table) => {
            let to = table.get(&keys::REDIRECT_TO, report);
            let status = table.get(&keys::REDIRECT_STATUS, report);
            Ok(RedirectConfig { to: to?.value, status: status?.value })
        }
    }
}

fn read_respond(respond: At<Short<u64>>, report: &mut Report<'_>) -> Result<RespondConfig, Reported> {
    let (status, body) = match respond.value {
        Short::One(status) => (status, "".into()),
        Short::Table(table) => {
            let status = table.get(&keys::RESPOND_STATUS, report);
            let body = table.get(&keys::RESPOND_BODY, report);
            (status?.value, body?.value)
        }
    };
    let status = StatusCode::from_u16(status as u16).unwrap_or_default();
    let bodiless = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    if bodiless.contains(&status) && !body.is_empty() {
        return Err(report.error(&respond.span, &NoBodyHere { status }));
    }
    Ok(RespondConfig { status, body })
}

#[derive(Debug, thiserror::Error)]
#[error("path, path_exact and path_regex exclude each other")]
struct SeveralPaths;

impl Fact for SeveralPaths {
    fn help(&self) -> Option<String> {
        Some("write a route for each, with the same pool".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the field {name} has two conditions: its name is the same in any case")]
struct FieldTwice<'a> {
    name: &'a HeaderName,
}

impl Fact for FieldTwice<'_> {
    fn help(&self) -> Option<String> {
        Some("write one condition, with a regex if need be".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a route has exactly one of pool, redirect, respond and refuse")]
struct NotOneAction;

impl Fact for NotOneAction {
    fn help(&self) -> Option<String> {
        Some("write one of: pool = \"app\", redirect = \"https://{host}{uri}\", respond = 404, refuse = \"reset\"".to_owned())
    }
}

struct NoBodyHere {
    status: StatusCode,
}

impl fmt::Display for NoBodyHere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an answer with status {} has no body", self.status.as_u16())
    }
}

impl Fact for NoBodyHere {
    fn help(&self) -> Option<String> {
        Some("remove body".to_owned())
    }
}
