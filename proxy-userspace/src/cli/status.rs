//! `proxy-now status`: the daemon, the kernel part, listeners, pools, and what passes through them.

use clap::Args;

use super::context::Context;
use super::daemon::{refused, try_ask};
use super::human::{short, span};
use super::outcome::{Failure, Outcome};
use super::output::{Column, Output, Style, Table, left, right};
use crate::admin::ClientError;
use crate::admin::api::{
    Backend, Daemon, HttpListener, Kernel, Listener, Pool, State, Status as Answer, Use,
};
use crate::control;

/// Options of `status`.
#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let status = match try_ask(context, async |daemon| daemon.status().await)? {
            Ok(status) => status,
            // What the kernel part does by itself can be told all the same.
            Err(ClientError::NoDaemon(_)) => control::status_without_daemon(&context.pin_dir())?,
            Err(error) => return Err(refused(context, error)),
        };
        context.output.answer(&status, |output| print(output, &status));
        // Neither a daemon nor a kernel part: nothing is balanced.
        if status.daemon.is_none() && status.kernel.is_none() { Err(Failure::Shown) } else { Ok(()) }
    }
}

fn print(output: &Output, status: &Answer) {
    daemon(output, status.daemon.as_ref());
    kernel(output, status.kernel.as_ref());
    for table in [
        listeners(&status.listeners),
        http(&status.http),
        steered(&status.http),
        http_backends(&status.pools),
        pools(&status.pools),
        guards(status.kernel.as_ref()),
        names(status.kernel.as_ref()),
        drops(status.kernel.as_ref()),
    ] {
        if !table.is_empty() {
            output.line("");
            output.table(&table);
        }
    }
}

/// Hosts that ClientHellos name: those that anybody asked for, and those that are kept out.
fn names(kernel: Option<&Kernel>) -> Table {
    let mut table = Table::new([
        left("HOST"),
        left("LISTENER"),
        left("ROUTE"),
        left("KERNEL"),
        right("HELLOS"),
        right("REFUSED"),
        right("LIMITED"),
    ]);
    let names = kernel.map_or(&[][..], |kernel| &kernel.names);
    for name in names.iter().filter(|name| name.seen > 0 || name.action != "pass") {
        table.row([
            name.host.clone(),
            name.listener.clone(),
            name.route.clone(),
            name.action.clone(),
            name.seen.to_string(),
            name.refused.to_string(),
            name.limited.to_string(),
        ]);
    }
    table
}

fn daemon(output: &Output, daemon: Option<&Daemon>) {
    let Some(Daemon { version, pid, uptime, config, refused, .. }) = daemon else {
        output.line("daemon      none runs; this is what the kernel part does by itself");
        return;
    };
    output.line(format_args!("daemon      {version}, pid {pid}, up {}, {config}", span(*uptime)));
    if let Some(refused) = refused {
        let head = output.paint("refused", Style::Bad);
        output.line(format_args!("{head}     {refused}; the configuration before it is in force"));
    }
}

fn kernel(output: &Output, kernel: Option<&Kernel>) {
    let Some(kernel) = kernel else {
        output.line("kernel      nothing is loaded");
        return;
    };
    let interfaces = kernel.interfaces.iter().map(|interface| {
        let style = if interface.mode == "detached" { Style::Bad } else { Style::Plain };
        let note = interface.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
        output.paint(&format!("{} ({}{note})", interface.name, interface.mode), style)
    });
    output.line(format_args!("interfaces  {}", list(interfaces)));
    let tables =
        kernel.flow_tables.iter().map(|table| format!("{} {} of {}", table.family, table.used, table.size));
    output.line(format_args!("flow table  {}", list(tables)));
}

