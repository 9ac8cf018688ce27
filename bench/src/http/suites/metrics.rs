//! What counting requests costs: the same daemon twice, in turn.

use crate::http::case::{Case, Load};
use crate::http::peer::{OURS, Peer, Takes, ours};
use crate::http::promise::Promise;
use crate::http::suite::Suite;

/// Requests that are counted, and requests that are not.
pub(crate) const METRICS: Suite = Suite { cases: CASES, peers: PEERS, promises: PROMISES, memory: &[] };

/// Ours, which counts no requests.
const UNCOUNTED: &str = "uncounted";

/// Many: little is looked for.
const COUNT: usize = 150_000;

const CASES: &[Case] = &[
    Case {
        name: "h1",
        what: "HTTP/1.1, 64 connections that stay, answers of 1 KiB",
        load: Load::H1 { connections: 64, path: "/" },
        count: COUNT,
    },
    Case {
        name: "h2",
        what: "HTTP/2, 8 connections of 8 streams, answers of 1 KiB",
        load: Load::H2 { connections: 8, streams: 8 },
        count: COUNT,
    },
];

const PEERS: &[Peer] = &[
    Peer {
        name: OURS,
        files: &[("proxy-now.toml", include_str!("../../../peers/proxy-now.toml"))],
        command: |folder, _| ours(&folder.join("proxy-now.toml")),
        takes: Takes::HttpAndTunnels,
    },
    Peer {
        name: UNCOUNTED,
        files: &[(
            "proxy-now.toml",
            concat!(include_str!("../../../peers/proxy-now.toml"), "request_metrics = false\n"),
        )],
        command: |folder, _| ours(&folder.join("proxy-now.toml")),
        takes: Takes::HttpAndTunnels,
    },
];

const PROMISES: &[Promise] = &[
    Promise { case: "h1", most: 1.03, of: &[UNCOUNTED] },
    Promise { case: "h2", most: 1.03, of: &[UNCOUNTED] },
];
