//! Facts about requests on their way to backends: real connections to backends that follow a script.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::super::testing;
use super::*;
use crate::config::{BackendConfig, PoolConfig, PoolName, ProxyProtocolVersion, RetryConfig};
use crate::net::epoll::Epoll;
use crate::upstream::Registry;

const MS: Duration = Duration::from_millis(1);
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";

/// A backend. Each connection answers its requests with these, in turn, then closes; `""` closes at once, `"…"` says
/// nothing at all.
struct Scripted {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Scripted {
    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn backend(script: &[&'static str]) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (script, counts) = (script.to_vec(), (connections.clone(), requests.clone()));
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counts.0.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(follow(stream, script.clone(), counts.1.clone()));
        }
    });
    Scripted { address, connections, requests, task }
}

async fn follow(mut stream: TcpStream, script: Vec<&'static str>, requests: Arc<AtomicUsize>) {
    for answer in script {
        if head(&mut stream).await.is_none() {
            return;
        }
        requests.fetch_add(1, Ordering::SeqCst);
        match answer {
            "" => return,
            "…" => std::future::pending::<()>().await,
            answer => stream.write_all(answer.as_bytes()).await.unwrap(),
        }
    }
}

/// A request's head, up to the empty line.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

fn pool_config(backends: &[SocketAddr], web: WebPoolConfig) -> PoolConfig {
    let backend = |&address: &SocketAddr| BackendConfig { endpoint: address.into(), weight: 1, drain: false };
    let backends = backends.iter().map(backend).collect();
    PoolConfig { name: PoolName::from("test"), backends, health: None, web }
}

struct Proxy {
    registry: Registry,
    pool: Arc<Pool>,
    workers: Vec<Rc<Origins>>,
}

impl Proxy {
    fn new(backends: &[SocketAddr], web: WebPoolConfig) -> Self {
        let config = pool_config(backends, web);
        let registry = Registry::new(2);
        let pool = registry.pool(&config).unwrap();
        Self { registry, pool, workers: (0..2).map(|n| Rc::new(Origins::new(n, Epoll))).collect() }
    }

    async fn ask(&self, mut request: Request) -> Response {
        forward(&self.workers[0], &self.pool, Terms::default(), &mut request).await
    }

    /// Status and body.
    async fn get(&self) -> (u16, String) {
        read(self.ask(testing::request("/")).await).await
    }
}

async fn read(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn ok() -> (u16, String) {
    (200, "ok".to_owned())
}

/// Of an address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn requests_share_a_connection_one_after_another() {
    let backend = backend(&[OK; 9]).await;
    let proxy = Proxy::new(&[backend.address], WebPoolConfig::default());
    for _ in 0..5 {
        assert_eq!(proxy.get().await, ok());
    }
    assert_eq!((backend.connections(), backend.requests()), (1, 5));
    let view = &proxy.pool.view(Instant::now())[0];
    assert_eq!((view.busy, view.open, view.idle), (0, 1, 1));
}

