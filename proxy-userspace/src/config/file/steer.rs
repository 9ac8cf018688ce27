//! What a route says of connections that are steered by their ClientHello.

use std::fmt;

use super::distinct::distinct;
use crate::config::diagnostic::Fact;
use crate::config::keys::middleware as layers;
use crate::config::keys::route as keys;
use crate::config::keys::steer::{
    CLIENT_HELLO, HELLO_ALPN, HELLO_CIPHER, HELLO_GROUP, HELLO_JA4, MAX_VERSION, MIN_VERSION, PASSTHROUGH,
    REFUSE,
};
use crate::config::keys::tls::ROUTE_TLS;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::steer::{HelloCondition, version_word};

/// Reads `client_hello`.
pub(super) fn read_client_hello(
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<HelloCondition, Reported> {
    let Some(At { value: hello, span }) = entries.find(&CLIENT_HELLO, report)? else {
        return Ok(HelloCondition::default());
    };
    let alpn = distinct(&hello, &HELLO_ALPN, report);
    let low = hello.find(&MIN_VERSION, report);
    let high = hello.find(&MAX_VERSION, report);
    let ciphers = distinct(&hello, &HELLO_CIPHER, report);
    let groups = distinct(&hello, &HELLO_GROUP, report);
    let ja4 = distinct(&hello, &HELLO_JA4, report);
    let condition = HelloCondition {
        alpn: values(alpn?),
        min_version: low?.map(|version| version.value),
        max_version: high?.map(|version| version.value),
        ciphers: values(ciphers?),
        groups: values(groups?),
        ja4: values(ja4?),
    };
    if let (Some(low), Some(high)) = (condition.min_version, condition.max_version)
        && low > high
    {
        return Err(report.error(&span, &NoVersion { low, high }));
    }
    if condition.is_empty() {
        return Err(report.error(&span, &NothingSaid));
    }
    Ok(condition)
}

fn values<T>(list: Option<Vec<At<T>>>) -> Vec<T> {
    list.into_iter().flatten().map(|at| at.value).collect()
}

/// Reports what has a meaning for requests alone, of a route that takes none.
pub(super) fn refuse_of_requests(entries: &Entries, report: &mut Report<'_>) {
    let passthrough = entries.has(&PASSTHROUGH)
        && entries.find(&PASSTHROUGH, report).is_ok_and(|flag| flag.is_some_and(|flag| flag.value));
    let why = match (passthrough, entries.has(&REFUSE)) {
        (true, true) => {
            report.error(&entries.span_of(&REFUSE), &BothEnds);
            return;
        }
        (true, false) => "its connections are never decrypted",
        (false, true) => "its connections are refused before they are decrypted",
        (false, false) => return,
    };
    macro_rules! refuse {
        ($($key:expr),* $(,)?) => {
            $(if entries.has(&$key) {
                report.error(&entries.span_of(&$key), &OfRequests { key: $key.name, why });
            })*
        };
    }
    refuse!(
        keys::PATH_PREFIX,
        keys::PATH_EXACT,
        keys::PATH_REGEX,
        keys::METHOD_IS,
        keys::HEADER,
        keys::QUERY,
        keys::TIMEOUT,
        ROUTE_TLS,
        layers::USE,
        layers::BASIC_AUTH,
        layers::MAX_BODY,
        layers::REQUEST_HEADERS,
        layers::STRIP_PREFIX,
        layers::REWRITE_PATH,
        layers::RESPONSE_HEADERS,
        layers::COMPRESS,
        layers::ERROR_PAGES,
        layers::ALLOW,
        layers::DENY,
    );
    if passthrough {
        refuse!(keys::REDIRECT, keys::RESPOND);
    }
}

struct NoVersion {
    low: u16,
    high: u16,
}

impl fmt::Display for NoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = (version_word(self.low), version_word(self.high));
        write!(f, "no client speaks {low} or later at best, and {high} or earlier at best")
    }
}

impl Fact for NoVersion {
    fn help(&self) -> Option<String> {
        Some("both are compared with the highest version of the client: take one of them out".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("client_hello says nothing")]
struct NothingSaid;

impl Fact for NothingSaid {
    fn help(&self) -> Option<String> {
        Some(
            "write what the ClientHello says: client_hello = { max_version = \"1.2\" }, or remove it"
                .to_owned(),
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("a connection that is refused is not passed through")]
struct BothEnds;

impl Fact for BothEnds {
    fn help(&self) -> Option<String> {
        Some("remove refuse, or passthrough".to_owned())
    }
}

struct OfRequests {
    key: &'static str,
    why: &'static str,
}

impl fmt::Display for OfRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is about requests, and the route has none: {}", self.key, self.why)
    }
}

impl Fact for OfRequests {
    fn help(&self) -> Option<String> {
        Some(format!("remove {}; host, client_ip and client_hello are known before", self.key))
    }
}
