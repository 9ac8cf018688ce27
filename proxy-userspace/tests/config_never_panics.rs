//! Whatever stands in a file: reading it ends with a configuration, or with mistakes that have a place in the file.

use std::fmt::Write as _;

use proptest::prelude::*;
use proxy_userspace::config::{self, ConfigErrors, Endpoint, RouteAction};
use proxy_userspace::route::RequestTarget;

/// Reads a text and checks what does not depend on it.
fn read(text: &str) {
    let lines = text.split('\n').count();
    match config::parse(text, "proxy.toml") {
        Ok(config) => {
            for listener in &config.listeners {
                assert!(config.kernel.is_some());
                assert!(!listener.bind.is_empty());
                assert!(config.backends(listener).count() > 0, "{listener:?}");
            }
            for route in &config.routes {
                assert!(!route.listeners.is_empty() && (1..=lines).contains(&route.line), "{route:?}");
                if let RouteAction::Pool(pool) = &route.action {
                    assert!(config.pool(pool).is_some(), "{route:?}");
                }
            }
            for pool in &config.pools {
                for (health, backend) in
                    pool.health.iter().flat_map(|h| pool.backends.iter().map(move |b| (h, b)))
                {
                    match health.target(backend) {
                        Endpoint::Unix(path) => assert!(path.is_absolute()),
                        target => assert!(target.port() > Some(0)),
                    }
                    assert!(health.timeout <= health.interval);
                }
            }
        }
        Err(ConfigErrors::Wrong(mistakes)) => {
            assert!(!mistakes.0.is_empty());
            for mistake in &mistakes.0 {
                assert!((1..=lines).contains(&mistake.line), "{mistake}");
                assert!(mistake.column >= 1 && mistake.width >= 1, "{mistake}");
            }
            assert!(!mistakes.to_string().is_empty());
        }
        Err(error) => panic!("{error}"),
    }
}

/// Values that some key or other wants, or nearly.
const VALUES: &[&str] = &[
    "true",
    "false",
    "0",
    "1",
    "80",
    "65536",
    "-1",
    "0x10",
    "1e9",
    "nan",
    "inf",
    "0.1",
    "2024-01-01",
    "\"\"",
    "\"2s\"",
    "\"500ms\"",
    "\"99999999999999999999d\"",
    "\"1024-32767\"",
    "\"10.0.0.1:80\"",
    "\"10.0.0.1\"",
    "\"[2001:db8::1]:80\"",
    "\"2001:db8::1\"",
    "\"0.0.0.0:0\"",
    "\"app\"",
    "\"tcp\"",
    "\"udp\"",
    "\"dsr\"",
    "\"nat\"",
    "\"https\"",
    "\"/x\"",
    "\"é→\\u0000\"",
    "[]",
    "{}",
    "[[]]",
    "[\"10.0.0.1:80\"]",
    "[\"[2001:db8::1]:80\", \"10.0.0.1\"]",
    "[\"eth0\"]",
    "\"http\"",
    "\"0.0.0.0:80\"",
    "\"unix:/run/x.sock\"",
    "\"app.example.com:80\"",
    "\"*.example.com\"",
    "\"10.0.0.0/8\"",
    "\"64KiB\"",
    "\"GET\"",
    "\"{host}{{\"",
    "\"{\"",
    "'^/(a|b)$'",
    "404",
    "{ x-a = \"1\", x-b = true, x-c = { regex = 'x' } }",
    "{ to = \"/{path}\", status = 302 }",
    "{ status = 200, body = \"x\" }",
    "{ set = { x = \"{host}\" }, remove = \"y\" }",
    "{ maglev = { cookie = \"c\" } }",
    "{ 404 = \"/x\" }",
    "{ users = { a = \"b\" } }",
    "{ attempts = 1, on = [502] }",
    "{ connect = \"1s\" }",
    "{ tcp = true }",
    "{ http = \"/\", port = 80 }",
    "[{ address = \"10.0.0.2:80\", weight = 2 }]",
    "'''\nmore\nlines'''",
];

const KEYS: &[&str] = &[
    "interfaces",
    "attach",
    "flows",
    "nat_ports",
    "nat_source",
    "hash_seed",
    "tcp_idle",
    "udp_idle",
    "pin_dir",
    "socket",
    "mode",
    "bind",
    "protocol",
    "pool",
    "forward",
    "backends",
    "balance",
    "health",
    "health.tcp",
    "health.interval",
    "health.timeout",
    "\"\"",
    "x",
    "interfaces.x",
    "limits",
    "trusted_proxies",
    "http2",
    "name",
    "listener",
    "host",
    "path",
    "path_exact",
    "path_regex",
    "method",
    "header",
    "query",
    "client_ip",
    "redirect",
    "respond",
    "timeout",
    "use",
    "allow",
    "basic_auth",
    "max_body",
    "request_headers",
    "strip_prefix",
    "rewrite_path",
    "compress",
    "error_pages",
    "retry",
    "eject",
    "workers",
    "grace",
    "to",
    "format",
];

