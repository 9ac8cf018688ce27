//! Text for Prometheus, made from a status. docs/operations.md says what each metric means.

use std::sync::atomic::Ordering;

use super::certs::Certs;
use super::certs_list;
use super::dataplane::hellos::Compared;
use super::web::Web;
use crate::admin::api::{Backend, Counter, Listener, Status, Traffic, Use};
use crate::admin::limits::LimitRow;
use crate::l7::worker::Shared;
use crate::telemetry::prometheus::Kind::{Counter as Counts, Gauge};
use crate::telemetry::prometheus::Text;
use crate::telemetry::{handshakes, steering};

/// The metrics of a status, and of the part that serves HTTP.
pub(super) fn text(
    status: &Status,
    limit_rows: &[LimitRow],
    web: &Web,
    certs: &Certs,
    compared: &Compared,
) -> String {
    let mut text = Text::default();
    daemon(&mut text, status);
    kernel(&mut text, status);
    self::compared(&mut text, compared);
    listeners(&mut text, &status.listeners);
    let backends: Vec<_> =
        status.pools.iter().flat_map(|pool| pool.backends.iter().map(|b| (pool.name.as_str(), b))).collect();
    backend_states(&mut text, &backends);
    backend_traffic(&mut text, &backends);
    if let Some(workers) = web.workers() {
        requests(&mut text, workers.shared());
    }
    if let Some((written, dropped)) = web.requests_log().lines() {
        text.metric(
            "proxy_now_access_log_lines_total",
            Counts,
            "Lines of the access log, by what became of them.",
        )
        .count(&[("result", "written")], written)
        .count(&[("result", "dropped")], dropped);
    }
    certs_list::metrics(&mut text, certs);
    limits(&mut text, limit_rows);
    text.finish()
}

fn requests(text: &mut Text, shared: &Shared) {
    shared.requests.write(text);
    let crowd = &shared.crowd;
    text.metric("proxy_now_requests_in_flight", Gauge, "Requests whose answers are not over.")
        .count(&[], u64::from(crowd.requests.load(Ordering::Relaxed)));
    text.metric(
        "proxy_now_requests_turned_away_total",
        Counts,
        "Requests that were answered 503 for overload.",
    )
    .count(&[], crowd.turned_away.load(Ordering::Relaxed));
    let listeners = crowd.listeners();
    let mut open = text.metric("proxy_now_connections", Gauge, "Connections of HTTP clients.");
    for (name, listener) in &listeners {
        open.count(&[("listener", name.as_str())], u64::from(listener.open.load(Ordering::Relaxed)));
    }
    let mut accepted =
        text.metric("proxy_now_connections_accepted_total", Counts, "Connections of HTTP clients.");
    for (name, listener) in &listeners {
        accepted.count(&[("listener", name.as_str())], listener.accepted.load(Ordering::Relaxed));
    }
    let mut refused = text.metric(
        "proxy_now_connections_refused_total",
        Counts,
        "Connections that were refused, by reason.",
    );
    for (name, listener) in &listeners {
        for (reason, count) in [
            ("listener_full", &listener.refused_full),
            ("client_full", &listener.refused_client),
            ("proxy_protocol", &listener.refused_proxy),
        ] {
            let labels = [("listener", name.as_str()), ("reason", reason)];
            refused.count(&labels, count.load(Ordering::Relaxed));
        }
    }
    let secure: Vec<_> = listeners
        .iter()
        .filter(|(name, _)| shared.snapshot().tls_of(name).is_some())
        .map(|(name, listener)| (name.as_str(), &listener.handshakes))
        .collect();
    if !secure.is_empty() {
        handshakes::write(text, &secure);
    }
    let steered: Vec<_> = listeners
        .iter()
        .filter(|(name, _)| shared.snapshot().steering.of(name).is_some())
        .map(|(name, listener)| (name.as_str(), &listener.steered))
        .collect();
    if !steered.is_empty() {
        steering::write(text, &steered);
    }
}

