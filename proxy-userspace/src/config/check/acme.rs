//! What hosts want of CAs, against what `[acme]` and `[tls]` say.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;

use crate::config::acme::{AcmeConfig, ChallengeType, IssuerConfig};
use crate::config::diagnostic::Fact;
use crate::config::file::{File, FileRoute, FileRouteTls, FileWebListener};
use crate::config::host_pattern::HostPattern;
use crate::config::report::{At, Report};
use crate::config::tls::{CertificateFrom, is_public};
use crate::config::web::{WebBind, WebListenerConfig};

/// What is asked about each route, found out once.
struct Known<'a> {
    /// Names of `https` listeners.
    secure: HashSet<&'a str>,
    /// Hosts of which some route says where their certificates come from.
    said: HashSet<&'a HostPattern>,
    /// CAs can be asked for wildcards.
    wildcards: bool,
    /// There are certificates in files.
    files: bool,
}

/// Everything about certificates that come by themselves.
pub(super) fn check(file: &File, report: &mut Report<'_>) {
    let (Ok(acme), Ok(tls)) = (&file.acme, &file.tls) else { return };
    let secure = file.web_listeners.iter().filter(|listener| is_secure(listener));
    let says = |route: &&FileRoute| said(route).is_some_and(|said| said.value.from.is_some());
    let known = Known {
        secure: secure.map(|listener| &*listener.name.value).collect(),
        said: file.routes.iter().filter(says).flat_map(hosts).collect(),
        wildcards: acme.dns.is_some() && acme.challenges.contains(&ChallengeType::Dns01),
        files: !tls.certificates.is_empty() || !tls.directories.is_empty(),
    };
    for route in &file.routes {
        check_route(route, acme, &known, report);
    }
    check_serve(file, acme, report);
    if !known.files {
        warn_of_bare(file, report);
    }
}

fn is_secure(listener: &FileWebListener) -> bool {
    listener.rest.as_ref().is_ok_and(|rest| rest.tls.is_some())
}

fn takes_connections(route: &FileRoute) -> bool {
    route.rest.as_ref().is_ok_and(|rest| rest.takes_connections())
}

fn said(route: &FileRoute) -> Option<&At<FileRouteTls>> {
    route.tls.as_ref().ok()?.as_deref()
}

fn hosts(route: &FileRoute) -> &[HostPattern] {
    route.rest.as_ref().map_or(&[], |rest| &rest.hosts)
}

fn check_route(route: &FileRoute, acme: &AcmeConfig, known: &Known<'_>, report: &mut Report<'_>) {
    if takes_connections(route) {
        return;
    }
    let said = said(route);
    let from = said.and_then(|said| said.value.from);
    let span = said.map_or(&route.span, |said| &said.span);
    if from == Some(CertificateFrom::OnDemand) && acme.on_demand.ask.is_none() {
        report.error(span, &NobodyPermits);
        return;
    }
    let by_tls = match &route.listeners {
        Ok(Some(names)) => names.iter().any(|name| known.secure.contains(&*name.value)),
        Ok(None) => !known.secure.is_empty(),
        Err(_) => false,
    };
    for host in hosts(route).iter().filter(|_| by_tls) {
        match (from, host) {
            (Some(CertificateFrom::Acme), HostPattern::Wildcard(_)) if !known.wildcards => {
                report.error(span, &NoWildcards { host });
            }
            (Some(CertificateFrom::Acme), HostPattern::Exact(name))
                if !is_public(name) && all_public(acme) =>
            {
                report.warn(span, &NotPublic { name });
            }
            (
                None | Some(CertificateFrom::Auto | CertificateFrom::Internal),
                HostPattern::Wildcard(parent),
            ) if !parent.contains('.') && !known.files && (from.is_some() || !known.said.contains(host)) => {
                report.warn(span, &TooWide { host });
            }
            (None, HostPattern::Wildcard(parent))
                if !known.wildcards && !known.files && is_public(parent) && !known.said.contains(host) =>
            {
                report.warn(span, &NoWildcards { host });
            }
            _ => {}
        }
    }
}

