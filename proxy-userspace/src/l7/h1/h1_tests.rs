//! Both codecs against each other and against bytes, over sockets.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::{Method, StatusCode, Version, header};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::LocalSet;

use super::client::{Terms, exchange};
use super::link::Link;
use super::server::serve;
use crate::config::{GuardConfig, WebLimits, WebListenerConfig};
use crate::l7::{Body, Connection, Handler, Leave, Record, Request, Response};
use crate::net::epoll::EpollStream;

/// What a test's handler does.
#[derive(Clone)]
struct Answers<F> {
    answer: F,
    seen: Rc<RefCell<Vec<u16>>>,
}

impl<F, A> Handler for Answers<F>
where
    F: Fn(Request) -> A + Clone + 'static,
    A: Future<Output = Response>,
{
    fn handle(&self, request: Request) -> impl Future<Output = Response> {
        (self.answer)(request)
    }

    fn finished(&self, _connection: &Connection, record: &Record) {
        self.seen.borrow_mut().push(record.status.get());
    }
}

fn connection(limits: WebLimits) -> Rc<Connection> {
    Rc::new(Connection {
        listener: Arc::new(WebListenerConfig {
            name: "web".into(),
            bind: Vec::new(),
            http2: false,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            limits,
            access_log: false,
            guard: GuardConfig::default(),
            tls: None,
            steer: crate::config::SteerConfig::default(),
            redirect_https: None,
        }),
        client: "127.0.0.1:1".parse().unwrap(),
        local: "127.0.0.1:2".parse().unwrap(),
        trusted: false,
        tls: None,
    })
}

/// A server of one connection, as a client sees it.
struct Server {
    client: UnixStream,
    seen: Rc<RefCell<Vec<u16>>>,
    leave: Rc<Leave>,
    task: tokio::task::JoinHandle<()>,
}

fn server<F, A>(limits: WebLimits, answer: F) -> Server
where
    F: Fn(Request) -> A + Clone + 'static,
    A: Future<Output = Response> + 'static,
{
    let (client, ours) = UnixStream::pair().unwrap();
    let (seen, leave) = (Rc::default(), Rc::new(Leave::default()));
    let handler = Answers { answer, seen: Rc::clone(&seen) };
    let told = Rc::clone(&leave);
    let task = tokio::task::spawn_local(async move {
        let (stream, now) = (EpollStream::Unix(ours), Instant::now());
        serve(stream, BytesMut::new(), now, connection(limits), handler, &told).await;
    });
    Server { client, seen, leave, task }
}

impl Server {
    /// Sends `bytes`, ends our side, and gives all that comes back.
    async fn talk(mut self, bytes: &str) -> String {
        self.client.write_all(bytes.as_bytes()).await.unwrap();
        self.client.shutdown().await.unwrap();
        self.rest().await
    }

