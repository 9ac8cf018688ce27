//! Facts about the admin socket.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::route::Question;

use super::api::{Answer, Daemon, Drain, Drained, Refusal, RefusalKind, Reload, Request, Status};
use super::*;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pn-admin-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn in_tokio<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what)
}

/// A daemon that answers like this.
fn daemon(folder: &Folder, answer: fn(Request) -> Result<Answer, Refusal>) -> Server {
    let (calls, mut called) = mpsc::channel::<Call>(4);
    tokio::spawn(async move {
        while let Some(call) = called.recv().await {
            let _ = call.answer.send(answer(call.request));
        }
    });
    Server::start(&folder.socket(), 0o660, calls).unwrap()
}

fn well(_: Request) -> Result<Answer, Refusal> {
    Ok(Answer::Health(Daemon { version: "1".into(), ..Daemon::default() }))
}

#[test]
fn what_is_asked_arrives_and_what_is_answered_comes_back() {
    in_tokio(async {
        let folder = Folder::new("asked");
        let _server = daemon(&folder, |request| match request {
            Request::Status => Ok(Answer::Status(Box::default())),
            Request::Reload => Ok(Answer::Reload(Reload::default())),
            Request::Metrics => Ok(Answer::Metrics("a 1\n".into())),
            Request::Explain(tuple) => Ok(Answer::Explain(tuple.into())),
            Request::ExplainRequest(question) => {
                Err(Refusal::new(RefusalKind::BadRequest, format!("{} {:?}", question.url, question.headers)))
            }
            Request::Drain(which) => {
                assert_eq!(which, Drain { backend: "[::1]:80".into(), pool: Some("app".into()) });
                Ok(Answer::Drain(Drained { backends: vec![] }))
            }
            other => well(other),
        });
        let client = Client::new(folder.socket());
        assert_eq!(client.status().await.unwrap(), Status::default());
        assert_eq!(client.reload().await.unwrap(), Reload::default());
        assert_eq!(client.metrics().await.unwrap(), "a 1\n");
        assert_eq!(client.health().await.unwrap().version, "1");
        assert_eq!(client.explain("tcp a -> b").await.unwrap(), "tcp a -> b");
        let question = Question {
            url: "http://a.test/".into(),
            method: None,
            headers: vec!["x: ä".into()],
            client: None,
            listener: None,
        };
        let refused = client.explain_request(&question).await.unwrap_err().to_string();
        assert_eq!(refused, "http://a.test/ [\"x: ä\"]");
        let which = Drain { backend: "[::1]:80".into(), pool: Some("app".into()) };
        assert_eq!(client.drain(&which).await.unwrap().backends, []);
    });
}

#[test]
fn a_refusal_comes_back_with_its_reason() {
    in_tokio(async {
        let folder = Folder::new("refusal");
        let _server = daemon(&folder, |_| Err(Refusal::new(RefusalKind::NotFound, "no such backend")));
        match Client::new(folder.socket()).status().await {
            Err(ClientError::Refused(refusal)) => {
                assert_eq!(*refusal, Refusal::new(RefusalKind::NotFound, "no such backend"));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn the_socket_has_its_mode_and_goes_with_the_server() {
    in_tokio(async {
        let folder = Folder::new("mode");
        let server = daemon(&folder, well);
        let mode = std::fs::metadata(folder.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        drop(server);
        assert!(!folder.socket().exists());
        let error = Client::new(folder.socket()).health().await.unwrap_err();
        assert!(matches!(error, ClientError::NoDaemon(_)), "{error}");
    });
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_is_not() {
    in_tokio(async {
        let folder = Folder::new("stale");
        drop(std::os::unix::net::UnixListener::bind(folder.socket()).unwrap());
        assert!(folder.socket().exists());
        let first = daemon(&folder, well);
        let (calls, _called) = mpsc::channel(1);
        let error = Server::start(&folder.socket(), 0o660, calls.clone()).unwrap_err();
        assert!(matches!(error, SocketError::InUse(_)), "{error}");
        Client::new(folder.socket()).health().await.unwrap();
        drop(first);

        std::fs::write(folder.socket(), "mine").unwrap();
        let error = Server::start(&folder.socket(), 0o660, calls).unwrap_err();
        assert!(matches!(error, SocketError::NotASocket(_)), "{error}");
        assert_eq!(std::fs::read_to_string(folder.socket()).unwrap(), "mine");
    });
}

/// Sends bytes, and gives back what comes until the other side closes.
async fn raw(folder: &Folder, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(folder.socket()).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn what_is_too_long_foreign_or_unknown_is_refused() {
    in_tokio(async {
        let folder = Folder::new("refused");
        let _server = daemon(&folder, well);
        let close = "host: localhost\r\nconnection: close\r\n";
        let ok = raw(&folder, format!("GET /health HTTP/1.1\r\n{close}\r\n").as_bytes()).await;
        assert!(ok.starts_with("HTTP/1.1 200 "), "{ok}");
        let page = format!("POST /reload HTTP/1.1\r\norigin: http://evil.example\r\n{close}\r\n");
        assert!(raw(&folder, page.as_bytes()).await.starts_with("HTTP/1.1 403 "));
        let unknown = raw(&folder, format!("GET /reload HTTP/1.1\r\n{close}\r\n").as_bytes()).await;
        assert!(unknown.starts_with("HTTP/1.1 404 ") && unknown.contains("POST /reload"), "{unknown}");
        let bad = format!("POST /drain HTTP/1.1\r\ncontent-length: 9\r\n{close}\r\n{{\"pool\":1");
        assert!(raw(&folder, bad.as_bytes()).await.starts_with("HTTP/1.1 400 "));
        let long =
            format!("POST /drain HTTP/1.1\r\ncontent-length: 100000\r\n{close}\r\n{}", "x".repeat(100_000));
        assert!(raw(&folder, long.as_bytes()).await.starts_with("HTTP/1.1 413 "));
        let head = format!("GET /health HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40_000));
        assert!(raw(&folder, head.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    });
}

#[test]
fn those_who_say_nothing_keep_nobody_from_being_answered_for_long() {
    in_tokio(async {
        let folder = Folder::new("silent");
        let _server = daemon(&folder, well);
        let mut silent = Vec::new();
        for _ in 0..64 {
            silent.push(UnixStream::connect(folder.socket()).await.unwrap());
        }
        let started = Instant::now();
        Client::new(folder.socket()).health().await.unwrap();
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    });
}

#[test]
fn whoever_was_answered_before_the_end_hears_it() {
    use std::io::{Read as _, Write as _};
    let folder = Folder::new("last");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (calls, mut called) = mpsc::channel::<Call>(4);
    let (server, mut asks, mut idle) = runtime.block_on(async {
        let server = Server::start(&folder.socket(), 0o660, calls).unwrap();
        let mut asks = std::os::unix::net::UnixStream::connect(folder.socket()).unwrap();
        asks.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let idle = std::os::unix::net::UnixStream::connect(folder.socket()).unwrap();
        let call = called.recv().await.unwrap();
        let _ = call.answer.send(well(call.request));
        (server, asks, idle)
    });
    runtime.block_on(server.finish());
    // From here on nobody serves: what can be read has been sent before.
    let mut answer = String::new();
    asks.set_nonblocking(true).unwrap();
    asks.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\"version\":\"1\""), "{answer}");
    idle.set_nonblocking(true).unwrap();
    let told = idle.read(&mut [0; 1]);
    assert!(told.is_err() || told.is_ok_and(|count| count == 0), "nobody waits for those who ask nothing");
}
