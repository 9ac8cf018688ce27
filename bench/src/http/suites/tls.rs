//! What handshakes cost, and requests by TLS 1.3: ECDSA P-256, AES-128-GCM.

use std::process::Command;

use crate::http::case::{Case, Hello, Load};
use crate::http::certificate;
use crate::http::peer::{OURS, Peer, Takes, fetched, ours, path, program};
use crate::http::place::BACKEND;
use crate::http::promise::Promise;
use crate::http::suite::Suite;

/// Handshakes, and requests by TLS.
pub(crate) const TLS: Suite = Suite { cases: CASES, peers: PEERS, promises: PROMISES, memory: &[] };

const CASES: &[Case] = &[
    Case {
        name: "full",
        what: "a connection with a full handshake (X25519) for each request, 64 at a time",
        load: Load::Handshakes { connections: 64, hello: Hello::Full },
        count: 8_000,
    },
    Case {
        name: "resumed",
        what: "a connection with a resumed handshake (X25519) for each request, 64 at a time",
        load: Load::Handshakes { connections: 64, hello: Hello::Resumed },
        count: 8_000,
    },
    Case {
        name: "hybrid",
        what: "a connection with a full handshake (X25519MLKEM768) for each request, 64 at a time",
        load: Load::Handshakes { connections: 64, hello: Hello::Hybrid },
        count: 8_000,
    },
    Case {
        name: "h1",
        what: "HTTP/1.1, 64 connections that stay, answers of 1 KiB",
        load: Load::Tls { connections: 64, path: "/" },
        count: 60_000,
    },
    Case {
        name: "h2",
        what: "HTTP/2, 8 connections of 8 streams, answers of 1 KiB",
        load: Load::TlsH2 { connections: 8, streams: 8 },
        count: 60_000,
    },
    Case {
        name: "100k",
        what: "HTTP/1.1, 64 connections that stay, answers of 100 KB",
        load: Load::Tls { connections: 64, path: "/file/100k" },
        count: 8_000,
    },
];

const PEERS: &[Peer] = &[
    Peer {
        name: OURS,
        files: &[("proxy-now.toml", include_str!("../../../peers/tls/proxy-now.toml"))],
        command: |folder, _| ours(&folder.join("proxy-now.toml")),
        takes: Takes::Tls,
    },
    Peer {
        name: "nginx",
        files: &[("nginx.conf", include_str!("../../../peers/tls/nginx.conf"))],
        command: |folder, _| Ok(program("nginx", &["-c", &path(folder, "nginx.conf")])),
        takes: Takes::Tls,
    },
    Peer {
        name: "haproxy",
        files: &[("haproxy.cfg", include_str!("../../../peers/tls/haproxy.cfg"))],
        command: |folder, _| Ok(program("haproxy", &["-db", "-f", &path(folder, "haproxy.cfg")])),
        takes: Takes::Tls,
    },
    Peer {
        name: "bare hyper",
        files: &[],
        command: |folder, ports| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["bare-hyper-tls", &ports.tls.to_string(), &BACKEND.to_string()]);
            command.arg(folder.join("..").join(certificate::BOTH));
            Ok(command)
        },
        takes: Takes::Tls,
    },
    Peer {
        name: "envoy",
        files: &[("envoy.yaml", include_str!("../../../peers/tls/envoy.yaml"))],
        command: |folder, _| {
            let config = path(folder, "envoy.yaml");
            let words = ["-c", &config, "--concurrency", "1", "-l", "error", "--disable-hot-restart"];
            Ok(program(&fetched("envoy")?, &words))
        },
        takes: Takes::Tls,
    },
    Peer {
        name: "traefik",
        files: &[
            ("traefik.toml", include_str!("../../../peers/tls/traefik.toml")),
            ("dynamic.toml", include_str!("../../../peers/tls/traefik-dynamic.toml")),
        ],
        command: |folder, _| {
            Ok(program(&fetched("traefik")?, &[&format!("--configFile={}", path(folder, "traefik.toml"))]))
        },
        takes: Takes::Tls,
    },
    Peer {
        name: "caddy",
        files: &[("Caddyfile", include_str!("../../../peers/tls/Caddyfile"))],
        command: |folder, _| {
            let config = path(folder, "Caddyfile");
            Ok(program(&fetched("caddy")?, &["run", "--adapter", "caddyfile", "--config", &config]))
        },
        takes: Takes::Tls,
    },
];

const PROMISES: &[Promise] = &[
    Promise { case: "full", most: 0.75, of: &["nginx", "haproxy"] },
    Promise { case: "resumed", most: 0.75, of: &["nginx", "haproxy"] },
    Promise { case: "h1", most: 1.0, of: &["nginx", "haproxy"] },
];
