//! Facts about exchanges by HTTP/2, with hyper's server as the backend.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TE};
use http::{HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::*;
use crate::config::{BackendConfig, PoolConfig, PoolName, UpstreamProtocol};
use crate::l7::forward::{Terms, forward};
use crate::l7::request::Interim;
use crate::l7::testing;
use crate::net::epoll::Epoll;
use crate::upstream::{Pool, Registry};

const MS: Duration = Duration::from_millis(1);

/// A backend that answers with what it was asked: and how many connections it has had.
async fn backend(streams: u32) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let mut server = http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(streams);
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    (address, connections)
}

type Answered = http::Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>;

async fn answer(request: http::Request<Incoming>) -> Result<Answered, hyper::Error> {
    let (head, body) = request.into_parts();
    match head.uri.path() {
        "/silent" => std::future::pending::<()>().await,
        "/slow" => tokio::time::sleep(20 * MS).await,
        _ => {}
    }
    let body = body.collect().await?;
    let mut trailers = body.trailers().cloned().unwrap_or_default();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let text = format!(
        "{} {} te={:?} {}",
        head.method,
        head.uri,
        head.headers.get(TE),
        String::from_utf8_lossy(&body.to_bytes())
    );
    if head.uri.path() != "/trailers" {
        return Ok(http::Response::new(Full::new(text.into()).boxed()));
    }
    let frames = [Ok(Frame::data(text.into())), Ok(Frame::trailers(trailers))];
    Ok(http::Response::new(StreamBody::new(Frames(frames.into_iter())).boxed()))
}

struct Frames<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<I::Item>> {
        Poll::Ready(self.0.next())
    }
}

fn proxy(backend: SocketAddr, web: WebPoolConfig) -> (Rc<Origins>, Arc<Pool>) {
    let pool = Registry::new(1)
        .pool(&PoolConfig {
            name: PoolName::from("test"),
            backends: vec![BackendConfig { endpoint: backend.into(), weight: 1, drain: false }],
            health: None,
            web: WebPoolConfig { protocol: UpstreamProtocol::H2c, ..web },
        })
        .unwrap();
    (Rc::new(Origins::new(0, Epoll)), pool)
}

async fn read(answer: Response) -> (u16, String, usize) {
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap();
    let trailers = body.trailers().map_or(0, http::HeaderMap::len);
    (status, String::from_utf8(body.to_bytes().to_vec()).unwrap(), trailers)
}

#[tokio::test]
async fn a_request_keeps_its_form_its_body_and_its_trailers() {
    let (address, connections) = backend(100).await;
    let (origins, pool) = proxy(address, WebPoolConfig::default());
    LocalSet::new()
        .run_until(async {
            for turn in 0..3 {
                let mut request = testing::request("/trailers?a=b");
                request.method = Method::POST;
                request.body = Body::full(format!("body {turn}"));
                request.trailers = true;
                let answer = read(forward(&origins, &pool, Terms::default(), &mut request).await).await;
                let text = format!("POST http://example.com/trailers?a=b te=Some(\"trailers\") body {turn}");
                assert_eq!(answer, (200, text, 1));
            }
            let view = &pool.view(Instant::now())[0];
            assert_eq!((view.busy, view.open, connections.load(Ordering::SeqCst)), (0, 1, 1));
        })
        .await;
}

#[tokio::test]
async fn many_requests_share_connections_and_the_peers_limit_holds() {
    let (address, connections) = backend(10).await;
    let (origins, pool) = proxy(address, WebPoolConfig { max_connections: 4, ..WebPoolConfig::default() });
    let local = LocalSet::new();
    local
        .run_until(async {
            // The peer's limit is known once something has come back.
            read(forward(&origins, &pool, Terms::default(), &mut testing::request("/")).await).await;
            let asked: Vec<_> = (0..100)
                .map(|_| {
                    let (origins, pool) = (origins.clone(), pool.clone());
                    tokio::task::spawn_local(async move {
                        read(forward(&origins, &pool, Terms::default(), &mut testing::request("/slow")).await)
                            .await
                    })
                })
                .collect();
            for answer in asked {
                assert_eq!(answer.await.unwrap().0, 200);
            }
        })
        .await;
    let connections = connections.load(Ordering::SeqCst);
    assert!((2..=4).contains(&connections), "{connections}");
}

