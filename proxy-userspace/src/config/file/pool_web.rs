//! What a pool does with requests of `http` listeners.

use std::fmt;
use std::ops::Range;

use super::pool_tls::read_pool_tls;
use crate::config::diagnostic::Fact;
use crate::config::keys::pool_web as keys;
use crate::config::keys::pool_web::{BalanceWord, HashWord, ProtocolWord};
use crate::config::kind::{Failure, Lasting};
use crate::config::nested::Short;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::table::Key;
use crate::config::web_pool::{Balance, EjectConfig, HashKey, RetryConfig, UpstreamProtocol, WebPoolConfig};

/// Reads everything but the balance, then fails if anything was wrong.
pub(super) fn read_web(entries: &Entries, report: &mut Report<'_>) -> Result<WebPoolConfig, Reported> {
    let default = WebPoolConfig::default();
    let tls = read_pool_tls(entries, report);
    let protocol = read_protocol(entries, tls.as_ref().is_ok_and(Option::is_none), report);
    let max_connections = entries.or(&keys::MAX_CONNECTIONS, default.max_connections.into(), report);
    let max_queue = entries.or(&keys::MAX_QUEUE, default.max_queue.into(), report);
    let keepalive = entries.or(&keys::KEEPALIVE, default.keepalive, report);
    let keepalive_connections =
        entries.or(&keys::KEEPALIVE_CONNECTIONS, default.keepalive_connections.into(), report);
    let send_proxy_protocol = entries.find(&keys::SEND_PROXY_PROTOCOL, report);
    let host = entries.find(&keys::POOL_HOST, report);
    let retry = entries.find(&keys::RETRY, report).and_then(|retry| match retry {
        Some(At { value: Some(table), .. }) => read_retry(&table, default.retry, report),
        Some(At { value: None, .. }) => Ok(RetryConfig { attempts: 0, ..default.retry }),
        None => Ok(default.retry),
    });
    let eject = entries.find(&keys::EJECT, report).and_then(|eject| match eject {
        Some(At { value: Some(table), .. }) => read_eject(&table, report).map(Some),
        Some(At { value: None, .. }) => Ok(None),
        None => Ok(default.eject),
    });
    let mut web = WebPoolConfig {
        protocol: protocol?,
        tls: tls?,
        max_connections: max_connections? as u32,
        max_queue: max_queue? as u32,
        keepalive: keepalive?,
        keepalive_connections: keepalive_connections? as u32,
        send_proxy_protocol: send_proxy_protocol?.map(|version| version.value),
        retry: retry?,
        eject: eject?,
        host: host?.map(|host| host.value),
        ..WebPoolConfig::default()
    };
    if let Some(timeouts) = entries.find(&keys::TIMEOUTS, report)? {
        read_timeouts(&timeouts.value, &mut web, report)?;
    }
    Ok(web)
}

/// What is spoken: with TLS, what backends choose, unless it is said.
fn read_protocol(
    entries: &Entries,
    plain: bool,
    report: &mut Report<'_>,
) -> Result<UpstreamProtocol, Reported> {
    match (entries.find(&keys::POOL_PROTOCOL, report)?, plain) {
        (None, true) => Ok(UpstreamProtocol::Http1),
        (None, false) => Ok(UpstreamProtocol::Auto),
        (Some(At { value: ProtocolWord::Http1, .. }), _) => Ok(UpstreamProtocol::Http1),
        (Some(At { value: ProtocolWord::H2c, .. }), true)
        | (Some(At { value: ProtocolWord::H2, .. }), false) => Ok(UpstreamProtocol::H2c),
        (Some(At { value: ProtocolWord::H2, span }), true) => Err(report.error(&span, &WrongH2::Plain)),
        (Some(At { value: ProtocolWord::H2c, span }), false) => Err(report.error(&span, &WrongH2::Tls)),
    }
}

fn read_timeouts(
    entries: &Entries,
    web: &mut WebPoolConfig,
    report: &mut Report<'_>,
) -> Result<(), Reported> {
    let mut read = |key: &'static Key<Lasting>, default| entries.or(key, default, report);
    let connect = read(&keys::CONNECT, web.connect_timeout);
    let first_byte = read(&keys::FIRST_BYTE, web.first_byte_timeout);
    let idle = read(&keys::IDLE, web.idle_timeout);
    let queue = read(&keys::QUEUE, web.queue_timeout);
    let request = entries.find(&keys::REQUEST, report);
    web.connect_timeout = connect?;
    web.first_byte_timeout = first_byte?;
    web.idle_timeout = idle?;
    web.queue_timeout = queue?;
    web.request_timeout = request?.map(|request| request.value);
    Ok(())
}

