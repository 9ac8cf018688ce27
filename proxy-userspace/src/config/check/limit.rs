//! Limits against listeners and routes: what a limit counts is there to be counted, and its action can be taken.

use proxy_common::limits::{LIMITS, PLAN_RULES};

use super::limit_facts::{
    ActionNot, CountedNowhere, ExemptAll, NeedsKernel, NoFamily, NoSuchListener, NoSuchRoute, NotHere,
    Nothing, NothingOfIt, PerNot, RouteNot, TooManyLimits, TooManyRules,
};
use crate::config::file::{File, FileLimit};
use crate::config::limit::{LimitAction, LimitConfig, Measure, Measures, Per};
use crate::config::model::Protocol;
use crate::config::name::ListenerName;
use crate::config::report::{At, Report, Reported};
use crate::config::steer;
use crate::config::web::WebBind;

/// What a listener is, as far as limits care. One that is bound to both families is two.
struct Known {
    /// As the kernel part and the workers know it.
    name: String,
    /// As it stands in the file.
    table: String,
    speaks: Speaks,
    /// Packets are sent to it: not to Unix sockets.
    packets: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Tcp,
    Udp,
    Http,
    Https,
    Tls,
    Quic,
    /// Its protocol could not be read.
    Unread,
}

impl Speaks {
    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Http => "http",
            Self::Https => "https",
            Self::Tls => "tls",
            Self::Quic => "quic",
            Self::Unread => "unknown",
        }
    }
}

/// Whether `measure` can be counted per `per` on a listener that speaks so.
fn is_counted(measure: Measure, per: &Per, known: &Known) -> bool {
    let anywhere = matches!(per, Per::Ip | Per::Subnet { .. } | Per::Listener);
    let of_tls = matches!(per, Per::Sni | Per::Ja4);
    match (measure, known.speaks) {
        (_, Speaks::Unread) => true,
        (
            Measure::Packets | Measure::Bytes | Measure::Connections | Measure::Concurrent,
            Speaks::Tcp | Speaks::Udp,
        ) => per.is_of_packets(),
        // Datagrams to its sockets are passed up, whatever they are.
        (Measure::Packets | Measure::Bytes, Speaks::Quic) => false,
        (Measure::Packets | Measure::Bytes, _) => anywhere && known.packets,
        (Measure::Connections | Measure::Concurrent, _) => anywhere,
        (Measure::Handshakes, Speaks::Https | Speaks::Tls | Speaks::Quic) => anywhere || of_tls,
        (Measure::Requests | Measure::Bandwidth, Speaks::Http) => !of_tls,
        (Measure::Requests | Measure::Bandwidth, Speaks::Https) => true,
        (Measure::Handshakes | Measure::Requests | Measure::Bandwidth, _) => false,
    }
}

/// Whether there is any listener that `measure` can be counted per `per` on.
const fn can_be_counted(measure: Measure, per: &Per) -> bool {
    match measure {
        Measure::Packets | Measure::Bytes | Measure::Connections | Measure::Concurrent => per.is_of_packets(),
        Measure::Handshakes => {
            matches!(per, Per::Ip | Per::Subnet { .. } | Per::Listener | Per::Sni | Per::Ja4)
        }
        Measure::Requests | Measure::Bandwidth => true,
    }
}

/// Everything about limits.
pub(super) fn check(file: &File, report: &mut Report<'_>) {
    let known = listeners(file);
    for limit in &file.limits {
        check_listeners(limit, file, &known, report);
        check_routes(limit, file, report);
        check_meaning(limit, &known, report);
        let of_packets = |measures: &Measures| measures.packets.is_some() || measures.bytes.is_some();
        if matches!(file.kernel, Ok(None)) && limit.measures.as_ref().is_ok_and(of_packets) {
            report.error(&limit.name.span, &NeedsKernel { name: &limit.name.value });
        }
        for all in limit.exempt.iter().flatten().filter(|network| network.value.prefix_len() == 0) {
            report.warn(&all.span, &ExemptAll { name: &limit.name.value, network: all.value });
        }
    }
    if let Some(limit) = file.limits.get(LIMITS as usize) {
        report.error(&limit.name.span, &TooManyLimits);
    }
    check_rules(&file.limits, &known, report);
}