#[tokio::test]
async fn a_silent_backend_is_504_and_its_connection_gets_no_more() {
    let (address, connections) = backend(100).await;
    let web = WebPoolConfig { first_byte_timeout: 30 * MS, ..WebPoolConfig::default() };
    let (origins, pool) = proxy(address, web);
    LocalSet::new()
        .run_until(async {
            assert_eq!(
                forward(&origins, &pool, Terms::default(), &mut testing::request("/silent")).await.status(),
                504
            );
            assert_eq!(
                forward(&origins, &pool, Terms::default(), &mut testing::request("/")).await.status(),
                200
            );
        })
        .await;
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_client_that_talks_to_a_backend_that_listens_is_not_idle() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let server = http2::Builder::new(TokioExecutor::new());
        // Its head at once, its body when the request's has ended.
        let listens = service_fn(async |request: http::Request<Incoming>| {
            Ok::<_, Infallible>(http::Response::new(Listener(request.into_body())))
        });
        drop(server.serve_connection(TokioIo::new(stream), listens).await);
    });
    let web = WebPoolConfig { idle_timeout: 400 * MS, ..WebPoolConfig::default() };
    let (origins, pool) = proxy(address, web);
    LocalSet::new()
        .run_until(async {
            let mut request = testing::request("/");
            request.method = Method::POST;
            request.body = Body::stream(Dripping { left: 20, timer: Box::pin(tokio::time::sleep(30 * MS)) });
            let answer = forward(&origins, &pool, Terms::default(), &mut request).await;
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "heard");
        })
        .await;
}

#[tokio::test]
async fn a_call_of_grpc_without_an_answer_is_silent_for_a_while_and_not_for_ever() {
    let (address, _) = backend(100).await;
    let web = WebPoolConfig { idle_timeout: 100 * MS, ..WebPoolConfig::default() };
    let (origins, pool) = proxy(address, web);
    LocalSet::new()
        .run_until(async {
            for (pause, cause) in [(300 * MS, None), (Duration::from_secs(3600), Some("slow_body"))] {
                let mut request = testing::with(testing::request("/"), "content-type", "application/grpc");
                request.method = Method::POST;
                request.body = Body::stream(Dripping { left: 1, timer: Box::pin(tokio::time::sleep(pause)) });
                let record = Rc::clone(&request.record);
                let answer = forward(&origins, &pool, Terms::default(), &mut request);
                let answer = tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap();
                assert_eq!(answer.status(), 200, "of gRPC, whatever has become of it");
                assert_eq!((record.cause.get(), record.talks.get()), (cause, true));
            }
        })
        .await;
}

/// Says something when all was said.
struct Listener(Incoming);

impl http_body::Body for Listener {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.0.is_end_stream() {
            return Poll::Ready(None);
        }
        while let Some(frame) = std::task::ready!(Pin::new(&mut self.0).poll_frame(context)) {
            frame?;
            if self.0.is_end_stream() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"heard")))));
            }
        }
        Poll::Ready(None)
    }
}

/// A byte every thirty milliseconds.
struct Dripping {
    left: u32,
    timer: Pin<Box<tokio::time::Sleep>>,
}

impl http_body::Body for Dripping {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        std::task::ready!(self.timer.as_mut().poll(context));
        self.timer = Box::pin(tokio::time::sleep(30 * MS));
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

#[tokio::test]
async fn idle_connections_end_after_their_time() {
    let (address, _) = backend(100).await;
    let web = WebPoolConfig { keepalive: 100 * MS, ..WebPoolConfig::default() };
    let (origins, pool) = proxy(address, web);
    LocalSet::new()
        .run_until(async {
            read(forward(&origins, &pool, Terms::default(), &mut testing::request("/")).await).await;
            let open = || pool.view(Instant::now())[0].open;
            assert_eq!(open(), 1);
            let until = Instant::now() + 50 * MS * 100;
            while open() > 0 && Instant::now() < until {
                tokio::time::sleep(5 * MS).await;
            }
            assert_eq!(open(), 0);
        })
        .await;
}

#[tokio::test]
async fn a_backend_that_says_it_will_leave_costs_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let server = http2::Builder::new(TokioExecutor::new());
                let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service_fn(answer)));
                // Leaves again and again, in good order, while it is asked.
                if tokio::time::timeout(15 * MS, connection.as_mut()).await.is_err() {
                    connection.as_mut().graceful_shutdown();
                    drop(connection.await);
                }
            });
        }
    });
    let (origins, pool) = proxy(address, WebPoolConfig::default());
    LocalSet::new()
        .run_until(async {
            for _ in 0..300 {
                let mut request = testing::request("/");
                request.method = Method::POST;
                let answer = forward(&origins, &pool, Terms::default(), &mut request).await;
                assert_eq!(read(answer).await.0, 200);
            }
        })
        .await;
}