/// What limits let through and what not: as many lines as the configuration has measures, times four.
fn limits(text: &mut Text, rows: &[LimitRow]) {
    if rows.is_empty() {
        return;
    }
    let mut counted =
        text.metric("proxy_now_limit_total", Counts, "What limits have counted, by what became of it.");
    for row in rows {
        for (result, count) in [
            ("passed", row.passed),
            ("refused", row.refused),
            ("observed", row.observed),
            ("exempt", row.exempt),
        ] {
            counted.count(&[("limit", &row.limit), ("measure", &row.measure), ("result", result)], count);
        }
    }
    let mut set = text.metric(
        "proxy_now_limit_overridden",
        Gauge,
        "Whether an operator has set something else than the configuration says.",
    );
    for row in rows {
        set.count(&[("limit", &row.limit), ("measure", &row.measure)], u64::from(row.file.is_some()));
    }
}

fn daemon(text: &mut Text, status: &Status) {
    let Some(daemon) = &status.daemon else { return };
    text.metric("proxy_now_build_info", Gauge, "The version of the daemon. Always 1.")
        .count(&[("version", &daemon.version)], 1);
    text.metric("proxy_now_uptime_seconds", Gauge, "Since the daemon started.").count(&[], daemon.uptime);
    text.metric("proxy_now_reloads_total", Counts, "Configurations, by what became of them.")
        .count(&[("result", "applied")], daemon.reloads)
        .count(&[("result", "refused")], daemon.reloads_refused);
    text.metric("proxy_now_config_in_force", Gauge, "1 unless the last configuration was refused.")
        .count(&[], u64::from(daemon.refused.is_none()));
}

fn kernel(text: &mut Text, status: &Status) {
    let Some(kernel) = &status.kernel else { return };
    let mut attached =
        text.metric("proxy_now_interface_attached", Gauge, "Whether an interface is attached to.");
    for interface in &kernel.interfaces {
        let value = u64::from(interface.mode != "detached");
        attached.count(&[("interface", &interface.name), ("mode", &interface.mode)], value);
    }
    let mut used =
        text.metric("proxy_now_flow_table_entries", Gauge, "Entries of the flow tables that are in use.");
    for table in &kernel.flow_tables {
        used.count(&[("family", &table.family)], table.used);
    }
    let mut size = text.metric("proxy_now_flow_table_size", Gauge, "Entries that the flow tables have.");
    for table in &kernel.flow_tables {
        size.count(&[("family", &table.family)], table.size);
    }
    let mut on = text.metric(
        "proxy_now_guard_on",
        Gauge,
        "Whether a listener is guarded: it gets a flood of SYNs, or is to be guarded always.",
    );
    for guard in &kernel.guards {
        on.count(&[("listener", &guard.listener)], u64::from(guard.on));
    }
    let counters = |text: &mut Text, name, help, label: &str, counters: &[Counter]| {
        let mut metric = text.metric(name, Counts, help);
        for counter in counters {
            metric.count(&[(label, &counter.name)], counter.count);
        }
    };
    counters(text, "proxy_now_drops_total", "Packets dropped, by reason.", "reason", &kernel.drops);
    counters(text, "proxy_now_notices_total", "What else the kernel part counts.", "notice", &kernel.notices);
    counters(
        text,
        "proxy_now_handoffs_total",
        "Relayed connections that were to be handed over to the kernel part, by what came of it.",
        "result",
        &kernel.handoffs,
    );
    let mut hellos = text.metric(
        "proxy_now_kernel_hellos_total",
        Counts,
        "ClientHellos that were looked at before a socket existed, by the host that they name and what became of them.",
    );
    for name in &kernel.names {
        let passed = name.seen.saturating_sub(name.refused + name.limited);
        for (result, count) in [("passed", passed), ("refused", name.refused), ("limited", name.limited)] {
            hellos.count(&[("listener", &name.listener), ("host", &name.host), ("result", result)], count);
        }
    }
}

/// Connections whose names the kernel part and the workers have compared.
fn compared(text: &mut Text, compared: &Compared) {
    text.metric(
        "proxy_now_hellos_compared_total",
        Counts,
        "ClientHellos that the kernel part and a worker have read while somebody looked on, by whether they agree.",
    )
    .count(&[("result", "same")], compared.both - compared.differ)
    .count(&[("result", "differ")], compared.differ);
}