fn read_retry(
    entries: &Entries,
    default: RetryConfig,
    report: &mut Report<'_>,
) -> Result<RetryConfig, Reported> {
    let attempts = entries.or(&keys::ATTEMPTS, default.attempts.into(), report);
    let on = entries.find(&keys::ON, report);
    let methods = entries.find(&keys::METHODS, report);
    let budget = entries.or(&keys::BUDGET, default.budget, report);
    let body_bytes = entries.or(&keys::BODY_BYTES, default.body_bytes as u64, report);
    let mut retry = RetryConfig {
        attempts: attempts? as u32,
        budget: budget?,
        body_bytes: body_bytes? as usize,
        ..default
    };
    if let Some(methods) = methods? {
        retry.methods = methods.value.into_iter().map(|method| method.value).collect();
    }
    if let Some(on) = on? {
        let has = |failure| on.value.iter().any(|on| on.value == failure);
        retry.on_connect = has(Failure::Connect);
        retry.on_reset = has(Failure::Reset);
        retry.on_timeout = has(Failure::Timeout);
        let status = |on: &At<Failure>| match on.value {
            Failure::Status(status) => Some(status),
            Failure::Connect | Failure::Reset | Failure::Timeout => None,
        };
        retry.on_status = on.value.iter().filter_map(status).collect();
        retry.on_status.sort_unstable();
        retry.on_status.dedup();
    }
    Ok(retry)
}

fn read_eject(entries: &Entries, report: &mut Report<'_>) -> Result<EjectConfig, Reported> {
    let default = EjectConfig::default();
    let failures = entries.or(&keys::FAILURES, default.failures.into(), report);
    let duration = entries.or(&keys::FOR, default.duration, report);
    let max_share = entries.or(&keys::MAX_SHARE, default.max_share, report);
    Ok(EjectConfig { failures: failures? as u32, duration: duration?, max_share: max_share? })
}

/// Reads the balance, if it is said.
pub(super) fn read_balance(
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<Option<At<Balance>>, Reported> {
    let Some(At { value, span }) = entries.find(&keys::BALANCE, report)? else {
        return Ok(None);
    };
    let value = match value {
        Short::One(BalanceWord::RoundRobin) => Balance::RoundRobin,
        Short::One(BalanceWord::LeastConnections) => Balance::LeastConnections,
        Short::One(BalanceWord::P2c) => Balance::P2c,
        Short::One(BalanceWord::Random) => Balance::Random,
        Short::One(BalanceWord::Maglev) => Balance::Maglev(HashKey::ClientIp),
        Short::Table(table) => match table.get(&keys::MAGLEV, report)?.value {
            Short::One(HashWord::ClientIp) => Balance::Maglev(HashKey::ClientIp),
            Short::One(HashWord::Uri) => Balance::Maglev(HashKey::Uri),
            Short::Table(table) => Balance::Maglev(read_hash(&table, report)?),
        },
    };
    Ok(Some(At { value, span }))
}

fn read_hash(entries: &Entries, report: &mut Report<'_>) -> Result<HashKey, Reported> {
    let header = entries.find(&keys::HASH_HEADER, report);
    let cookie = entries.find(&keys::HASH_COOKIE, report);
    match (header?, cookie?) {
        (Some(header), None) => Ok(HashKey::Header(header.value)),
        (None, Some(cookie)) => Ok(HashKey::Cookie(cookie.value)),
        _ => Err(not_one(&entries.span, report)),
    }
}

fn not_one(span: &Range<usize>, report: &mut Report<'_>) -> Reported {
    report.error(span, &NotOneKey)
}

struct NotOneKey;

impl fmt::Display for NotOneKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("exactly one of header and cookie says what is hashed")
    }
}

impl Fact for NotOneKey {
    fn help(&self) -> Option<String> {
        Some("write one of: { header = \"x-user\" }, { cookie = \"session\" }".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
enum WrongH2 {
    #[error("without tls, HTTP/2 is spoken with prior knowledge")]
    Plain,
    #[error("h2c is HTTP/2 without TLS, and the pool has tls")]
    Tls,
}

impl Fact for WrongH2 {
    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Plain => "write protocol = \"h2c\", or add tls = true".to_owned(),
            Self::Tls => "write protocol = \"h2\", or leave it out: backends choose".to_owned(),
        })
    }
}
