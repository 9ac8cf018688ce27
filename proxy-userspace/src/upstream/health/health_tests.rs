//! Facts about health: the state machine by itself, and checks against real servers on the loopback.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::checkers::pause;
use super::probe::probe;
use super::*;
use crate::config::{HealthConfig, HttpProbe, Probe, ProbeTls};
use crate::net::stream::Target;

fn failed() -> Result<(), Failure> {
    Err(Failure::Status(503))
}

fn tracked(rise: u32, fall: u32, known: Health, results: &[bool]) -> Vec<&'static str> {
    let mut tracker = Tracker::new(rise, fall, known);
    results
        .iter()
        .map(|ok| {
            let before = tracker.health().word();
            let changed = tracker.observe(if *ok { Ok(()) } else { failed() });
            assert_eq!(
                changed,
                before != tracker.health().word(),
                "a change is reported, and nothing else is"
            );
            tracker.health().word()
        })
        .collect()
}

#[test]
fn one_failure_takes_a_backend_out_by_default() {
    assert_eq!(tracked(2, 1, Health::Up, &[false]), ["down"]);
    assert_eq!(tracked(2, 1, Health::Unknown, &[false]), ["down"]);
}

#[test]
fn an_unknown_backend_serves_and_is_up_after_one_success() {
    assert!(Health::Unknown.serves());
    assert_eq!(tracked(3, 3, Health::Unknown, &[true]), ["up"]);
}

#[test]
fn rise_successes_in_a_row_bring_it_back_and_a_failure_starts_the_count_anew() {
    let seen = tracked(3, 1, Health::Down(Arc::new(Failure::Before)), &[true, true, false, true, true, true]);
    assert_eq!(seen, ["down", "down", "down", "down", "down", "up"]);
}

#[test]
fn fall_failures_in_a_row_take_it_out_and_a_success_starts_the_count_anew() {
    let seen = tracked(1, 3, Health::Up, &[false, false, true, false, false, false]);
    assert_eq!(seen, ["up", "up", "up", "up", "up", "down"]);
}

#[test]
fn intervals_vary_by_their_jitter_and_no_more() {
    let interval = Duration::from_secs(2);
    assert_eq!(pause(interval, 0.1, 0.0), Duration::from_millis(1800));
    assert_eq!(pause(interval, 0.1, 0.5), interval);
    assert_eq!(pause(interval, 0.1, 1.0), Duration::from_millis(2200));
    assert_eq!(pause(interval, 0.0, 0.9), interval);
}

#[test]
fn a_machine_out_of_sockets_does_not_blame_the_backend() {
    let of = |errno| Failure::Connect(std::io::Error::from_raw_os_error(errno));
    assert!(of(libc::EMFILE).is_local());
    assert!(!of(libc::ECONNREFUSED).is_local());
    assert!(!of(libc::EHOSTUNREACH).is_local());
}

fn in_tokio<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

fn check(probe: Probe) -> HealthConfig {
    HealthConfig {
        probe,
        port: None,
        interval: Duration::from_millis(50),
        timeout: Duration::from_millis(500),
        rise: 2,
        fall: 1,
        jitter: 0.1,
    }
}

async fn asked_once(target: &Target, config: &HealthConfig) -> Result<(), Failure> {
    probe(&Check { target: target.clone(), config: config.clone(), tls: None }).await
}

fn http(tls: Option<ProbeTls>, status: std::ops::RangeInclusive<u16>) -> HealthConfig {
    let host = Some("backend.test".to_owned());
    check(Probe::Http(HttpProbe { tls, path: "/healthz?deep=1".into(), host, status: vec![status] }))
}

#[test]
fn a_path_that_no_request_can_have_fails_the_check() {
    in_tokio(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut config = http(None, 100..=599);
        if let Probe::Http(probe) = &mut config.probe {
            probe.path = "/a b".into();
        }
        let result = asked_once(&listener.local_addr().unwrap().into(), &config).await;
        assert!(matches!(result, Err(Failure::Request(_))), "{result:?}");
    });
}

/// Reads a request's head, gives it back, and answers.
async fn answer<S: AsyncReadExt + AsyncWrite + Unpin>(mut stream: S, with: &[u8]) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    let _ = stream.write_all(with).await;
    let _ = stream.shutdown().await;
    String::from_utf8_lossy(&head).into_owned()
}

/// A probe against a server that answers one connection with these bytes; and what was asked.
async fn asked(config: &HealthConfig, with: &'static [u8]) -> (Result<(), Failure>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap().into();
    let server = tokio::spawn(async move { answer(listener.accept().await.unwrap().0, with).await });
    let result = asked_once(&target, config).await;
    (result, server.await.unwrap())
}

async fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[test]
fn a_tcp_check_wants_a_connection_and_no_more() {
    in_tokio(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        asked_once(&listener.local_addr().unwrap().into(), &check(Probe::Tcp)).await.unwrap();
        let error = asked_once(&free_address().await.into(), &check(Probe::Tcp)).await.unwrap_err();
        assert!(error.to_string().starts_with("no connection: Connection refused"), "{error}");
    });
}