fn list(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

/// Columns of [`use_cells`].
const USE: [Column; 5] =
    [right("FLOWS"), right("NEW/S"), right("PACKETS/S"), right("BIT/S IN"), right("BIT/S OUT")];

fn use_cells(use_: &Use) -> [String; 5] {
    let rate = &use_.rate;
    [
        use_.flows.to_string(),
        short(rate.new_flows),
        short(rate.packets + rate.return_packets),
        short(rate.bytes * 8.0),
        short(rate.return_bytes * 8.0),
    ]
}

fn listeners(listeners: &[Listener]) -> Table {
    let first = [left("LISTENER"), left("PROTOCOL"), left("FORWARD"), left("POOL")];
    let mut table = Table::new([&first[..], &USE[..], &[left("BIND")]].concat());
    for listener in listeners {
        let Listener { name, protocol, forward, pool, bind, use_ } = listener;
        let bind: Vec<_> = bind.iter().map(ToString::to_string).collect();
        let first = [name, protocol, forward, pool].map(Clone::clone);
        table.row(first.into_iter().chain(use_cells(use_)).chain([bind.join(" ")]));
    }
    table
}

fn http(listeners: &[HttpListener]) -> Table {
    let mut table = Table::new([
        left("HTTP LISTENER"),
        right("CONNECTIONS"),
        right("REQUESTS"),
        right("5XX"),
        right("REFUSED"),
        left("BIND"),
    ]);
    for listener in listeners {
        let HttpListener { name, bind, connections, refused, requests, failed, .. } = listener;
        let numbers =
            [u64::from(*connections), *requests, *failed, *refused].map(|number| number.to_string());
        table.row([name.clone()].into_iter().chain(numbers).chain([bind.join(" ")]));
    }
    table
}

/// Connections by what their ClientHello has led to.
fn steered(listeners: &[HttpListener]) -> Table {
    let mut table = Table::new([
        left("STEERED LISTENER"),
        right("PEEKED"),
        right("RELAYED"),
        right("TERMINATED"),
        right("HANDED OFF"),
        right("REFUSED"),
    ]);
    for listener in listeners {
        let Some(it) = listener.steered else { continue };
        let open = [it.peeked, it.relayed, it.terminated].map(u64::from);
        let numbers = open.into_iter().chain([it.handed_off, it.refused]).map(|number| number.to_string());
        table.row([listener.name.clone()].into_iter().chain(numbers));
    }
    table
}

fn http_backends(pools: &[Pool]) -> Table {
    let mut table = Table::new([
        left("HTTP POOL"),
        left("BACKEND"),
        right("REQUESTS"),
        right("CONNECTIONS"),
        left("NOTE"),
    ]);
    for (pool, backend) in pools.iter().flat_map(|pool| pool.backends.iter().map(move |b| (pool, b))) {
        let Some(http) = &backend.http else { continue };
        let note = if http.ejected { "has failed too often: left alone" } else { "" };
        let [requests, connections] = [http.requests, http.connections].map(|number| number.to_string());
        table.row([pool.name.clone(), backend.address.clone(), requests, connections, note.to_owned()]);
    }
    table
}

fn pools(pools: &[Pool]) -> Table {
    let first = [left("POOL"), left("BACKEND"), left("STATE"), left("HEALTH"), right("WEIGHT")];
    let mut table = Table::new([&first[..], &USE[..], &[left("WHY")]].concat());
    for (pool, backend) in pools.iter().flat_map(|pool| pool.backends.iter().map(move |b| (pool, b))) {
        let style = match backend.state {
            State::Ready => Style::Good,
            State::Draining => Style::Warning,
            State::Down => Style::Bad,
        };
        let plain = |text: String| (text, Style::Plain);
        let first = [
            plain(pool.name.clone()),
            plain(backend.address.clone()),
            (backend.state.word().to_owned(), style),
            plain(health(backend)),
            plain(backend.weight.map_or_else(|| "-".to_owned(), |weight| weight.to_string())),
        ];
        let rest = use_cells(&backend.use_).into_iter().chain([why(backend)]);
        table.styled_row(first.into_iter().chain(rest.map(plain)));
    }
    table
}

fn health(backend: &Backend) -> String {
    match backend.health.since {
        Some(since) => format!("{} {}", backend.health.word, span(since)),
        None => backend.health.word.clone(),
    }
}

fn why(backend: &Backend) -> String {
    let drained = backend.drained_by.as_ref().map(|by| format!("drained by {by}"));
    let parts: Vec<_> = drained.into_iter().chain(backend.health.why.clone()).collect();
    parts.join("; ")
}

fn guards(kernel: Option<&Kernel>) -> Table {
    let mut table = Table::new([left("GUARDED LISTENER"), left("GUARD"), right("SYNS/S")]);
    for guard in kernel.iter().flat_map(|kernel| &kernel.guards) {
        let (word, style) = match (guard.on, guard.always) {
            (true, true) => ("on, always", Style::Plain),
            (true, false) => ("on: a flood of SYNs", Style::Warning),
            (false, _) => ("off", Style::Plain),
        };
        table.styled_row([
            (guard.listener.clone(), Style::Plain),
            (word.to_owned(), style),
            (guard.syns.to_string(), Style::Plain),
        ]);
    }
    table
}

fn drops(kernel: Option<&Kernel>) -> Table {
    let mut table = Table::new([left("DROPPED"), right("PACKETS"), left("MEANING")]);
    for drop in kernel.iter().flat_map(|kernel| &kernel.drops).filter(|drop| drop.count > 0) {
        table.row([drop.name.clone(), drop.count.to_string(), drop.meaning.clone()]);
    }
    table
}