fn listeners(file: &File) -> Vec<Known> {
    let mut known = Vec::new();
    for listener in &file.listeners {
        let table = &*listener.name.value;
        let speaks = match listener.protocol {
            Ok(Protocol::Tcp) => Speaks::Tcp,
            Ok(Protocol::Udp) => Speaks::Udp,
            Err(_) => Speaks::Unread,
        };
        let bound = |v6: bool| listener.bind.iter().flatten().any(|bind| bind.value.is_ipv6() == v6);
        let names = match (bound(false), bound(true)) {
            (true, true) => vec![format!("{table}.v4"), format!("{table}.v6")],
            _ => vec![table.to_owned()],
        };
        let half = |name| Known { name, table: table.to_owned(), speaks, packets: true };
        known.extend(names.into_iter().map(half));
    }
    for listener in &file.web_listeners {
        let name = listener.name.value.to_string();
        let speaks = match &listener.rest {
            Ok(rest) => match rest.steer.speaks {
                steer::Speaks::Http => Speaks::Http,
                steer::Speaks::Https => Speaks::Https,
                steer::Speaks::Tls => Speaks::Tls,
                steer::Speaks::Quic => Speaks::Quic,
            },
            Err(_) => Speaks::Unread,
        };
        let packets = listener.bind.iter().flatten().any(|bind| matches!(bind.value, WebBind::Tcp(_)));
        known.push(Known { table: name.clone(), name, speaks, packets });
    }
    known
}

/// The listeners that a limit holds for.
fn matched<'a>(limit: &FileLimit, known: &'a [Known]) -> Vec<&'a Known> {
    let named = |listener: &&Known| match &limit.listeners {
        Ok(Some(names)) => names.iter().any(|name| is_meant(name, listener)),
        Ok(None) => true,
        Err(_) => false,
    };
    known.iter().filter(named).collect()
}

fn is_meant(name: &At<Box<str>>, listener: &Known) -> bool {
    *name.value == *listener.name || *name.value == *listener.table
}

/// What it names is there.
fn check_listeners(limit: &FileLimit, file: &File, known: &[Known], report: &mut Report<'_>) {
    for name in limit.listeners.iter().flatten().flatten() {
        if known.iter().any(|listener| is_meant(name, listener)) {
            continue;
        }
        let text = &*name.value;
        let table = text.strip_suffix(".v4").or_else(|| text.strip_suffix(".v6")).unwrap_or(text);
        if file.listener_names.iter().all(|known| known != table) {
            let fact = NoSuchListener { limit: &limit.name.value, name: table, known: &file.listener_names };
            report.error(&name.span, &fact);
        } else if table != text && known.iter().any(|listener| listener.table == table) {
            report.error(&name.span, &NoFamily { name: text, table });
        }
    }
}

fn check_routes(limit: &FileLimit, file: &File, report: &mut Report<'_>) {
    let names = limit.routes.iter().flatten().flatten();
    let known = || {
        file.routes.iter().zip(1..).filter_map(|(route, number)| match &route.name {
            Ok(Some(name)) => Some(name.value.to_string()),
            Ok(None) => Some(format!("route-{number}")),
            Err(_) => None,
        })
    };
    let unread = file.routes.iter().any(|route| route.name.is_err());
    for name in names {
        if !unread && known().all(|route| route != *name.value) {
            let known: Vec<_> = known().collect();
            report.error(
                &name.span,
                &NoSuchRoute { limit: &limit.name.value, name: &name.value, known: &known },
            );
        }
    }
}

/// Who, what and what is done about it, against each other.
fn check_meaning(limit: &FileLimit, known: &[Known], report: &mut Report<'_>) {
    let (name, span) = (&*limit.name.value, &limit.name.span);
    let Ok(measures) = &limit.measures else { return };
    if *measures == Measures::default() {
        report.error(span, &Nothing { name });
    }
    let matched = matched(limit, known);
    for (measure, _) in measures.iter() {
        if let Ok(action) = &limit.action {
            check_action(name, measure, action, &matched, report);
        }
        if let Ok(Some(routes)) = &limit.routes
            && !matches!(measure, Measure::Requests | Measure::Bandwidth)
            && let Some(first) = routes.first()
        {
            report.error(&first.span, &RouteNot { name, measure });
        }
        match &limit.per {
            Ok(per) if !can_be_counted(measure, &per.value) => {
                report.error(&per.span, &PerNot { name, measure, per: &per.value });
            }
            Ok(per) => check_place(limit, measure, &per.value, &matched, report),
            Err(_) => {}
        }
    }
    check_idle(limit, measures, &matched, report);
}