/// Whether every CA is one of those that vouch for public names only.
fn all_public(acme: &AcmeConfig) -> bool {
    let public = [IssuerConfig::LETSENCRYPT, IssuerConfig::LETSENCRYPT_STAGING, IssuerConfig::ZEROSSL];
    acme.issuers.iter().all(|issuer| public.contains(&&*issuer.directory))
}

/// Our own CA waits where no listener does.
fn check_serve(file: &File, acme: &AcmeConfig, report: &mut Report<'_>) {
    let Some(serve) = &acme.internal.serve else { return };
    let meets = |bind: &SocketAddr| {
        bind.port() == serve.bind.port()
            && bind.is_ipv4() == serve.bind.is_ipv4()
            && (bind.ip() == serve.bind.ip()
                || bind.ip().is_unspecified()
                || serve.bind.ip().is_unspecified())
    };
    for listener in &file.web_listeners {
        for bind in listener.bind.iter().flatten() {
            if let WebBind::Tcp(address) = &bind.value
                && meets(address)
            {
                report.error(&bind.span, &BoundByCa { name: &listener.name.value, bind: serve.bind });
            }
        }
    }
}

/// A listener that has no certificate at all refuses everybody. There are none in files.
fn warn_of_bare(file: &File, report: &mut Report<'_>) {
    let named = |route: &FileRoute| said(route).is_some() || !hosts(route).is_empty() || route.rest.is_err();
    for listener in file.web_listeners.iter().filter(|listener| is_secure(listener)) {
        let name = &*listener.name.value;
        let mut routes = file.routes.iter().filter(|route| match &route.listeners {
            _ if takes_connections(route) => false,
            Ok(Some(names)) => names.iter().any(|of| &*of.value == name),
            Ok(None) | Err(_) => !listener.rest.as_ref().is_ok_and(WebListenerConfig::is_raw),
        });
        // Without a route there is another warning.
        let Some(first) = routes.next() else { continue };
        if !named(first) && !routes.any(named) {
            report.warn(&listener.name.span, &NoCertificate { name });
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("tls = \"on-demand\", and there is no [acme.on_demand]: nobody permits anything")]
struct NobodyPermits;

impl Fact for NobodyPermits {
    fn help(&self) -> Option<String> {
        Some(
            "add [acme.on_demand] ask = \"http://127.0.0.1:9000/may-have\": who is asked may refuse"
                .to_owned(),
        )
    }
}

#[derive(Debug)]
struct TooWide<'a> {
    host: &'a HostPattern,
}

impl fmt::Display for TooWide<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "clients believe no certificate for {}: it stands for a whole top-level name", self.host)
    }
}

impl Fact for TooWide<'_> {
    fn help(&self) -> Option<String> {
        let Self { host } = self;
        let below = host.to_string();
        let below = below.trim_start_matches("*.");
        Some(format!("name each host (\"app.{below}\"), or have them one level deeper (\"*.home.{below}\")"))
    }
}

#[derive(Debug)]
struct NoWildcards<'a> {
    host: &'a HostPattern,
}

impl fmt::Display for NoWildcards<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} can have no certificate: CAs prove wildcards by dns-01 only, and there is no [acme.dns]",
            self.host
        )
    }
}

impl Fact for NoWildcards<'_> {
    fn help(&self) -> Option<String> {
        Some(
            "add [acme.dns] (and dns-01 to challenges), a [[tls.certificate]], or write tls = \"on-demand\" or \
             \"internal\""
                .to_owned(),
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{name} is a name that no public CA vouches for")]
struct NotPublic<'a> {
    name: &'a str,
}

impl Fact for NotPublic<'_> {
    fn help(&self) -> Option<String> {
        Some("write tls = \"internal\", or the directory of a CA of your own in [acme]".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("listener {name:?} is bound to {bind}, where our own CA serves ACME")]
struct BoundByCa<'a> {
    name: &'a str,
    bind: SocketAddr,
}

impl Fact for BoundByCa<'_> {
    fn help(&self) -> Option<String> {
        Some("give serve of [acme.internal] another port".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("listener {name:?} has no certificate: no route of it names a host, and [tls] names no files")]
struct NoCertificate<'a> {
    name: &'a str,
}

impl Fact for NoCertificate<'_> {
    fn help(&self) -> Option<String> {
        Some("name the hosts in its routes: host = \"app.example.com\"".to_owned())
    }
}