#[tokio::test]
async fn what_speaks_no_http2_is_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            use tokio::io::AsyncWriteExt;
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let (origins, pool) = proxy(address, WebPoolConfig::default());
    let mut request = testing::request("/");
    let asked = forward(&origins, &pool, Terms::default(), &mut request);
    let answer = LocalSet::new().run_until(asked).await;
    assert_eq!(answer.status(), 502);
}

/// A backend by the library itself: each request of each connection goes to `serve`.
async fn bare<F, S>(tunnels: bool, serve: F) -> SocketAddr
where
    F: Fn(http::Request<RecvStream>, h2::server::SendResponse<Bytes>) -> S + Clone + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let serve = serve.clone();
            tokio::spawn(async move {
                let mut server = h2::server::Builder::new();
                if tunnels {
                    server.enable_connect_protocol();
                }
                let mut connection = server.handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(serve(request, respond));
                }
            });
        }
    });
    address
}

fn status(status: u16) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(status).unwrap();
    head
}

/// The statuses of the 1xx that have come.
fn heard(interim: &Interim) -> Vec<u16> {
    let heard = interim.take(std::task::Waker::noop());
    heard.into_iter().map(|(status, _)| status.as_u16()).collect()
}

#[tokio::test]
async fn hints_go_before_the_answer() {
    let address = bare(false, async |_, mut respond| {
        let mut hints = status(103);
        hints.headers_mut().insert("link", HeaderValue::from_static("</a.css>; rel=preload"));
        respond.send_informational(status(102)).unwrap();
        respond.send_informational(hints).unwrap();
        tokio::time::sleep(10 * MS).await;
        respond.send_response(status(200), true).unwrap();
    })
    .await;
    let (origins, pool) = proxy(address, WebPoolConfig::default());
    let interim = Rc::new(Interim::default());
    let mut request = testing::request("/");
    request.interim = Some(Rc::clone(&interim));
    let answer = forward(&origins, &pool, Terms::default(), &mut request);
    let answer = LocalSet::new().run_until(answer).await;
    assert_eq!((answer.status().as_u16(), heard(&interim)), (200, vec![102, 103]));
}

#[tokio::test]
async fn a_backend_that_hints_for_ever_is_late() {
    let address = bare(false, async |_, mut respond| {
        while respond.send_informational(status(103)).is_ok() {
            tokio::time::sleep(MS).await;
        }
    })
    .await;
    let web = WebPoolConfig { first_byte_timeout: 100 * MS, ..WebPoolConfig::default() };
    let (origins, pool) = proxy(address, web);
    let mut request = testing::request("/");
    let answer = forward(&origins, &pool, Terms::default(), &mut request);
    assert_eq!(LocalSet::new().run_until(answer).await.status(), 504);
}

#[tokio::test]
async fn a_body_waits_for_100_and_no_longer_than_a_second() {
    let address = bare(false, async |request, mut respond| {
        let (head, mut body) = request.into_parts();
        assert_eq!(head.headers.get("expect").unwrap(), "100-continue");
        let early = tokio::time::timeout(50 * MS, body.data()).await.is_ok();
        if head.uri.path() == "/refused" {
            drop(respond.send_response(status(403), true));
            return;
        }
        if head.uri.path() == "/asked" {
            respond.send_informational(status(100)).unwrap();
        }
        let data = body.data().await.unwrap().unwrap();
        let code = if early || data != "late" { 500 } else { 200 };
        respond.send_response(status(code), true).unwrap();
    })
    .await;
    let (origins, pool) = proxy(address, WebPoolConfig::default());
    for (path, code, interims) in
        [("/asked", 200, vec![100]), ("/unasked", 200, vec![]), ("/refused", 403, vec![])]
    {
        let interim = Rc::new(Interim::default());
        let mut request = testing::request(path);
        request.method = Method::POST;
        request.expects_continue = true;
        request.interim = Some(Rc::clone(&interim));
        request.body = Body::stream(StreamBody::new(Frames([Ok(Frame::data("late".into()))].into_iter())));
        let answer = forward(&origins, &pool, Terms::default(), &mut request);
        let answer = LocalSet::new().run_until(answer).await;
        assert_eq!((path, answer.status().as_u16(), heard(&interim)), (path, code, interims));
    }
}

