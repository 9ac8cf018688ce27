//! Facts about TLS to backends: who is trusted, what is spoken, which connections are used again.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{HandshakeKind, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::{BackendConfig, CertificateFiles, PoolConfig, PoolName, PoolTlsConfig, UpstreamProtocol};
use crate::l7::forward::{Terms, forward};
use crate::l7::request::{Request, Response};
use crate::l7::testing;
use crate::net::epoll::Epoll;
use crate::upstream::test_ca::{Folder, Leaf, TestCa};
use crate::upstream::{Pool, Registry};

/// A backend by TLS that answers with what it was asked, and how.
struct Secured {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
}

async fn backend(config: Arc<ServerConfig>, introduced: bool) -> Secured {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (connections, resumed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counts = (connections.clone(), resumed.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counts.0.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream, TlsAcceptor::from(config.clone()), introduced, counts.1.clone()));
        }
    });
    Secured { address, connections, resumed }
}

async fn serve(mut stream: TcpStream, acceptor: TlsAcceptor, introduced: bool, resumed: Arc<AtomicUsize>) {
    if introduced {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.push(stream.read_u8().await.unwrap());
        }
        assert!(line.starts_with(b"PROXY TCP4 "), "{line:?}");
    }
    // Who is not trusted, or does not trust us, is not served.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let tls = stream.get_ref().1;
    resumed.fetch_add(usize::from(tls.handshake_kind() == Some(HandshakeKind::Resumed)), Ordering::SeqCst);
    let (h2, io) = (tls.alpn_protocol() == Some(b"h2"), TokioIo::new(stream));
    // It ends when the proxy closes it, whichever way that goes.
    if h2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service_fn(answer)).await;
    } else {
        let _ = http1::Builder::new().serve_connection(io, service_fn(answer)).with_upgrades().await;
    }
}

async fn answer(request: http::Request<Incoming>) -> Result<http::Response<Full<bytes::Bytes>>, Infallible> {
    let text = format!("{:?} {}", request.version(), request.uri());
    let mut answer = http::Response::new(Full::new(text.into()));
    if request.headers().contains_key(http::header::UPGRADE) {
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        answer.headers_mut().insert(http::header::UPGRADE, http::HeaderValue::from_static("websocket"));
        answer.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("upgrade"));
        *answer.body_mut() = Full::default();
    }
    Ok(answer)
}

/// A proxy of two workers before one backend, which it trusts by a CA in a file.
struct Proxy {
    folder: Folder,
    ca: TestCa,
    leaf: Leaf,
    registry: Registry,
    workers: Vec<Rc<Origins>>,
}

impl Proxy {
    fn new() -> Self {
        let (folder, ca) = (Folder::new(), TestCa::new());
        let leaf = ca.leaf(&["backend.test", "127.0.0.1"]);
        let workers = (0..2).map(|n| Rc::new(Origins::new(n, Epoll))).collect();
        Self { folder, ca, leaf, registry: Registry::new(2), workers }
    }

    fn trust(&self, ca: &TestCa) -> PoolTlsConfig {
        let ca = Some(self.folder.put("ca.pem", &ca.pem()));
        PoolTlsConfig { verify: true, ca, sni: None, client: None }
    }

    fn pool(&self, backend: &Secured, tls: PoolTlsConfig, web: WebPoolConfig) -> Arc<Pool> {
        let backends = vec![BackendConfig { endpoint: backend.address.into(), weight: 1, drain: false }];
        let web = WebPoolConfig { tls: Some(tls), ..web };
        let config = PoolConfig { name: PoolName::from("test"), backends, health: None, web };
        self.registry.pool(&config).unwrap()
    }

    async fn get(&self, worker: usize, pool: &Arc<Pool>) -> (u16, String) {
        read(forward(&self.workers[worker], pool, Terms::default(), &mut testing::request("/x")).await).await
    }
}