    async fn rest(&mut self) -> String {
        let mut answer = Vec::new();
        let _ended = self.client.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    async fn until(&mut self, end: &str) -> String {
        let mut answer = Vec::new();
        while !answer.ends_with(end.as_bytes()) {
            answer.push(self.client.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap()
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = LocalSet::new();
    let limit = Duration::from_secs(20);
    local.block_on(&runtime, async { tokio::time::timeout(limit, test).await.expect("it takes too long") });
}

/// Answers with what was asked and sent.
async fn echo(request: Request) -> Response {
    let line = format!("{} {} ", request.method, request.target.path());
    match request.body.collect().await {
        Ok(body) => Response::new(Body::full([line.as_bytes(), &body.to_bytes()].concat())),
        Err(_) => {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            answer
        }
    }
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_request_is_answered_and_the_connection_stays() {
    run(async {
        let mut server = server(WebLimits::default(), echo);
        for _ in 0..2 {
            server.client.write_all(GET.as_bytes()).await.unwrap();
            assert_eq!(server.until("/a ").await, "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nGET /a ");
        }
        assert_eq!(*server.seen.borrow(), [200, 200]);
    });
}

#[test]
fn pipelined_requests_are_answered_in_order_also_to_who_has_ended_its_side() {
    run(async {
        let bytes = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                     POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n";
        let answer = server(WebLimits::default(), echo).talk(bytes).await;
        let bodies: Vec<_> =
            answer.split("\r\n\r\n").skip(1).map(|part| part.split("HTTP").next().unwrap()).collect();
        assert_eq!(bodies, ["GET /1 ", "POST /2 abc", "POST /3 xyz"]);
    });
}

#[test]
fn requests_may_come_byte_by_byte() {
    run(async {
        let bytes = "\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
                     POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nxyz\r\n0\r\nA: b\r\n\r\n";
        let mut server = server(WebLimits::default(), echo);
        for byte in bytes.bytes() {
            server.client.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert!(server.until("POST /2 abc").await.starts_with("HTTP/1.1 200"));
        assert!(server.until("POST /3 xyz").await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_ends() {
    run(async {
        let limits = WebLimits { header_bytes: 2000, uri_bytes: 500, ..WebLimits::default() };
        let long = "a".repeat(3000);
        for (bytes, status) in [
            ("GET / HTTP/1.1\r\n\r\n".to_string(), 400),
            ("GET / HTTP/1.1\nHost: a\n\n".to_string(), 400),
            ("\r\n\r\n\r\n\r\n".to_string(), 400),
            (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431),
            ("GET / HTTP/1.1\r\nHost: a\r\n".to_string() + &"a:\r\n".repeat(101), 431),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_string(), 505),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n".to_string(), 417),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5x".to_string() + GET, 400),
        ] {
            let server = server(limits.clone(), echo);
            let seen = Rc::clone(&server.seen);
            let answer = server.talk(&(bytes.clone() + GET)).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {answer}");
            assert!(answer.contains("connection: close\r\n"));
            assert_eq!(*seen.borrow(), [status]);
        }
    });
}

#[test]
fn who_waits_for_a_100_gets_one_when_the_body_is_asked_for() {
    run(async {
        let mut server = server(WebLimits::default(), echo);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
        server.client.write_all(head.as_bytes()).await.unwrap();
        assert_eq!(server.until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        server.client.write_all(b"abc").await.unwrap();
        assert!(server.until("POST / abc").await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn nothing_is_said_between_the_head_of_an_answer_and_its_body() {
    const EXPECTS: &str = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
    run(async {
        // A backend that wants no body says so without a 100, and not in one piece.
        let denied = |mut request: Request| async move {
            let (mut theirs, ours) = UnixStream::pair().unwrap();
            tokio::task::spawn_local(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(theirs.read_u8().await.unwrap());
                }
                theirs.write_all(b"HTTP/1.1 401 No\r\nContent-Length: 6\r\n\r\n").await.unwrap();
                tokio::time::sleep(Duration::from_millis(100)).await;
                theirs.write_all(b"denied").await.unwrap();
                std::future::pending::<()>().await;
            });
            let keep = |_| panic!("it may still wait for a body");
            exchange(Link::new(EpollStream::Unix(ours)), &mut request, &terms(), keep).await.unwrap()
        };
        let mut from_backend = server(WebLimits::default(), denied);
        from_backend.client.write_all(EXPECTS.as_bytes()).await.unwrap();
        let answer = from_backend.rest().await;
        assert!(answer.ends_with("\r\n\r\ndenied") && answer.contains("connection: close"), "{answer}");
        // Whoever answers with what it reads has not told the client to send it.
        let mirror = |request: Request| async { Response::new(request.body) };
        let mut mirrored = server(WebLimits::default(), mirror);
        mirrored.client.write_all(EXPECTS.as_bytes()).await.unwrap();
        let head = mirrored.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("connection: close"), "{head}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        mirrored.client.write_all(b"abc").await.unwrap();
        assert_eq!(mirrored.rest().await, "abc");
    });
}

#[test]
fn a_body_that_ends_with_the_connection_ends_it() {
    run(async {
        // Longer than the test may take.
        let limits = WebLimits { idle_timeout: Duration::from_secs(60), ..WebLimits::default() };
        let chunks = |_| async {
            Response::new(Body::stream(http_body_util::StreamBody::new(Pieces(vec!["b", "a"]))))
        };
        let mut server = server(limits, chunks);
        let old = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
        server.client.write_all(old.repeat(2).as_bytes()).await.unwrap();
        let answer = server.rest().await;
        assert!(answer.contains("connection: close\r\n") && answer.ends_with("\r\n\r\nab"), "{answer}");
        assert_eq!(*server.seen.borrow(), [200]);
    });
}

#[test]
fn the_rest_of_an_unread_body_is_never_a_request() {
    run(async {
        let early = |_| async { Response::new(Body::full("no")) };
        let smuggled = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", GET.len() * 2);
        let server_ = server(WebLimits::default(), early);
        let seen = Rc::clone(&server_.seen);
        // Some of the body comes with the head, the rest does not.
        let answer = server_.talk(&(smuggled.clone() + GET)).await;
        assert_eq!(answer.matches("HTTP/1.1").count(), 1);
        assert_eq!(*seen.borrow(), [200]);
        // All of it comes, later, and then another request.
        let mut server_ = server(WebLimits::default(), early);
        server_.client.write_all(smuggled.as_bytes()).await.unwrap();
        assert!(!server_.until("no").await.contains("close"));
        server_.client.write_all((GET.repeat(2) + GET).as_bytes()).await.unwrap();
        server_.until("no").await;
        assert_eq!(*server_.seen.borrow(), [200, 200]);
    });
}

#[test]
fn an_early_answer_to_a_body_of_unknown_length_closes() {
    run(async {
        let early = |_| async { Response::new(Body::full("no")) };
        let mut server = server(WebLimits::default(), early);
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
        server.client.write_all(head.as_bytes()).await.unwrap();
        assert!(server.rest().await.contains("connection: close\r\n"));
    });
}

#[test]
fn timers_end_what_is_silent_and_what_drips() {
    run(async {
        let tick = Duration::from_millis(50);
        let limits = WebLimits {
            header_timeout: 4 * tick,
            idle_timeout: 2 * tick,
            body_timeout: 4 * tick,
            ..WebLimits::default()
        };
        let started = Instant::now();
        let silent = server(limits.clone(), echo).rest().await;
        assert!(silent.is_empty() && started.elapsed() >= 4 * tick);
        let mut drips = server(limits.clone(), echo);
        drips.client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        while drips.client.write_all(b"a").await.is_ok() && !drips.task.is_finished() {
            tokio::time::sleep(tick / 5).await;
            if started.elapsed() > 40 * tick {
                panic!("a drip goes on");
            }
        }
        assert!(drips.rest().await.starts_with("HTTP/1.1 408"));
        let mut body = server(limits, echo);
        body.client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").await.unwrap();
        assert!(body.rest().await.starts_with("HTTP/1.1 400"));
    });
}

#[test]
fn who_does_not_take_its_answer_is_cut() {
    run(async {
        let limits = WebLimits { body_timeout: Duration::from_millis(100), ..WebLimits::default() };
        let large = |_| async { Response::new(Body::full(vec![b'x'; 4 << 20])) };
        let mut server = server(limits, large);
        server.client.write_all(GET.as_bytes()).await.unwrap();
        // Nothing is read: what the socket holds is all that goes.
        (&mut server.task).await.unwrap();
        assert!(server.rest().await.len() < 4 << 20);
        assert_eq!(*server.seen.borrow(), [200]);
    });
}

#[test]
fn a_connection_that_should_leave_says_so_first() {
    run(async {
        let mut server = server(WebLimits::default(), echo);
        server.client.write_all(GET.as_bytes()).await.unwrap();
        assert!(!server.until("/a ").await.contains("close"));
        server.leave.leave();
        tokio::time::sleep(Duration::from_millis(100)).await;
        server.client.write_all(GET.as_bytes()).await.unwrap();
        assert!(server.rest().await.contains("connection: close\r\n"));
    });
}

/// A backend that waits for `request`, then sends `answer` and, if it is told to, ends.
fn backend(
    request_end: &'static str,
    answer: &'static str,
    ends: bool,
) -> (Link<EpollStream>, Rc<RefCell<String>>) {
    let (mut theirs, ours) = UnixStream::pair().unwrap();
    let got = Rc::new(RefCell::new(String::new()));
    let told = Rc::clone(&got);
    tokio::task::spawn_local(async move {
        while !told.borrow().ends_with(request_end) {
            let byte = theirs.read_u8().await.unwrap();
            told.borrow_mut().push(byte.into());
        }
        theirs.write_all(answer.as_bytes()).await.unwrap();
        if !ends {
            std::future::pending::<()>().await;
        }
    });
    (Link::new(EpollStream::Unix(ours)), got)
}

fn request(method: Method, body: Body) -> Request {
    Request {
        method,
        authority: crate::l7::Authority {
            written: header::HeaderValue::from_static("a"),
            host: "a".into(),
            port: None,
        },
        target: crate::route::RequestTarget::parse("/x".into()).unwrap(),
        version: Version::HTTP_11,
        headers: http::HeaderMap::new().into(),
        body,
        trailers: false,
        expects_continue: false,
        upgrade: None,
        interim: Some(Rc::default()),
        connection: connection(WebLimits::default()),
        record: Rc::new(Record::begin(Instant::now())),
    }
}

fn terms() -> Terms {
    Terms { host: None, first_byte_timeout: Duration::from_secs(5), idle_timeout: Duration::from_secs(5) }
}

/// Status, body, and whether the connection can be used again.
async fn ask(
    mut request: Request,
    end: &'static str,
    answer: &'static str,
    ends: bool,
) -> (String, u16, String, bool) {
    let (link, got) = backend(end, answer, ends);
    let kept = Rc::new(Cell::new(false));
    let keep = {
        let kept = Rc::clone(&kept);
        move |_| kept.set(true)
    };
    let answer = exchange(link, &mut request, &terms(), keep).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.map_or("cut".into(), |body| body.to_bytes());
    let got = got.borrow().clone();
    (got, status, String::from_utf8(body.to_vec()).unwrap(), kept.get())
}

#[test]
fn answers_of_each_framing_are_read_and_clean_connections_are_kept() {
    run(async {
        let get = || request(Method::GET, Body::empty());
        let end = "\r\n\r\n";
        let (sent, ..) = ask(get(), end, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false).await;
        assert_eq!(sent, "GET /x HTTP/1.1\r\nhost: a\r\n\r\n");
        for (answer, ends, body, kept) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "ok", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX", false, "ok", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", true, "cut", false),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false, "ok", false),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false, "ok", true),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n",
                false,
                "ok",
                true,
            ),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", true, "cut", false),
            ("HTTP/1.1 200 OK\r\n\r\nok", true, "ok", false),
            ("HTTP/1.1 204 No Content\r\n\r\n", false, "", true),
            (
                "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                false,
                "ok",
                true,
            ),
        ] {
            let (_, status, got, reuse) = ask(get(), end, answer, ends).await;
            assert!(status == 200 || status == 204);
            assert_eq!((got.as_str(), reuse), (body, kept), "{answer}");
        }
    });
}

#[test]
fn a_request_is_written_in_one_form() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let (sent, ..) = ask(request(Method::POST, Body::empty()), "\r\n\r\n", answer, false).await;
        assert_eq!(sent, "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
        let (sent, ..) = ask(request(Method::POST, Body::full("abc")), "abc", answer, false).await;
        assert_eq!(sent, "POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
        let chunks = http_body_util::StreamBody::new(Pieces(vec!["de", "abc"]));
        let (sent, _, _, kept) =
            ask(request(Method::PUT, Body::stream(chunks)), "0\r\n\r\n", answer, false).await;
        assert_eq!(
            sent,
            "PUT /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        );
        assert!(kept);
    });
}

/// A body in pieces, the last first.
struct Pieces(Vec<&'static str>);

impl futures_core::Stream for Pieces {
    type Item = Result<http_body::Frame<bytes::Bytes>, crate::l7::BodyError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let piece = self.0.pop().map(|piece| Ok(http_body::Frame::data(piece.into())));
        std::task::Poll::Ready(piece)
    }
}

#[test]
fn a_tunnel_opens_with_the_backends_101_and_moves_bytes_both_ways() {
    run(async {
        let answer = |mut request: Request| async move {
            let (mut theirs, ours) = UnixStream::pair().unwrap();
            tokio::task::spawn_local(async move {
                let mut head = [0; 1000];
                let length = theirs.read(&mut head).await.unwrap();
                let head = String::from_utf8_lossy(&head[..length]).into_owned();
                assert!(head.ends_with("connection: upgrade\r\nupgrade: echo\r\n\r\n"), "{head}");
                let switched =
                    "HTTP/1.1 101 X\r\nUpgrade: Echo\r\nConnection: Upgrade\r\nX-A: b\r\n\r\nhello";
                theirs.write_all(switched.as_bytes()).await.unwrap();
                let (mut read, mut write) = theirs.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
            });
            let link = Link::new(EpollStream::Unix(ours));
            exchange(link, &mut request, &terms(), |_| {}).await.unwrap()
        };
        let mut server = server(WebLimits::default(), answer);
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: ECHO\r\n\r\nearly";
        server.client.write_all(head.as_bytes()).await.unwrap();
        let got = server.until("helloearly").await;
        let switched =
            "HTTP/1.1 101 Switching Protocols\r\nx-a: b\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        assert_eq!(got, format!("{switched}helloearly"));
        server.client.write_all(b"ping").await.unwrap();
        server.until("ping").await;
        server.client.shutdown().await.unwrap();
        assert_eq!(server.rest().await, "");
        server.task.await.unwrap();
        assert_eq!(*server.seen.borrow(), [101]);
    });
}

#[test]
fn a_tunnel_whose_far_end_has_ended_goes_on_while_something_moves_and_no_longer() {
    run(async {
        let heard = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&heard);
        let answer = move |mut request: Request| {
            let told = Rc::clone(&told);
            async move {
                let (mut theirs, ours) = UnixStream::pair().unwrap();
                tokio::task::spawn_local(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(theirs.read_u8().await.unwrap());
                    }
                    let switched = b"HTTP/1.1 101 X\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n";
                    theirs.write_all(switched).await.unwrap();
                    theirs.shutdown().await.unwrap();
                    while let Ok(byte) = theirs.read_u8().await {
                        told.borrow_mut().push(byte);
                    }
                });
                let idle = Terms { idle_timeout: Duration::from_millis(400), ..terms() };
                exchange(Link::new(EpollStream::Unix(ours)), &mut request, &idle, |_| {}).await.unwrap()
            }
        };
        let mut server = server(WebLimits::default(), answer);
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        server.client.write_all(head.as_bytes()).await.unwrap();
        assert!(server.rest().await.starts_with("HTTP/1.1 101"), "the far end has ended");
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            server.client.write_all(b"x").await.unwrap();
        }
        // From here on nobody says anything, and nobody hangs up.
        (&mut server.task).await.unwrap();
        assert_eq!(*heard.borrow(), [b'x'; 10]);
    });
}