#[tokio::test]
async fn a_worker_lends_its_idle_connection_to_another() {
    let backend = backend(&[OK; 9]).await;
    let proxy = Proxy::new(&[backend.address], WebPoolConfig::default());
    for turn in 0..6 {
        let answer =
            forward(&proxy.workers[turn % 2], &proxy.pool, Terms::default(), &mut testing::request("/"))
                .await;
        assert_eq!(read(answer).await, ok());
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn an_idle_connection_that_was_closed_costs_no_request() {
    let backend = backend(&[OK]).await;
    let proxy = Proxy::new(&[backend.address], WebPoolConfig::default());
    for _ in 0..20 {
        let mut post = testing::request("/");
        post.method = Method::POST;
        assert_eq!(read(proxy.ask(post).await).await, ok());
        // The backend closes; the proxy learns of it.
        tokio::time::sleep(2 * MS).await;
    }
    assert_eq!((backend.connections(), backend.requests()), (20, 20));
    assert_eq!(proxy.pool.view(Instant::now())[0].open, 1);
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_time() {
    let backend = backend(&[OK; 9]).await;
    let web = WebPoolConfig { keepalive: Duration::from_secs(10), ..WebPoolConfig::default() };
    let proxy = Proxy::new(&[backend.address], web);
    proxy.get().await;
    let idle = || proxy.pool.view(Instant::now())[0].idle;
    let now = Instant::now();
    proxy.registry.expire(now + Duration::from_secs(9));
    assert_eq!(idle(), 1);
    proxy.registry.expire(now + Duration::from_secs(12));
    assert_eq!((idle(), proxy.pool.view(now)[0].open), (0, 0));
}

#[tokio::test]
async fn who_cannot_be_connected_to_is_passed_over_whatever_the_method() {
    let backend = backend(&[OK; 9]).await;
    let proxy = Proxy::new(&[nobody().await, backend.address], WebPoolConfig::default());
    for _ in 0..6 {
        let mut post = testing::request("/");
        post.method = Method::POST;
        post.body = Body::full("abc");
        let record = post.record.clone();
        let answer = proxy.ask(post).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(*record.backend.borrow(), Some(crate::net::stream::Target::Tcp(backend.address)));
    }
}

#[tokio::test]
async fn nobody_at_all_is_502_and_says_why() {
    let proxy = Proxy::new(&[nobody().await], WebPoolConfig::default());
    let request = testing::request("/");
    let record = request.record.clone();
    assert_eq!(proxy.ask(request).await.status(), StatusCode::BAD_GATEWAY);
    assert_eq!((record.cause.get(), record.retries.get()), (Some("connect_failed"), 2));
    let down = crate::net::stream::Target::Tcp(match &proxy.pool.config().backends[0].endpoint {
        crate::config::Endpoint::Ip(address) => address.at(0),
        _ => unreachable!(),
    });
    proxy.pool.set_up(&down, false);
    assert_eq!(proxy.ask(testing::request("/")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_broke_after_it_was_sent_is_repeated_for_some_methods_only() {
    for (method, status, requests) in [(Method::GET, 200, 1), (Method::POST, 502, 1)] {
        let (broken, well) = (backend(&[""]).await, backend(&[OK]).await);
        let proxy = Proxy::new(&[broken.address, well.address], WebPoolConfig::default());
        let mut request = testing::request("/");
        request.method = method;
        assert_eq!(proxy.ask(request).await.status(), status);
        assert_eq!(broken.requests(), requests);
    }
}

#[tokio::test]
async fn a_status_is_tried_elsewhere_if_so_configured_and_given_if_nobody_does_better() {
    let (bad, well) = (backend(&[UNAVAILABLE; 9]).await, backend(&[OK]).await);
    let retry = RetryConfig { on_status: vec![503], attempts: 1, ..RetryConfig::default() };
    let web = WebPoolConfig { retry, ..WebPoolConfig::default() };
    let proxy = Proxy::new(&[bad.address, well.address], web.clone());
    assert_eq!(proxy.get().await, ok());
    let proxy = Proxy::new(&[bad.address], web);
    assert_eq!(proxy.get().await, (503, "no".to_owned()));
    assert_eq!(bad.requests(), 3);
}

#[tokio::test]
async fn a_silent_backend_is_504_in_time() {
    let backend = backend(&["…"]).await;
    let web = WebPoolConfig { first_byte_timeout: 30 * MS, ..WebPoolConfig::default() };
    let proxy = Proxy::new(&[backend.address], web);
    let request = testing::request("/");
    let record = request.record.clone();
    assert_eq!(proxy.ask(request).await.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(record.cause.get(), Some("first_byte_timeout"));
    assert_eq!(proxy.pool.view(Instant::now())[0].open, 0);
}

#[tokio::test]
async fn the_whole_exchange_has_its_time_and_its_body_too() {
    let slow = backend(&["…"]).await;
    let proxy = Proxy::new(&[slow.address], WebPoolConfig::default());
    let limit = Some(30 * MS);
    let answer = forward(
        &proxy.workers[0],
        &proxy.pool,
        Terms { time: limit, ..Terms::default() },
        &mut testing::request("/"),
    )
    .await;
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let slow = backend(&[half, "…"]).await;
    let proxy = Proxy::new(&[slow.address], WebPoolConfig::default());
    let limit = Some(60 * MS);
    let answer = forward(
        &proxy.workers[0],
        &proxy.pool,
        Terms { time: limit, ..Terms::default() },
        &mut testing::request("/"),
    )
    .await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.into_body().collect().await.unwrap_err(), super::super::cut::BodyError::TooSlow);
    assert_eq!(proxy.pool.view(Instant::now())[0].open, 0);
}

#[tokio::test]
async fn no_more_connections_than_configured_and_others_wait() {
    let backend = backend(&[OK; 99]).await;
    let web = WebPoolConfig { max_connections: 2, max_queue: 100, ..WebPoolConfig::default() };
    let proxy = Proxy::new(&[backend.address], web);
    let local = tokio::task::LocalSet::new();
    let asked: Vec<_> = (0..60)
        .map(|turn| {
            let (origins, pool) = (proxy.workers[turn % 2].clone(), proxy.pool.clone());
            let ask = async move {
                read(forward(&origins, &pool, Terms::default(), &mut testing::request("/")).await).await
            };
            local.spawn_local(ask)
        })
        .collect();
    local
        .run_until(async {
            for answer in asked {
                assert_eq!(answer.await.unwrap(), ok());
            }
        })
        .await;
    assert_eq!((backend.connections(), backend.requests()), (2, 60));
    assert_eq!(proxy.pool.view(Instant::now())[0].open, 2);
}

#[tokio::test]
async fn a_full_queue_and_a_long_wait_are_503() {
    let backend = backend(&["…"]).await;
    let web = WebPoolConfig {
        max_connections: 1,
        max_queue: 1,
        queue_timeout: 20 * MS,
        request_timeout: Some(200 * MS),
        ..WebPoolConfig::default()
    };
    let proxy = Proxy::new(&[backend.address], web);
    let request = || {
        let request = testing::request("/");
        (request.record.clone(), proxy.ask(request))
    };
    let ((_, first), (second_record, second), (third_record, third)) = (request(), request(), request());
    let (first, second, third) = tokio::join!(first, second, third);
    assert_eq!([first.status().as_u16(), second.status().as_u16(), third.status().as_u16()], [504, 503, 503]);
    let causes = [second_record.cause.get(), third_record.cause.get()];
    assert_eq!(causes, [Some("queue_timeout"), Some("queue_full")]);
    assert!(third.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_client_that_goes_gives_its_place_back() {
    let backend = backend(&["…"]).await;
    let proxy = Proxy::new(&[backend.address], WebPoolConfig::default());
    let asked = tokio::time::timeout(30 * MS, proxy.ask(testing::request("/"))).await;
    assert!(asked.is_err());
    let view = &proxy.pool.view(Instant::now())[0];
    assert_eq!((view.busy, view.open), (0, 0));
}

#[tokio::test]
async fn the_pools_host_is_sent_and_the_proxy_protocol_before_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let backend = tokio::spawn(async move {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            seen.push(head(&mut stream).await.unwrap());
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
        seen
    });
    let web = WebPoolConfig {
        host: Some("inside.test".parse().unwrap()),
        send_proxy_protocol: Some(ProxyProtocolVersion::V1),
        ..WebPoolConfig::default()
    };
    let proxy = Proxy::new(&[address], web);
    // A connection that was said to be of one client serves no other.
    assert_eq!((proxy.get().await, proxy.get().await), (ok(), ok()));
    for seen in backend.await.unwrap() {
        let begin = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\nGET / HTTP/1.1\r\n";
        assert!(
            seen.starts_with(begin) && seen.to_lowercase().contains("\r\nhost: inside.test\r\n"),
            "{seen}"
        );
    }
}

#[tokio::test]
async fn what_a_request_needs_is_small() {
    let proxy = Proxy::new(&[nobody().await], WebPoolConfig::default());
    let mut request = testing::request("/");
    let future = forward(&proxy.workers[0], &proxy.pool, Terms::default(), &mut request);
    assert!(size_of_val(&future) <= 1536, "{} bytes", size_of_val(&future));
}

#[test]
fn many_threads_never_have_more_connections_than_configured_and_lose_nobody() {
    const THREADS: usize = 4;
    let (address, most_seen) = crowded_backend();
    let web = WebPoolConfig { max_connections: 3, max_queue: 1_000, ..WebPoolConfig::default() };
    let config = pool_config(&[address], web);
    let registry = Registry::new(THREADS);
    let pool = registry.pool(&config).unwrap();
    let threads: Vec<_> = (0..THREADS)
        .map(|worker| {
            let pool = pool.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let origins = Rc::new(Origins::new(worker, Epoll));
                tokio::task::LocalSet::new().block_on(&runtime, async {
                    for _ in 0..20 {
                        let ask = || async {
                            read(forward(&origins, &pool, Terms::default(), &mut testing::request("/")).await)
                                .await
                        };
                        let answers = tokio::join!(ask(), ask(), ask(), ask(), ask());
                        assert_eq!(answers, (ok(), ok(), ok(), ok(), ok()));
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(most_seen.load(Ordering::SeqCst) <= 3, "{most_seen:?}");
    let view = &pool.view(Instant::now())[0];
    assert_eq!((view.busy, pool.waiting()), (0, 0));
    assert!(view.open <= 3 && view.idle as u32 == view.open, "{view:?}");
}

/// A backend on threads of its own, and how many connections it has had at a time.
fn crowded_backend() -> (SocketAddr, Arc<AtomicUsize>) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (now, seen) = (now.clone(), seen.clone());
            std::thread::spawn(move || {
                seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let stream = stream.unwrap();
                for line in BufReader::new(&stream).lines() {
                    match line {
                        Ok(line) if line.is_empty() => (&stream).write_all(OK.as_bytes()).unwrap(),
                        Ok(_) => {}
                        Err(_) => break,
                    }
                }
                now.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, most)
}