fn auto() -> WebPoolConfig {
    WebPoolConfig { protocol: UpstreamProtocol::Auto, ..WebPoolConfig::default() }
}

async fn read(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// What a pool answers to one request, and why.
async fn refusal(proxy: &Proxy, pool: &Arc<Pool>) -> (u16, Option<&'static str>) {
    let mut request = testing::request("/");
    let record = request.record.clone();
    let answer = forward(&proxy.workers[0], pool, Terms::default(), &mut request).await;
    (answer.status().as_u16(), record.cause.get())
}

#[tokio::test]
async fn connections_by_tls_are_kept_and_lent_and_sessions_gone_on_with() {
    let proxy = Proxy::new();
    let backend = backend(proxy.leaf.server(&[], None), false).await;
    let pool = proxy.pool(&backend, proxy.trust(&proxy.ca), WebPoolConfig::default());
    for turn in 0..6 {
        assert_eq!(proxy.get(turn % 2, &pool).await, (200, "HTTP/1.1 /x".to_owned()));
    }
    let seen = || (backend.connections.load(Ordering::SeqCst), backend.resumed.load(Ordering::SeqCst));
    assert_eq!(seen(), (1, 0));
    proxy.registry.expire(std::time::Instant::now() + Duration::from_secs(100));
    proxy.get(0, &pool).await;
    assert_eq!(seen(), (2, 1), "the second connection goes on with the first one's session");
    let view = &pool.view(std::time::Instant::now())[0];
    assert_eq!((view.busy, view.open, view.idle), (0, 1, 1));
}

#[tokio::test]
async fn a_pool_without_a_protocol_speaks_what_its_backend_chooses() {
    let proxy = Proxy::new();
    for (alpn, version) in [
        (&["h2", "http/1.1"][..], "HTTP/2.0 https://example.com/x"),
        (&["http/1.1"], "HTTP/1.1 /x"),
        (&[], "HTTP/1.1 /x"),
    ] {
        let backend = backend(proxy.leaf.server(alpn, None), false).await;
        let pool = proxy.pool(&backend, proxy.trust(&proxy.ca), auto());
        let local = LocalSet::new();
        let all = local.run_until(async {
            // Many at once, while nothing is known yet: the first finds out.
            let both = tokio::join!(proxy.get(0, &pool), proxy.get(0, &pool), proxy.get(0, &pool));
            for answer in [both.0, both.1, both.2, proxy.get(0, &pool).await] {
                assert_eq!(answer, (200, version.to_owned()), "{alpn:?}");
            }
        });
        all.await;
        let connections = backend.connections.load(Ordering::SeqCst);
        assert!(connections <= if alpn.contains(&"h2") { 1 } else { 3 }, "{alpn:?}: {connections}");
    }
}

#[tokio::test]
async fn an_upgrade_goes_by_http1_where_there_is_a_choice() {
    let proxy = Proxy::new();
    let backend = backend(proxy.leaf.server(&["h2", "http/1.1"], None), false).await;
    let pool = proxy.pool(&backend, proxy.trust(&proxy.ca), auto());
    let upgrade = || Request { upgrade: Some("websocket".into()), ..testing::request("/x") };
    LocalSet::new()
        .run_until(async {
            assert_eq!(proxy.get(0, &pool).await.1, "HTTP/2.0 https://example.com/x");
            let answer = forward(&proxy.workers[0], &pool, Terms::default(), &mut upgrade()).await;
            assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
            assert!(answer.body().is_tunnel());
        })
        .await;
}

#[tokio::test]
async fn a_strange_certificate_is_502_and_says_so() {
    let proxy = Proxy::new();
    let backend = backend(proxy.leaf.server(&[], None), false).await;
    for protocol in [UpstreamProtocol::Http1, UpstreamProtocol::Auto] {
        let web = || WebPoolConfig { protocol, ..WebPoolConfig::default() };
        let strange = proxy.pool(&backend, proxy.trust(&TestCa::new()), web());
        assert_eq!(refusal(&proxy, &strange).await, (502, Some("backend_certificate")));
        let named = PoolTlsConfig { sni: Some("other.test".into()), ..proxy.trust(&proxy.ca) };
        assert_eq!(
            refusal(&proxy, &proxy.pool(&backend, named, web())).await,
            (502, Some("backend_certificate"))
        );
    }
}

#[tokio::test]
async fn who_wants_our_certificate_gets_it_or_is_said_to_want_it() {
    let proxy = Proxy::new();
    let backend = backend(proxy.leaf.server(&[], Some(&proxy.ca)), false).await;
    let mut tls = proxy.trust(&proxy.ca);
    let without = proxy.pool(&backend, tls.clone(), WebPoolConfig::default());
    assert_eq!(refusal(&proxy, &without).await, (502, Some("backend_tls")));
    let own = proxy.ca.leaf(&["proxy.test"]);
    let (chain, key) = (proxy.folder.put("own.pem", &own.chain), proxy.folder.put("own.key", &own.key));
    tls.client = Some(CertificateFiles { chain, key, ocsp: None });
    let with = proxy.pool(&backend, tls, WebPoolConfig::default());
    assert_eq!(proxy.get(0, &with).await.0, 200);
}

#[tokio::test]
async fn who_does_not_speak_http2_is_not_spoken_to_by_a_pool_that_speaks_nothing_else() {
    let proxy = Proxy::new();
    let h2 = || WebPoolConfig { protocol: UpstreamProtocol::H2c, ..WebPoolConfig::default() };
    let chooses_none = backend(proxy.leaf.server(&[], None), false).await;
    let pool = proxy.pool(&chooses_none, proxy.trust(&proxy.ca), h2());
    assert_eq!(refusal(&proxy, &pool).await, (502, Some("connect_failed")));
    let chooses_other = backend(proxy.leaf.server(&["http/1.1"], None), false).await;
    let pool = proxy.pool(&chooses_other, proxy.trust(&proxy.ca), h2());
    assert_eq!(refusal(&proxy, &pool).await, (502, Some("backend_tls")));
}

#[tokio::test]
async fn the_proxy_protocol_comes_before_tls() {
    let proxy = Proxy::new();
    for alpn in [&["h2"][..], &["http/1.1"]] {
        let backend = backend(proxy.leaf.server(alpn, None), true).await;
        let web = WebPoolConfig { send_proxy_protocol: Some(ProxyProtocolVersion::V1), ..auto() };
        let pool = proxy.pool(&backend, proxy.trust(&proxy.ca), web);
        let local = LocalSet::new();
        local
            .run_until(async {
                for _ in 0..2 {
                    assert_eq!(proxy.get(0, &pool).await.0, 200);
                }
            })
            .await;
        assert!(backend.connections.load(Ordering::SeqCst) >= 2, "a connection is one client's");
    }
}

#[tokio::test]
async fn a_pool_that_turns_to_tls_uses_no_connection_from_before() {
    let proxy = Proxy::new();
    let backend = backend(proxy.leaf.server(&[], None), false).await;
    let anybody = PoolTlsConfig { verify: false, ca: None, sni: None, client: None };
    let before = proxy.pool(&backend, anybody, WebPoolConfig::default());
    assert_eq!(proxy.get(0, &before).await.0, 200);
    let after = proxy.pool(&backend, proxy.trust(&proxy.ca), WebPoolConfig::default());
    assert_eq!(proxy.get(0, &after).await.0, 200);
    assert_eq!(backend.connections.load(Ordering::SeqCst), 2, "trust was not asked for before");
    let again = proxy.pool(&backend, proxy.trust(&proxy.ca), WebPoolConfig::default());
    assert_eq!(proxy.get(0, &again).await.0, 200);
    assert_eq!(backend.connections.load(Ordering::SeqCst), 2, "nothing has changed");
}