/// There is something to take the action on.
fn check_action(
    name: &str,
    measure: Measure,
    action: &At<LimitAction>,
    matched: &[&Known],
    report: &mut Report<'_>,
) {
    if !measure.actions().contains(&action.value) {
        report.error(&action.span, &ActionNot { name, measure, action: action.value });
        return;
    }
    let all =
        |which: fn(Speaks) -> bool| !matched.is_empty() && matched.iter().all(|known| which(known.speaks));
    match action.value {
        LimitAction::Reset if all(|speaks| speaks == Speaks::Udp) => {
            report.error(
                &action.span,
                &NotHere { name, action: action.value, why: "UDP has nothing to reset" },
            );
        }
        LimitAction::Close if all(|speaks| matches!(speaks, Speaks::Tcp | Speaks::Udp)) => {
            let why = "connections that are balanced in the kernel are not accepted here";
            report.error(&action.span, &NotHere { name, action: action.value, why });
        }
        _ => {}
    }
}

/// Some listener has what is counted.
fn check_place(limit: &FileLimit, measure: Measure, per: &Per, matched: &[&Known], report: &mut Report<'_>) {
    if matched.iter().any(|known| is_counted(measure, per, known)) {
        return;
    }
    let name = &*limit.name.value;
    match &limit.listeners {
        Ok(Some(names)) if !matched.is_empty() => {
            let speaks = matched[0].speaks.name();
            let span = names.first().map_or(&limit.name.span, |first| &first.span);
            report.error(span, &CountedNowhere { name, measure, per, listener: &matched[0].table, speaks });
        }
        Ok(None) => report.warn(&limit.name.span, &NothingOfIt { name, measure }),
        // What it names is not there, and that was said.
        Ok(Some(_)) | Err(_) => {}
    }
}

/// Every listener that it names has something that it counts.
fn check_idle(limit: &FileLimit, measures: &Measures, matched: &[&Known], report: &mut Report<'_>) {
    let (Ok(Some(names)), Ok(per)) = (&limit.listeners, &limit.per) else { return };
    let counts = |known: &Known| measures.iter().any(|(measure, _)| is_counted(measure, &per.value, known));
    if !matched.iter().any(|known| counts(known)) {
        // Said of each measure.
        return;
    }
    for name in names {
        let mut meant = matched.iter().filter(|listener| is_meant(name, listener)).peekable();
        if let Some(first) = meant.peek().map(|known| known.speaks.name())
            && !meant.any(|known| counts(known))
        {
            let Some((measure, _)) = measures.iter().next() else { return };
            let fact = CountedNowhere {
                name: &limit.name.value,
                measure,
                per: &per.value,
                listener: &name.value,
                speaks: first,
            };
            report.error(&name.span, &fact);
        }
    }
}

/// The kernel looks at each limit of a listener for each packet.
fn check_rules(limits: &[FileLimit], known: &[Known], report: &mut Report<'_>) {
    for listener in known {
        let mut rules = 0;
        for limit in limits {
            let (Ok(measures), Ok(per)) = (&limit.measures, &limit.per) else { continue };
            if matched(limit, std::slice::from_ref(listener)).is_empty() {
                continue;
            }
            let before = rules;
            rules += measures
                .iter()
                .filter(|(measure, _)| measure.is_of_packets() && is_counted(*measure, &per.value, listener))
                .count();
            if before <= PLAN_RULES as usize && rules > PLAN_RULES as usize {
                report.error(&limit.name.span, &TooManyRules { listener: &listener.name });
            }
        }
    }
}

/// What limits mean, in the order of the file.
pub(super) fn resolve(file: &File) -> Result<Vec<LimitConfig>, Reported> {
    let known = listeners(file);
    file.limits.iter().map(|limit| resolve_one(limit, &known)).collect()
}

fn resolve_one(limit: &FileLimit, known: &[Known]) -> Result<LimitConfig, Reported> {
    let strings = |names: &[At<Box<str>>]| names.iter().map(|name| name.value.clone()).collect();
    let listeners = match limit.listeners.as_ref().map_err(|reported| *reported)? {
        Some(_) => matched(limit, known).iter().map(|known| ListenerName::from(&*known.name)).collect(),
        None => Vec::new(),
    };
    let measures = limit.measures.as_ref().map_err(|reported| *reported)?;
    Ok(LimitConfig {
        name: (&*limit.name.value).into(),
        listeners,
        routes: limit
            .routes
            .as_ref()
            .map_err(|reported| *reported)?
            .as_deref()
            .map_or_else(Vec::new, strings),
        per: limit.per.as_ref().map_err(|reported| *reported)?.value.clone(),
        measures: measures.clone(),
        action: limit.action.as_ref().map_err(|reported| *reported)?.value,
        exempt: limit
            .exempt
            .as_ref()
            .map_err(|reported| *reported)?
            .iter()
            .map(|network| network.value)
            .collect(),
        line: limit.line,
    })
}