/// Sends back what comes, and ends when that ends.
async fn talk(request: http::Request<RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let (head, mut body) = request.into_parts();
    let protocol = head.extensions.get::<h2::ext::Protocol>().map(|protocol| protocol.as_str().to_owned());
    if protocol.as_deref() != Some("websocket") || head.headers.contains_key(SEC_WEBSOCKET_KEY) {
        drop(respond.send_response(status(426), true));
        return;
    }
    assert_eq!(head.method, Method::CONNECT);
    let mut out = respond.send_response(status(200), false).unwrap();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        out.reserve_capacity(data.len());
        out.send_data(data, false).unwrap();
    }
    out.send_data(Bytes::new(), true).unwrap();
}

fn upgrade() -> Request {
    let mut request = testing::request("/chat");
    request.upgrade = Some("websocket".into());
    let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
    request.headers.insert(SEC_WEBSOCKET_KEY, key);
    request
}

#[tokio::test]
async fn a_tunnel_goes_through_a_stream_both_ways_and_ends_by_sides() {
    let address = bare(true, talk).await;
    let (origins, pool) = proxy(address, WebPoolConfig::default());
    LocalSet::new()
        .run_until(async {
            let answer = forward(&origins, &pool, Terms::default(), &mut upgrade()).await;
            assert_eq!(answer.status(), 101);
            assert_eq!(answer.headers().get(SEC_WEBSOCKET_ACCEPT).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            let mut tunnel = answer.into_body().into_tunnel().unwrap();
            let sent = Bytes::from(vec![7; 1 << 20]);
            let (mut left, mut back, mut ended) = (sent.clone(), 0, false);
            let all = poll_fn(|context| {
                let gone = tunnel.poll_send(context, &mut left).map(Result::unwrap).is_ready();
                if gone && !std::mem::replace(&mut ended, true) {
                    assert!(tunnel.poll_end(context).is_ready());
                }
                while let Some(data) = ready!(tunnel.poll_receive(context)) {
                    back += data.unwrap().len();
                }
                Poll::Ready(back)
            });
            assert_eq!(all.await, sent.len());
            assert_eq!(pool.view(Instant::now())[0].busy, 1);
            drop(tunnel);
            assert_eq!(pool.view(Instant::now())[0].busy, 0);
        })
        .await;
}

#[tokio::test]
async fn a_backend_without_tunnels_may_ignore_an_upgrade() {
    let address = bare(false, talk).await;
    let (origins, pool) = proxy(address, WebPoolConfig::default());
    let mut request = upgrade();
    let answer = forward(&origins, &pool, Terms::default(), &mut request);
    assert_eq!(LocalSet::new().run_until(answer).await.status(), 426);
}

#[tokio::test]
async fn a_backend_that_takes_nothing_is_late_and_an_answer_ends_what_is_left_of_a_request() {
    let address = bare(false, async |request, mut respond| {
        if request.uri().path() == "/full" {
            // Holds the body, and reads none of it.
            std::future::pending::<()>().await;
        }
        let mut body = request.into_body();
        drop(body.data().await);
        respond.send_response(status(200), true).unwrap();
        // What is not wanted any more is not sent any more.
        while let Some(Ok(_)) = body.data().await {}
    })
    .await;
    let web = WebPoolConfig { idle_timeout: 200 * MS, ..WebPoolConfig::default() };
    let (origins, pool) = proxy(address, web);
    LocalSet::new()
        .run_until(async {
            for (path, code) in [("/full", 504), ("/enough", 200)] {
                let mut request = testing::request(path);
                request.method = Method::POST;
                let pieces = std::iter::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[0; 4096]))));
                request.body = Body::stream(StreamBody::new(Frames(pieces)));
                let answer = forward(&origins, &pool, Terms::default(), &mut request).await;
                assert_eq!((path, answer.status().as_u16()), (path, code));
                answer.into_body().collect().await.unwrap();
                assert_eq!(pool.view(Instant::now())[0].busy, 0);
            }
        })
        .await;
}
