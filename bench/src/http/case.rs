//! What is measured: the list is the whole policy.

use super::options::Options;

/// A case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What it is, for people.
    pub(super) what: &'static str,
    /// What clients do.
    pub(super) load: Load,
    /// How many exchanges are measured; of `Idle`, how many connections.
    pub(super) count: usize,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// HTTP/1.1 on connections that stay.
    H1 {
        /// Connections.
        connections: usize,
        /// What is asked for.
        path: &'static str,
    },
    /// HTTP/1.1, one request a connection.
    New {
        /// At a time.
        connections: usize,
    },
    /// HTTP/2 with prior knowledge.
    H2 {
        /// Connections.
        connections: usize,
        /// Requests at a time on each.
        streams: usize,
    },
    /// A message of 1 KiB there and back.
    WebSocket {
        /// Connections.
        connections: usize,
    },
    /// Connections that have asked once and then say nothing.
    Idle,
}

/// The body of small answers.
pub(super) const BODY: usize = 1024;
/// Files of the backend: name, bytes.
pub(super) const FILES: &[(&str, usize)] = &[("100k", 100_000), ("10m", 10_000_000)];

/// All cases.
const CASES: &[Case] = &[
    Case {
        name: "h1",
        what: "HTTP/1.1, 64 connections that stay, answers of 1 KiB",
        load: Load::H1 { connections: 64, path: "/" },
        count: 60_000,
    },
    Case {
        name: "h2",
        what: "HTTP/2, 8 connections of 8 streams, answers of 1 KiB",
        load: Load::H2 { connections: 8, streams: 8 },
        count: 60_000,
    },
    Case {
        name: "new",
        what: "HTTP/1.1, a connection for each request, 64 at a time, answers of 1 KiB",
        load: Load::New { connections: 64 },
        count: 15_000,
    },
    Case {
        name: "100k",
        what: "HTTP/1.1, 64 connections that stay, answers of 100 KB",
        load: Load::H1 { connections: 64, path: "/file/100k" },
        count: 8_000,
    },
    Case {
        name: "10m",
        what: "HTTP/1.1, 8 connections that stay, answers of 10 MB",
        load: Load::H1 { connections: 8, path: "/file/10m" },
        count: 150,
    },
    Case {
        name: "ws",
        what: "WebSockets, 64 connections, messages of 1 KiB there and back",
        load: Load::WebSocket { connections: 64 },
        count: 60_000,
    },
    Case {
        name: "idle",
        what: "10,000 connections that have asked once and then say nothing",
        load: Load::Idle,
        count: 10_000,
    },
];

/// The cases that are asked for; all, if none is.
pub(super) fn chosen(options: &Options) -> Vec<Case> {
    let wanted =
        |case: &&Case| options.cases.is_empty() || options.cases.iter().any(|name| name == case.name);
    CASES.iter().filter(wanted).copied().collect()
}

/// The names of all cases.
pub(super) fn names() -> String {
    CASES.iter().map(|case| case.name).collect::<Vec<_>>().join(" ")
}
