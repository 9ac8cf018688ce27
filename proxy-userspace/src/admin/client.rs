//! How the command line asks.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::route::{Explanation, HelloExplanation, HelloQuestion, Question};

use super::api::{Daemon, Drain, Drained, Refusal, Reload, Status, Upgrade};
use super::bans::{BansAnswer, BansRequest};
use super::certificates::{Certificates, Exported, Named, Renewed, Revoke, Root};
use super::limits::{Changed, Limits, ResetLimit, SetLimit, Top};
use super::route::percent_encode;
use super::trace::{TraceRequest, Traced};

/// Longer than the daemon itself allows for an answer.
const WITHIN: Duration = Duration::from_secs(35);
/// A status of all the backends that a kernel can know is far below this.
const ANSWER_BYTES: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody is there.
    #[error("no daemon answers on {}", .0.display())]
    NoDaemon(PathBuf),
    /// The socket is not for this user.
    #[error("not allowed to use {}: run this as root, or as a member of the socket's group", .0.display())]
    NotAllowed(PathBuf),
    /// The connection failed.
    #[error("cannot reach the daemon on {}: {error}", .path.display())]
    Connect {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It failed while asking.
    #[error("the daemon broke off: {0}")]
    Http(#[from] hyper::Error),
    /// The answer is longer than any answer, or broke off.
    #[error("the daemon's answer could not be read")]
    Body,
    /// It did not come.
    #[error("the daemon did not answer within {} s", WITHIN.as_secs())]
    Timeout,
    /// It is not what this program understands.
    #[error("the daemon's answer is not understood (is it of another version?): {0}")]
    Answer(#[from] serde_json::Error),
    /// It says no.
    #[error("{}", .0.error)]
    Refused(Box<Refusal>),
}

/// A daemon, by its socket. Every question is a connection.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// The daemon on this socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// Where it is asked.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Everything that is to be known.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.ask(Method::GET, "/status", Bytes::new()).await
    }

    /// Whether the daemon is well.
    pub async fn health(&self) -> Result<Daemon, ClientError> {
        self.ask(Method::GET, "/health", Bytes::new()).await
    }

    /// Puts the configuration on disk in force.
    pub async fn reload(&self) -> Result<Reload, ClientError> {
        self.ask(Method::POST, "/reload", Bytes::new()).await
    }

    /// Hands everything over to the program on disk.
    pub async fn upgrade(&self) -> Result<Upgrade, ClientError> {
        self.ask(Method::POST, "/upgrade", Bytes::new()).await
    }

    /// No new flows for a backend.
    pub async fn drain(&self, which: &Drain) -> Result<Drained, ClientError> {
        self.ask(Method::POST, "/drain", serde_json::to_vec(which)?.into()).await
    }

    /// New flows again for a backend.
    pub async fn undrain(&self, which: &Drain) -> Result<Drained, ClientError> {
        self.ask(Method::POST, "/undrain", serde_json::to_vec(which)?.into()).await
    }

    /// What becomes of a tuple.
    pub async fn explain(&self, tuple: &str) -> Result<serde_json::Value, ClientError> {
        self.ask(Method::GET, &format!("/explain?tuple={}", percent_encode(tuple)), Bytes::new()).await
    }

    /// How a request would be routed.
    pub async fn explain_request(&self, question: &Question) -> Result<Explanation, ClientError> {
        self.ask(Method::POST, "/explain", serde_json::to_vec(question)?.into()).await
    }

    /// Where a connection would go.
    pub async fn explain_hello(&self, question: &HelloQuestion) -> Result<HelloExplanation, ClientError> {
        self.ask(Method::POST, "/explain/hello", serde_json::to_vec(question)?.into()).await
    }

    /// All certificates that are known.
    pub async fn certificates(&self) -> Result<Certificates, ClientError> {
        self.ask(Method::GET, "/certs", Bytes::new()).await
    }

    /// The root of the internal CA.
    pub async fn root(&self) -> Result<Root, ClientError> {
        self.ask(Method::GET, "/certs/root", Bytes::new()).await
    }

    /// Another certificate for a name, now.
    pub async fn renew(&self, which: &Named) -> Result<Renewed, ClientError> {
        self.ask(Method::POST, "/certs/renew", serde_json::to_vec(which)?.into()).await
    }

    /// A name's certificate is no longer to be trusted.
    pub async fn revoke(&self, which: &Revoke) -> Result<Renewed, ClientError> {
        self.ask(Method::POST, "/certs/revoke", serde_json::to_vec(which)?.into()).await
    }

    /// A name's certificate and key.
    pub async fn export(&self, which: &Named) -> Result<Exported, ClientError> {
        self.ask(Method::POST, "/certs/export", serde_json::to_vec(which)?.into()).await
    }

    /// All limits.
    pub async fn limits(&self) -> Result<Limits, ClientError> {
        self.ask(Method::GET, "/limits", Bytes::new()).await
    }

    /// Who has been refused.
    pub async fn limited(&self) -> Result<Top, ClientError> {
        self.ask(Method::GET, "/limits/top", Bytes::new()).await
    }

    /// How much a limit lets through, for the next that comes.
    pub async fn set_limit(&self, wanted: &SetLimit) -> Result<Changed, ClientError> {
        self.ask(Method::POST, "/limits/set", serde_json::to_vec(wanted)?.into()).await
    }

    /// What operators have set of a limit, or what an address has used up, is forgotten.
    pub async fn reset_limit(&self, wanted: &ResetLimit) -> Result<Changed, ClientError> {
        self.ask(Method::POST, "/limits/reset", serde_json::to_vec(wanted)?.into()).await
    }

    /// What has been decided about ClientHellos since the last call.
    pub async fn trace(&self, wanted: &TraceRequest) -> Result<Traced, ClientError> {
        self.ask(Method::POST, "/trace", serde_json::to_vec(wanted)?.into()).await
    }

    /// About bans.
    pub async fn bans(&self, request: &BansRequest) -> Result<BansAnswer, ClientError> {
        match request {
            BansRequest::List { all } => {
                let path = if *all { "/bans?all=true" } else { "/bans" };
                self.ask(Method::GET, path, Bytes::new()).await.map(BansAnswer::List)
            }
            BansRequest::Add(add) => {
                let body = serde_json::to_vec(add)?.into();
                self.ask(Method::POST, "/bans/add", body).await.map(BansAnswer::Changed)
            }
            BansRequest::Remove(remove) => {
                let body = serde_json::to_vec(remove)?.into();
                self.ask(Method::POST, "/bans/remove", body).await.map(BansAnswer::Changed)
            }
        }
    }

    /// Text for Prometheus.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let body = self.bytes(Method::GET, "/metrics", Bytes::new()).await?;
        String::from_utf8(body.into()).map_err(|_| ClientError::Body)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        Ok(serde_json::from_slice(&self.bytes(method, path, body).await?)?)
    }

    async fn bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let asked = tokio::time::timeout(WITHIN, self.exchange(method, path, body)).await;
        asked.unwrap_or(Err(ClientError::Timeout))
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.connect_error(error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "proxy-now")
            .body(Full::new(body))
            .expect("the path is made of unreserved characters");
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        driver.abort();
        let body = body.map_err(|_| ClientError::Body)?.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        Err(ClientError::Refused(Box::new(serde_json::from_slice(&body)?)))
    }

    fn connect_error(&self, error: io::Error) -> ClientError {
        let path = self.socket.clone();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => ClientError::NoDaemon(path),
            io::ErrorKind::PermissionDenied => ClientError::NotAllowed(path),
            _ => ClientError::Connect { path, error },
        }
    }
}
