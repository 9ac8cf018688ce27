//! `health = { … }`.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use crate::config::diagnostic::Fact;
use crate::config::keys;
use crate::config::model::{HealthConfig, HttpProbe, Probe, ProbeTls};
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::unit::format_duration;

/// What a health table says.
#[derive(Debug)]
pub(in crate::config) struct FileHealth {
    pub(in crate::config) span: Range<usize>,
    pub(in crate::config) config: HealthConfig,
}

impl FileHealth {
    /// Reads everything, then fails if anything was wrong.
    pub(super) fn read(entries: &Entries, report: &mut Report<'_>) -> Result<Self, Reported> {
        let probe = read_probe(entries, report);
        let port = entries.find(&keys::health::PORT, report);
        let interval = entries.get(&keys::health::INTERVAL, report);
        let timeout = read_timeout(entries, &interval, report);
        let rise = entries.get(&keys::health::RISE, report);
        let fall = entries.get(&keys::health::FALL, report);
        let jitter = entries.get(&keys::health::JITTER, report);
        let config = HealthConfig {
            probe: probe?,
            port: port?.map(|port| port.value),
            interval: interval?.value,
            timeout: timeout?,
            rise: rise?.value as u32,
            fall: fall?.value as u32,
            jitter: jitter?.value,
        };
        Ok(Self { span: entries.span.clone(), config })
    }
}

/// The timeout; where it is not said, the default or the interval, whichever is shorter.
fn read_timeout(
    entries: &Entries,
    interval: &Result<At<Duration>, Reported>,
    report: &mut Report<'_>,
) -> Result<Duration, Reported> {
    let timeout = entries.get(&keys::health::TIMEOUT, report)?;
    let Ok(interval) = interval else {
        return Ok(timeout.value);
    };
    if !entries.has(&keys::health::TIMEOUT) {
        return Ok(timeout.value.min(interval.value));
    }
    if timeout.value > interval.value {
        let fact = TimeoutTooLong { timeout: timeout.value, interval: interval.value };
        return Err(report.error(&timeout.span, &fact));
    }
    Ok(timeout.value)
}

fn read_probe(entries: &Entries, report: &mut Report<'_>) -> Result<Probe, Reported> {
    let tcp = entries.find(&keys::health::TCP, report)?;
    let http = entries.find(&keys::health::HTTP, report)?;
    let https = entries.find(&keys::health::HTTPS, report)?;
    let host = entries.find(&keys::health::HOST, report);
    let status = entries.get(&keys::health::STATUS, report);
    let verify = entries.get(&keys::health::VERIFY, report);
    let kind = match (&tcp, &http, &https) {
        (Some(At { value: false, span }), None, None) => return Err(report.error(span, &TcpFalse)),
        (Some(_), None, None) => None,
        (None, Some(path), None) => Some((&path.value, None)),
        (None, None, Some(path)) => Some((&path.value, Some(ProbeTls::Verify))),
        _ => return Err(report.error(&entries.span, &NotOneProbe { owner: &entries.owner })),
    };
    let Some((path, tls)) = kind else {
        refuse(entries, &keys::health::HOST, "http or https", report)?;
        refuse(entries, &keys::health::STATUS, "http or https", report)?;
        refuse(entries, &keys::health::VERIFY, "https", report)?;
        return Ok(Probe::Tcp);
    };
    if tls.is_none() {
        refuse(entries, &keys::health::VERIFY, "https", report)?;
    }
    let verify = verify?.value;
    Ok(Probe::Http(HttpProbe {
        tls: tls.map(|tls| if verify { tls } else { ProbeTls::Trust }),
        path: path.to_string(),
        host: host?.map(|host| host.value.into()),
        status: status?.value.into_iter().map(|range| range.value).collect(),
    }))
}

/// Reports a key that is there and has nothing to say.
fn refuse<K: crate::config::table::Kind>(
    entries: &Entries,
    key: &'static crate::config::table::Key<K>,
    belongs_to: &'static str,
    report: &mut Report<'_>,
) -> Result<(), Reported> {
    if !entries.has(key) {
        return Ok(());
    }
    let fact = NotForThisProbe { key: key.name, belongs_to };
    Err(report.error(&entries.span_of(key), &fact))
}

struct TimeoutTooLong {
    timeout: Duration,
    interval: Duration,
}

impl fmt::Display for TimeoutTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (timeout, interval) = (format_duration(self.timeout), format_duration(self.interval));
        write!(f, "timeout = {timeout:?} is longer than the interval of {interval:?}")
    }
}

impl Fact for TimeoutTooLong {
    fn help(&self) -> Option<String> {
        Some("a check ends before the next begins: shorten timeout, or lengthen interval".to_owned())
    }
}

struct TcpFalse;

impl fmt::Display for TcpFalse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tcp = false says nothing about how backends are checked")
    }
}

impl Fact for TcpFalse {
    fn help(&self) -> Option<String> {
        Some("without checks: remove health".to_owned())
    }
}

struct NotOneProbe<'a> {
    owner: &'a str,
}

impl fmt::Display for NotOneProbe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: exactly one of tcp, http and https says what is asked", self.owner)
    }
}

impl Fact for NotOneProbe<'_> {
    fn help(&self) -> Option<String> {
        Some("write one of: tcp = true, http = \"/healthz\", https = \"/healthz\"".to_owned())
    }
}

struct NotForThisProbe {
    key: &'static str,
    belongs_to: &'static str,
}

impl fmt::Display for NotForThisProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has a meaning for {} checks only", self.key, self.belongs_to)
    }
}

impl Fact for NotForThisProbe {
    fn help(&self) -> Option<String> {
        Some(format!("remove {}", self.key))
    }
}
