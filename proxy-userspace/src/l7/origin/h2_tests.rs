//! Facts about exchanges by HTTP/2, with hyper's server as the backend.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use super::*;
use crate::config::{BackendConfig, PoolConfig, PoolName, UpstreamProtocol};
use crate::l7::forward::{Terms, forward};
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
