//! What a request costs in the clear.

use std::process::Command;

use crate::http::case::{Case, Load};
use crate::http::peer::{OURS, Peer, Takes, fetched, ours, path, program};
use crate::http::place::BACKEND;
use crate::http::promise::Promise;
use crate::http::suite::Suite;

/// Requests in the clear.
pub(crate) const HTTP: Suite = Suite {
    cases: CASES,
    peers: PEERS,
    promises: PROMISES,
    memory: &["h1", "h2", "new", "100k", "10m", "ws"],
};

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

const PEERS: &[Peer] = &[
    Peer {
        name: OURS,
        files: &[("proxy-now.toml", include_str!("../../../peers/proxy-now.toml"))],
        command: |folder, _| ours(&folder.join("proxy-now.toml")),
        takes: Takes::HttpAndTunnels,
    },
    Peer {
        name: "nginx",
        files: &[("nginx.conf", include_str!("../../../peers/nginx.conf"))],
        command: |folder, _| Ok(program("nginx", &["-c", &path(folder, "nginx.conf")])),
        takes: Takes::HttpAndTunnels,
    },
    Peer {
        name: "haproxy",
        files: &[("haproxy.cfg", include_str!("../../../peers/haproxy.cfg"))],
        command: |folder, _| Ok(program("haproxy", &["-db", "-f", &path(folder, "haproxy.cfg")])),
        takes: Takes::HttpAndTunnels,
    },
    Peer {
        name: "bare hyper",
        files: &[],
        command: |_, ports| {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("bare-hyper").args([ports.h1, ports.h2, BACKEND].map(|port| port.to_string()));
            Ok(command)
        },
        takes: Takes::Http,
    },
    Peer {
        name: "envoy",
        files: &[("envoy.yaml", include_str!("../../../peers/envoy.yaml"))],
        command: |folder, _| {
            let config = path(folder, "envoy.yaml");
            let words = ["-c", &config, "--concurrency", "1", "-l", "error", "--disable-hot-restart"];
            Ok(program(&fetched("envoy")?, &words))
        },
        takes: Takes::HttpAndTunnels,
    },
    Peer {
        name: "traefik",
        files: &[
            ("traefik.toml", include_str!("../../../peers/traefik.toml")),
            ("dynamic.toml", include_str!("../../../peers/traefik-dynamic.toml")),
        ],
        command: |folder, _| {
            Ok(program(&fetched("traefik")?, &[&format!("--configFile={}", path(folder, "traefik.toml"))]))
        },
        takes: Takes::HttpAndTunnels,
    },
    Peer {
        name: "caddy",
        files: &[("Caddyfile", include_str!("../../../peers/Caddyfile"))],
        command: |folder, _| {
            let config = path(folder, "Caddyfile");
            Ok(program(&fetched("caddy")?, &["run", "--adapter", "caddyfile", "--config", &config]))
        },
        takes: Takes::HttpAndTunnels,
    },
];

const PROMISES: &[Promise] = &[
    Promise { case: "h1", most: 1.0, of: &["nginx", "haproxy"] },
    Promise { case: "h1", most: 0.35, of: &["traefik"] },
    Promise { case: "h1", most: 0.25, of: &["caddy"] },
    Promise { case: "h2", most: 1.5, of: &["haproxy"] },
    Promise { case: "h2", most: 0.3, of: &["traefik"] },
];
