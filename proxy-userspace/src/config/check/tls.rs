//! Hosts of `https` listeners: where their certificates come from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::config::diagnostic::Fact;
use crate::config::file::{File, FileRoute, FileRouteTls, FileWebListener};
use crate::config::host_pattern::HostPattern;
use crate::config::name::ListenerName;
use crate::config::report::{At, Report};
use crate::config::tls::{CertificateFrom, ClientAuthConfig, HostTlsConfig};
use crate::config::web::WebListenerConfig;

/// What routes say of one host.
#[derive(Debug, Default)]
struct Gathered<'a> {
    /// By their places among the `https` listeners.
    listeners: BTreeSet<usize>,
    /// And the route that says so, counted from 0.
    from: Option<(CertificateFrom, usize)>,
    client_auth: Option<(&'a ClientAuthConfig, usize)>,
}

/// The hosts that `https` listeners serve. Reports what routes say of TLS that cannot be.
pub(super) fn hosts(file: &File, report: &mut Report<'_>) -> BTreeMap<HostPattern, HostTlsConfig> {
    let secure: Vec<&FileWebListener> = file
        .web_listeners
        .iter()
        .filter(|listener| listener.rest.as_ref().is_ok_and(|rest| rest.tls.is_some()))
        .collect();
    let by_name: HashMap<&str, usize> =
        secure.iter().enumerate().map(|(at, listener)| (&*listener.name.value, at)).collect();
    // What names no listener is about requests.
    let requests = |listener: &FileWebListener| !listener.rest.as_ref().is_ok_and(WebListenerConfig::is_raw);
    let plain: Vec<usize> = (0..secure.len()).filter(|at| requests(secure[*at])).collect();
    let all_read = file.web_listeners.iter().all(|listener| listener.rest.is_ok());
    let every = HostPattern::every();
    let mut hosts: HashMap<&HostPattern, Gathered<'_>> = HashMap::new();
    for (number, route) in file.routes.iter().enumerate() {
        if route.rest.as_ref().is_ok_and(|rest| rest.takes_connections()) {
            continue;
        }
        let Some((tls, listeners)) = terms(route, &by_name, &plain) else { continue };
        if let (Some(tls), true, true) = (tls, listeners.is_empty(), all_read) {
            report.error(&tls.span, &NotByTls);
        }
        let Ok(rest) = &route.rest else { continue };
        let named = match (&rest.hosts[..], tls) {
            ([], None) => continue,
            ([], Some(tls)) if tls.value.from != Some(CertificateFrom::OnDemand) => {
                report.error(&tls.span, &NoHost);
                continue;
            }
            ([], Some(_)) => std::slice::from_ref(&every),
            (named, _) => named,
        };
        for host in named {
            let gathered = hosts.entry(host).or_default();
            gathered.listeners.extend(&listeners);
            if let Some(tls) = tls {
                gathered.add(host, tls, number, report);
            }
        }
    }
    let name = |at: &usize| secure.get(*at).map(|listener| ListenerName::from(&*listener.name.value));
    let names: Vec<Option<ListenerName>> = (0..secure.len()).map(|at| name(&at)).collect();
    let served = hosts.into_iter().filter(|(_, gathered)| !gathered.listeners.is_empty());
    let config = |gathered: Gathered<'_>| HostTlsConfig {
        listeners: gathered.listeners.iter().filter_map(|at| names.get(*at).cloned().flatten()).collect(),
        from: gathered.from.map(|(from, _)| from).unwrap_or_default(),
        client_auth: gathered.client_auth.map(|(auth, _)| auth.clone()),
    };
    served.map(|(host, gathered)| (host.clone(), config(gathered))).collect()
}

/// What a route says of TLS, and the listeners of TLS that it belongs to; none if it could not be read.
fn terms<'a>(
    route: &'a FileRoute,
    by_name: &HashMap<&str, usize>,
    every: &[usize],
) -> Option<(Option<&'a At<FileRouteTls>>, Vec<usize>)> {
    let (Ok(tls), Ok(listeners)) = (&route.tls, &route.listeners) else { return None };
    let listeners = match listeners {
        None => every.to_vec(),
        Some(names) => names.iter().filter_map(|name| by_name.get(&*name.value).copied()).collect(),
    };
    Some((tls.as_deref(), listeners))
}

impl<'a> Gathered<'a> {
    /// What one more route says of the host.
    fn add(&mut self, host: &HostPattern, tls: &'a At<FileRouteTls>, number: usize, report: &mut Report<'_>) {
        let At { value, span } = tls;
        match (self.from, value.from) {
            (Some((before, other)), Some(from)) if before != from => {
                report.error(span, &TwoSources { host, from, before, other });
            }
            (None, Some(from)) => self.from = Some((from, number)),
            _ => {}
        }
        match (self.client_auth, &value.client_auth) {
            (Some((before, other)), Some(auth)) if before != auth => {
                report.error(span, &TwoAuths { host, other });
            }
            (None, Some(auth)) => self.client_auth = Some((auth, number)),
            _ => {}
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("tls: no https listener has this route's requests")]
struct NotByTls;

impl Fact for NotByTls {
    fn help(&self) -> Option<String> {
        Some("remove tls, or give the listener protocol = \"https\"".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("tls: the route has no host that a certificate could be for")]
struct NoHost;

impl Fact for NoHost {
    fn help(&self) -> Option<String> {
        Some("add host, or write tls = \"on-demand\"; client_auth for every host stands in tls of the listener".to_owned())
    }
}

#[derive(Debug)]
struct TwoSources<'a> {
    host: &'a HostPattern,
    from: CertificateFrom,
    before: CertificateFrom,
    /// Counted from 0.
    other: usize,
}

impl fmt::Display for TwoSources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, from, before, other } = self;
        write!(
            f,
            "{host} has its certificate from {:?} here, and from {:?} by ",
            from.word(),
            before.word()
        )?;
        write!(f, "route {} of the file", other + 1)
    }
}

impl Fact for TwoSources<'_> {
    fn help(&self) -> Option<String> {
        Some("a host has one certificate for all its routes: say it once".to_owned())
    }
}

#[derive(Debug)]
struct TwoAuths<'a> {
    host: &'a HostPattern,
    /// Counted from 0.
    other: usize,
}

impl fmt::Display for TwoAuths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has another client_auth by route {} of the file", self.host, self.other + 1)
    }
}

impl Fact for TwoAuths<'_> {
    fn help(&self) -> Option<String> {
        Some(
            "clients show certificates before they say which path they want: say it once for a host"
                .to_owned(),
        )
    }
}
