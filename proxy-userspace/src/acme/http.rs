//! The one HTTP client of this module: for CAs, DNS providers, permission endpoints, OCSP responders. Whoever answers is not
//! trusted with our memory or time: an answer is bounded in both.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// An answer's body is no longer.
pub const MOST_BYTES: usize = 1024 * 1024;
/// A connection is made within this.
const CONNECT: Duration = Duration::from_secs(10);
/// An answer is here, whole, within this after the request.
const ANSWER: Duration = Duration::from_secs(60);
/// A connection that nobody needs is closed after this.
const IDLE: Duration = Duration::from_secs(15);
/// And no more than so many of them a host.
const MOST_IDLE: usize = 2;
/// An answer's head is no longer.
const HEAD_BYTES: usize = 64 * 1024;

/// Asks by HTTP and HTTPS. Follows no redirect. Cheap to clone: connections are shared.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// An answer is here within this.
    answer: Duration,
    /// Its body has no more bytes.
    most: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No connection, or it ended early; TLS too.
    #[error("{host} cannot be asked: {}", Causes(.source.as_ref()))]
    Failed {
        /// Who.
        host: Box<str>,
        /// Of what.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It took too long.
    #[error("{host} did not answer within {}s", .after.as_secs())]
    Timeout {
        /// Who.
        host: Box<str>,
        /// How long it was given.
        after: Duration,
    },
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A bundle of roots cannot be read.
    #[error("{path}: cannot be read as certificates: {source}")]
    Unreadable {
        /// Which.
        path: Box<str>,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// There is no root in it.
    #[error("{0}: there is no certificate in it that could be a root")]
    NoRoot(Box<str>),
    /// rustls has no version in common with us.
    #[error("TLS cannot be configured: {0}")]
    Tls(#[from] rustls::Error),
}

impl Client {
    /// Trusts the system's roots, and those of this file (PEM).
    pub fn new(extra: Option<&Path>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = extra {
            add(&mut roots, path)?;
        }
        Self::trusting(roots)
    }

    /// Trusts these.
    pub fn trusting(roots: RootCertStore) -> Result<Self, TrustError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .http1_max_buf_size(HEAD_BYTES)
            .build(connector);
        Ok(Self { inner, answer: ANSWER, most: MOST_BYTES })
    }

    /// Trusts nobody: only `http://` can be asked. What there is where [`Client::new`] failed.
    pub fn untrusting() -> Self {
        Self::trusting(RootCertStore::empty()).expect("the versions that are safe by default are there")
    }

    /// The same, with less patience.
    #[must_use]
    pub fn within(mut self, answer: Duration) -> Self {
        self.answer = answer;
        self
    }

    /// The same, for answers of so many bytes.
    #[must_use]
    pub fn at_most(mut self, bytes: usize) -> Self {
        self.most = bytes;
        self
    }

    /// Asks. The answer's body is whole.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let host = host(request.uri());
        let asked = async {
            let (head, body) = self.inner.request(request.map(Full::new)).await?.into_parts();
            let body = Limited::new(body, self.most).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        match tokio::time::timeout(self.answer, asked).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(source)) => Err(HttpError::Failed { host, source }),
            Err(_) => Err(HttpError::Timeout { host, after: self.answer }),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl instant_acme::HttpClient for Client {
    fn request(
        &self,
        request: Request<instant_acme::BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<instant_acme::BytesResponse, instant_acme::Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let answer = client
                .send(Request::from_parts(head, body))
                .await
                .map_err(|error| instant_acme::Error::Other(Box::new(error)))?;
            let (parts, body) = answer.into_parts();
            Ok(instant_acme::BytesResponse { parts, body: Box::new(body) })
        })
    }
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), TrustError> {
    let shown = || path.display().to_string().into_boxed_str();
    let unreadable = |source| TrustError::Unreadable { path: shown(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    match roots.add_parsable_certificates(found) {
        (0, _) => Err(TrustError::NoRoot(shown())),
        _ => Ok(()),
    }
}

/// Host and port, for people.
fn host(uri: &Uri) -> Box<str> {
    uri.authority().map_or_else(|| uri.to_string().into(), |authority| authority.as_str().into())
}

/// An error with all its causes: those of clients say little by themselves.
struct Causes<'a>(&'a (dyn Error + Send + Sync));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = without_link(self.0.to_string());
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let says = without_link(error.to_string());
            // Some repeat what they are caused by.
            if !said.ends_with(&says) {
                write!(f, ": {says}")?;
            }
            said = says;
            cause = error.source();
        }
        Ok(())
    }
}

/// Some errors end in where their library is documented, which is nothing for logs.
fn without_link(mut said: String) -> String {
    if let Some(at) = said.find(": https://docs.rs/") {
        said.truncate(at);
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_each_once_and_without_links() {
        let inner = std::io::Error::other("the peer went away: https://docs.rs/rustls/latest");
        let source: Box<dyn Error + Send + Sync> = Box::new(std::io::Error::other(inner));
        let error = HttpError::Failed { host: "ca.example".into(), source };
        assert_eq!(error.to_string(), "ca.example cannot be asked: the peer went away");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_none() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            assert!(request[..read].starts_with(b"GET /long HTTP/1.1"));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MOST_BYTES + 1);
            stream.write_all(head.as_bytes()).await.unwrap();
            // It is not read to its end: what cannot be written is meant not to be.
            let _ = stream.write_all(&vec![b'x'; MOST_BYTES + 1]).await;
        });
        let request = Request::get(format!("http://{address}/long")).body(Bytes::new()).unwrap();
        let error = Client::untrusting().send(request).await.unwrap_err();
        assert!(error.to_string().contains("length limit exceeded"), "{error}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn who_does_not_answer_is_waited_for_no_longer_than_allowed() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = Client::untrusting().within(Duration::from_millis(50));
        let request = Request::get(format!("http://{address}/")).body(Bytes::new()).unwrap();
        let error = client.send(request).await.unwrap_err();
        assert!(matches!(error, HttpError::Timeout { .. }), "{error}");
    }
}
