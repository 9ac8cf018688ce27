//! A small HTTP server, for tests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use tokio::net::TcpListener;

use crate::acme::http::Client;

/// Answers as it is told.
pub(in super::super) struct WebServer {
    address: SocketAddr,
}

impl WebServer {
    /// With what this says.
    pub(in super::super) async fn start(
        answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = Arc::clone(&answer);
                tokio::spawn(async move {
                    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                        let answer = Arc::clone(&answer);
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.unwrap().to_bytes();
                            Ok::<_, Infallible>(answer(&Request::from_parts(head, body)).map(Full::new))
                        }
                    });
                    // A client that goes away is none of its business.
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address }
    }

    /// The URL of a path.
    pub(in super::super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Who asks it.
    #[expect(clippy::unused_self, reason = "reads as its client")]
    pub(in super::super) fn client(&self) -> Client {
        Client::trusting(RootCertStore::empty()).unwrap()
    }
}