const TABLES: &[&str] = &[
    "[kernel]",
    "[admin]",
    "[listener.a]",
    "[listener.b]",
    "[listener]",
    "[[listener]]",
    "[pool.app]",
    "[pool]",
    "[pool.\"\"]",
    "[[route]]",
    "[route]",
    "[middleware.m]",
    "[server]",
    "[access_log]",
    "[acme]",
    "[limit.x]",
    "[kernel.x]",
];

fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(words)
}

/// A file of our own tables, keys and values, thrown together.
fn jumble() -> impl Strategy<Value = String> {
    let table = (any_of(TABLES), prop::collection::vec((any_of(KEYS), any_of(VALUES)), 0..6));
    prop::collection::vec(table, 0..6).prop_map(|tables| {
        let mut text = String::new();
        for (head, entries) in tables {
            let _ = writeln!(text, "{head}");
            for (key, value) in entries {
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    })
}

/// A good file with some of its values replaced and some of its bytes gone.
fn damaged_example() -> impl Strategy<Value = String> {
    let good = include_str!("../../examples/full.toml");
    let cuts = prop::collection::vec((0..good.len(), 0..12usize, any_of(VALUES)), 0..4);
    cuts.prop_map(move |cuts| {
        let mut bytes = good.as_bytes().to_vec();
        for (at, length, value) in cuts {
            let at = at.min(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, value.bytes());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The pieces that paths are made of, and go wrong by.
const PIECES: &[&str] = &[
    "/", "a", "..", ".", "%2F", "%2f", "%41", "%20", "%00", "%7F", "%C0", "%AE", "%E0", "%80", "%F0",
    "%C3%A4", "%5C", "%3B", ";", "@", "%40", "%25", "%", "|", "?", "*", "ä", "~", "{", "+",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// A path of a route that no request could have would be a route that never matches.
    #[test]
    fn a_path_that_is_allowed_is_one_that_requests_have(
        pieces in prop::collection::vec(any_of(PIECES), 0..8),
    ) {
        let path = format!("/{}", pieces.concat());
        let text = format!(
            "[listener.a]\nbind = \"192.0.2.1:80\"\nprotocol = \"http\"\n[[route]]\nrespond = 204\npath_exact = '{path}'\n"
        );
        if config::parse(&text, "proxy.toml").is_ok() {
            let target = RequestTarget::parse(path.clone().into());
            prop_assert_eq!(target.as_ref().map(RequestTarget::path), Ok(&*path));
        }
    }

    #[test]
    fn any_text(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_lines(text in "[\\[\\]{}=\",.#' \\n\\r\\ta-z0-9é-]{0,200}") {
        read(&text);
    }

    #[test]
    fn any_jumble_of_our_words(text in jumble()) {
        read(&text);
    }

    #[test]
    fn any_damaged_example(text in damaged_example()) {
        read(&text);
    }
}

#[test]
fn depth_and_size_overflow_no_stack() {
    for deep in ["[", "{a=", "a.", "[a.", "[[a."] {
        read(&deep.repeat(50_000));
        read(&format!("a = {}", deep.repeat(50_000)));
    }
    read(&format!("{} = 1", vec!["a"; 50_000].join(".")));
    read(&format!("[{}]\nb = 1", vec!["a"; 50_000].join(".")));
}

#[test]
fn ten_thousand_mistakes_are_told_in_a_moment() {
    let mut text = String::from("[listener.a]\nbind = \"192.0.2.1:80\"\nprotocol = \"http\"\n");
    for number in 0..10_000u32 {
        let _ = writeln!(text, "[[route]]\npath = \"{number}\"\nrespond = 204");
    }
    let start = std::time::Instant::now();
    let Err(ConfigErrors::Wrong(mistakes)) = config::parse(&text, "proxy.toml") else { panic!() };
    assert_eq!(mistakes.0.len(), 10_000);
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
}

#[test]
fn ten_thousand_backends_are_read_in_a_moment() {
    let mut text = String::from(
        "[kernel]\ninterfaces = [\"eth0\"]\n[listener.a]\nbind = [\"203.0.113.1:80\"]\nprotocol = \"tcp\"\npool = \"p\"\n[pool.p]\nbackends = [\n",
    );
    for number in 0..10_000u32 {
        let [_, _, third, fourth] = number.to_be_bytes();
        let _ = writeln!(text, "{{ address = \"10.1.{third}.{fourth}:80\", weight = 3 }},");
    }
    text.push_str("]\n");
    let start = std::time::Instant::now();
    let config = config::parse(&text, "proxy.toml").unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(config.pools[0].backends.len(), 10_000);
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
}