#[test]
fn a_unix_socket_is_checked_as_an_address_is() {
    in_tokio(async {
        let path = std::env::temp_dir().join(format!("pn-health-{}.sock", std::process::id()));
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let target = Target::Unix(path.clone());
        let server = tokio::spawn(async move {
            answer(listener.accept().await.unwrap().0, b"HTTP/1.1 200 OK\r\n\r\n").await
        });
        let mut config = http(None, 200..=200);
        if let Probe::Http(probe) = &mut config.probe {
            probe.host = None;
        }
        asked_once(&target, &config).await.unwrap();
        assert!(server.await.unwrap().contains("host: localhost\r\n"));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(asked_once(&target, &check(Probe::Tcp)).await, Err(Failure::Connect(_))));
    });
}

#[test]
fn an_http_check_asks_for_its_path_and_host_and_judges_the_status() {
    in_tokio(async {
        let ok = b"HTTP/1.1 204 No Content\r\n\r\n";
        let (result, request) = asked(&http(None, 200..=399), ok).await;
        result.unwrap();
        assert!(request.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("host: backend.test\r\n") && request.contains("connection: close\r\n"));
        let (result, _) = asked(&http(None, 200..=203), ok).await;
        assert_eq!(result.unwrap_err().to_string(), "status 204");
    });
}

#[test]
fn what_is_no_http_answer_fails_a_check() {
    in_tokio(async {
        for bytes in [&b""[..], b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200", b"HTTP/1.1 abc\r\n\r\n"] {
            let (result, _) = asked(&http(None, 100..=599), bytes).await;
            let error = result.unwrap_err();
            assert!(matches!(error, Failure::Http(_)), "{error}");
        }
    });
}

#[test]
fn an_endless_head_is_cut_and_a_silent_server_times_out() {
    in_tokio(async {
        let endless = Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20)).into_boxed_str());
        let (result, _) = asked(&http(None, 100..=599), endless.as_bytes()).await;
        assert!(matches!(result, Err(Failure::Http(_))), "{result:?}");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let started = Instant::now();
        let silent = asked_once(&listener.local_addr().unwrap().into(), &http(None, 100..=599)).await;
        assert_eq!(silent.unwrap_err().to_string(), "no answer within 500 ms");
        assert!(started.elapsed() < Duration::from_secs(3));
    });
}

async fn asked_by_tls(trust: ProbeTls) -> Result<(), Failure> {
    let pem = include_bytes!("testdata/backend.pem");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificates = vec![CertificateDer::from_pem_slice(pem).unwrap()];
    let server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_slice(pem).unwrap())
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = listener.local_addr().unwrap();
    tokio::spawn(async move {
        if let Ok(stream) = acceptor.accept(listener.accept().await.unwrap().0).await {
            answer(stream, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    asked_once(&target.into(), &http(Some(trust), 200..=399)).await
}

#[test]
fn an_https_check_refuses_a_strange_certificate_unless_told_otherwise() {
    in_tokio(async {
        asked_by_tls(ProbeTls::Trust).await.unwrap();
        let error = asked_by_tls(ProbeTls::Verify).await.unwrap_err();
        assert!(matches!(error, Failure::Tls(_) | Failure::NoRoots), "{error}");
    });
}

/// Reports until one says so.
async fn until(reports: &mut tokio::sync::mpsc::UnboundedReceiver<Report>, word: &str) -> Report {
    loop {
        let report = tokio::time::timeout(Duration::from_secs(10), reports.recv()).await.unwrap().unwrap();
        if report.changed && report.health.word() == word {
            return report;
        }
    }
}

#[test]
fn a_backend_that_dies_is_reported_within_a_cycle_and_again_when_it_is_back() {
    in_tokio(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let key = CheckKey { pool: "app".into(), backend: target.into() };
        let config = check(Probe::Tcp);
        let (mut checkers, mut reports) = Checkers::new();
        checkers.set(
            HashMap::from([(
                key.clone(),
                Check { target: target.into(), config: config.clone(), tls: None },
            )]),
            |_| Health::Unknown,
        );
        assert_eq!(until(&mut reports, "up").await.key, key);

        drop(listener);
        let died = Instant::now();
        let report = until(&mut reports, "down").await;
        let cycle = pause(config.interval, config.jitter, 1.0) + config.timeout;
        assert!(died.elapsed() <= cycle + Duration::from_millis(500), "{:?}", died.elapsed());
        assert!(matches!(report.health, Health::Down(why) if why.to_string().contains("refused")));

        let _listener = TcpListener::bind(target).await.unwrap();
        until(&mut reports, "up").await;
    });
}

#[test]
fn a_check_that_is_no_longer_wanted_ends_and_one_that_stays_is_not_disturbed() {
    in_tokio(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        let key = CheckKey { pool: "app".into(), backend: target.into() };
        let wanted = HashMap::from([(
            key.clone(),
            Check { target: target.into(), config: check(Probe::Tcp), tls: None },
        )]);
        let (mut checkers, mut reports) = Checkers::new();
        let asked = AtomicBool::new(false);
        checkers.set(wanted.clone(), |_| Health::Unknown);
        checkers.set(wanted.clone(), |_| {
            asked.store(true, Ordering::Relaxed);
            Health::Unknown
        });
        assert!(!asked.load(Ordering::Relaxed), "the same check was begun twice");
        until(&mut reports, "up").await;
        checkers.set(HashMap::new(), |_| Health::Unknown);
        tokio::time::sleep(Duration::from_millis(200)).await;
        while reports.try_recv().is_ok() {}
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(reports.try_recv().is_err(), "a check that is not wanted goes on");
    });
}