/// A counter of [`Traffic`]: the end of its name, what it is, and where it stands.
type Column = (&'static str, &'static str, &'static str, fn(&Traffic) -> u64);

const LISTENER: [Column; 5] = [
    ("proxy_now_listener_packets_total", "Packets.", "in", |t| t.packets),
    ("proxy_now_listener_packets_total", "", "out", |t| t.return_packets),
    ("proxy_now_listener_bytes_total", "Bytes of whole frames.", "in", |t| t.bytes),
    ("proxy_now_listener_bytes_total", "", "out", |t| t.return_bytes),
    ("proxy_now_listener_new_flows_total", "Bare SYNs and first datagrams.", "", |t| t.new_flows),
];

const BACKEND: [Column; 5] = [
    ("proxy_now_backend_packets_total", "Packets.", "in", |t| t.packets),
    ("proxy_now_backend_packets_total", "", "out", |t| t.return_packets),
    ("proxy_now_backend_bytes_total", "Bytes of whole frames.", "in", |t| t.bytes),
    ("proxy_now_backend_bytes_total", "", "out", |t| t.return_bytes),
    ("proxy_now_backend_new_flows_total", "Bare SYNs and first datagrams.", "", |t| t.new_flows),
];

/// Traffic of many, metric by metric. Columns of one name stand together.
fn traffic(text: &mut Text, columns: &[Column], rows: &[(Vec<(&str, &str)>, Use)]) {
    for same in columns.chunk_by(|a, b| a.0 == b.0) {
        let mut metric = text.metric(same[0].0, Counts, same[0].1);
        for (labels, use_) in rows {
            for (_, _, direction, value) in same {
                let mut labels = labels.clone();
                if !direction.is_empty() {
                    labels.push(("direction", direction));
                }
                metric.count(&labels, value(&use_.traffic));
            }
        }
    }
}

fn listeners(text: &mut Text, listeners: &[Listener]) {
    let rows: Vec<_> = listeners.iter().map(|l| (vec![("listener", l.name.as_str())], l.use_)).collect();
    traffic(text, &LISTENER, &rows);
    let mut flows = text.metric("proxy_now_listener_flows", Gauge, "Established flows.");
    for (labels, use_) in &rows {
        flows.count(labels, use_.flows);
    }
}

fn backend_states(text: &mut Text, backends: &[(&str, &Backend)]) {
    let labels = |pool, b| -> [(&str, &str); 2] { [("pool", pool), ("backend", b)] };
    let mut state = text.metric("proxy_now_backend_state", Gauge, "1 for the state that a backend is in.");
    for (pool, backend) in backends {
        for word in ["ready", "draining", "down"] {
            let [pool, address] = labels(pool, &backend.address);
            state.count(&[pool, address, ("state", word)], u64::from(backend.state.word() == word));
        }
    }
    let mut health =
        text.metric("proxy_now_backend_up", Gauge, "0 if the checks say that a backend is down.");
    for (pool, backend) in backends.iter().filter(|(_, b)| b.health.word != "unchecked") {
        health.count(&labels(pool, &backend.address), u64::from(backend.health.word != "down"));
    }
    let mut took = text.metric("proxy_now_check_seconds", Gauge, "How long a backend's last check took.");
    for (pool, backend) in backends {
        if let Some(ms) = backend.health.took_ms {
            took.sample(&labels(pool, &backend.address), (ms * 1e3).round() / 1e6);
        }
    }
    let mut weight = text.metric("proxy_now_backend_weight", Gauge, "A backend's weight.");
    for (pool, backend) in backends {
        weight.sample(&labels(pool, &backend.address), backend.weight.unwrap_or(0));
    }
}

fn backend_traffic(text: &mut Text, backends: &[(&str, &Backend)]) {
    let rows: Vec<_> = backends
        .iter()
        .map(|(pool, b)| (vec![("pool", *pool), ("backend", b.address.as_str())], b.use_))
        .collect();
    traffic(text, &BACKEND, &rows);
    let mut flows = text.metric("proxy_now_backend_flows", Gauge, "Established flows.");
    for (labels, use_) in &rows {
        flows.count(labels, use_.flows);
    }
}
