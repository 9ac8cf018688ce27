//! The server. Everything about it is bounded: connections, heads, bodies, and how long any of them may take.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::api::{Answer, Refusal, RefusalKind, Request};
use super::bans::BansAnswer;
use super::certificates::CertsAnswer;
use super::limits::LimitsAnswer;
use super::route::{is_foreign, route};
use super::socket::{Bound, SocketError, make};

/// Connections at once; more wait in the socket's backlog.
const CONNECTIONS: u32 = 64;
/// A request's head, and how long it may take; also how long a connection may be idle.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 64;
const HEAD_WITHIN: Duration = Duration::from_secs(5);
/// A request's body, and how long it may take.
const BODY_BYTES: usize = 64 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(5);
/// How long `control` may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// A connection, however many requests it carries.
const CONNECTION_WITHIN: Duration = Duration::from_secs(120);
/// How long those who asked before the end may take to be told.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(2);

/// A request, and where its answer goes.
#[derive(Debug)]
pub struct Call {
    /// What is asked.
    pub request: Request,
    /// User id of who asks.
    pub uid: Option<u32>,
    /// Where the answer goes.
    pub answer: oneshot::Sender<Result<Answer, Refusal>>,
}

/// The server: it runs until it is dropped, and its socket goes with it.
#[derive(Debug)]
pub struct Server {
    bound: Bound,
    /// Kept so that it can be handed over.
    socket: std::os::unix::net::UnixListener,
    task: AbortHandle,
    clients: Clients,
}

/// Who is connected.
#[derive(Clone, Debug)]
struct Clients {
    /// One permit for each that may be.
    permits: Arc<Semaphore>,
    /// Changes when they are to be told what they asked, and no more.
    ending: watch::Sender<()>,
}

impl Clients {
    fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(CONNECTIONS as usize)), ending: watch::Sender::new(()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Makes the socket and serves it. Needs a tokio runtime.
    pub fn start(path: &Path, mode: u32, calls: mpsc::Sender<Call>) -> Result<Self, SocketError> {
        let (socket, bound) = make(path, mode)?;
        let system = |error| SocketError::System { path: path.into(), error };
        let clients = Clients::new();
        let task = listen(&socket, calls, clients.clone()).map_err(system)?;
        Ok(Self { bound, socket, task, clients })
    }

    /// Serves a socket that was handed over, and is at `path`. Needs a tokio runtime.
    pub fn adopt(
        socket: OwnedFd,
        path: &Path,
        mode: u32,
        calls: mpsc::Sender<Call>,
    ) -> Result<Self, SocketError> {
        let system = |error| SocketError::System { path: path.into(), error };
        let bound = Bound::adopt(path).map_err(system)?;
        let socket = std::os::unix::net::UnixListener::from(socket);
        let clients = Clients::new();
        let task = listen(&socket, calls, clients.clone()).map_err(system)?;
        let server = Self { bound, socket, task, clients };
        server.set_mode(mode);
        Ok(server)
    }

    /// Takes no calls: they wait.
    pub fn pause(&self) {
        self.task.abort();
    }

    /// Takes calls again. Needs a tokio runtime.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn resume(&mut self, calls: mpsc::Sender<Call>) -> io::Result<()> {
        self.task = listen(&self.socket, calls, self.clients.clone())?;
        Ok(())
    }

    /// Takes no calls, and waits until those that were answered have been told so.
    pub async fn finish(&self) {
        self.task.abort();
        self.clients.ending.send_replace(());
        let all = self.clients.permits.acquire_many(CONNECTIONS);
        if tokio::time::timeout(LAST_WORDS_WITHIN, all).await.is_err() {
            tracing::warn!("admin socket: somebody did not hear the answer within {LAST_WORDS_WITHIN:?}");
        }
    }

    /// The socket, to be handed over.
    ///
    /// # Errors
    /// The process has as many files as it may.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// It is somebody else's now: its path stays when this is dropped.
    pub fn release(&mut self) {
        self.bound.release();
    }

    /// Changes who may ask.
    pub fn set_mode(&self, mode: u32) {
        let permissions = std::fs::Permissions::from_mode(mode);
        if let Err(error) = std::fs::set_permissions(&self.bound.path, permissions) {
            tracing::warn!("the mode of {} stays as it was: {error}", self.bound.path.display());
        }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.bound.path.clone()
    }
}

fn listen(
    socket: &std::os::unix::net::UnixListener,
    calls: mpsc::Sender<Call>,
    clients: Clients,
) -> io::Result<AbortHandle> {
    socket.set_nonblocking(true)?;
    let listener = UnixListener::from_std(socket.try_clone()?)?;
    Ok(tokio::spawn(serve(listener, calls, clients)).abort_handle())
}

async fn serve(listener: UnixListener, calls: mpsc::Sender<Call>, clients: Clients) {
    loop {
        let Ok(permit) = clients.permits.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (calls, ending) = (calls.clone(), clients.ending.subscribe());
                tokio::spawn(async move {
                    let connection = connection(stream, calls, ending);
                    let _ = tokio::time::timeout(CONNECTION_WITHIN, connection).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!("admin socket: a connection could not be taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, calls: mpsc::Sender<Call>, mut ending: watch::Receiver<()>) {
    let uid = stream.peer_cred().ok().map(|who| who.uid());
    let service = service_fn(move |request| {
        let calls = calls.clone();
        async move { Ok::<_, Infallible>(respond(request, uid, &calls).await) }
    });
    let mut served = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEAD_FIELDS)
            .serve_connection(TokioIo::new(stream), service)
    );
    let result = tokio::select! {
        result = &mut served => result,
        _ = ending.changed() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("admin socket: {error}");
    }
}

async fn respond(
    request: hyper::Request<Incoming>,
    uid: Option<u32>,
    calls: &mpsc::Sender<Call>,
) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    if is_foreign(&head.headers) {
        let error = "asked by a web page, or for another host: this socket is for `localhost` only";
        return json(StatusCode::FORBIDDEN, &Refusal::new(RefusalKind::BadRequest, error));
    }
    let body = match tokio::time::timeout(BODY_WITHIN, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => {
            let refusal =
                Refusal::new(RefusalKind::BadRequest, "the body is too long, or did not come in time");
            return json(StatusCode::PAYLOAD_TOO_LARGE, &refusal);
        }
    };
    let answer = match route(&head.method, &head.uri, &body) {
        Ok(request) => ask(request, uid, calls).await,
        Err(refusal) => Err(refusal),
    };
    match answer {
        Ok(answer) => answered(&answer),
        Err(refusal) => json(status_of(refusal.kind), &refusal),
    }
}

async fn ask(request: Request, uid: Option<u32>, calls: &mpsc::Sender<Call>) -> Result<Answer, Refusal> {
    let (answer, answered) = oneshot::channel();
    let call = Call { request, uid, answer };
    let asked = async {
        calls.send(call).await.ok()?;
        answered.await.ok()
    };
    match tokio::time::timeout(ANSWER_WITHIN, asked).await {
        Ok(Some(answer)) => answer,
        Ok(None) => Err(Refusal::new(RefusalKind::Failed, "the daemon is stopping")),
        Err(_) => Err(Refusal::new(RefusalKind::Failed, "the daemon is too busy to answer")),
    }
}

fn answered(answer: &Answer) -> Response<Full<Bytes>> {
    match answer {
        Answer::Status(status) => json(StatusCode::OK, status),
        Answer::Health(daemon) => json(StatusCode::OK, daemon),
        Answer::Reload(reload) => json(StatusCode::OK, reload),
        Answer::Upgrade(upgrade) => json(StatusCode::OK, upgrade),
        Answer::Drain(drained) => json(StatusCode::OK, drained),
        Answer::Explain(value) => json(StatusCode::OK, value),
        Answer::Certs(CertsAnswer::List(list)) => json(StatusCode::OK, list),
        Answer::Certs(CertsAnswer::Root(root)) => json(StatusCode::OK, root),
        Answer::Certs(CertsAnswer::Renewed(renewed)) => json(StatusCode::OK, renewed),
        Answer::Certs(CertsAnswer::Exported(exported)) => json(StatusCode::OK, exported),
        Answer::Limits(LimitsAnswer::List(limits)) => json(StatusCode::OK, limits),
        Answer::Limits(LimitsAnswer::Top(top)) => json(StatusCode::OK, top),
        Answer::Limits(LimitsAnswer::Changed(changed)) => json(StatusCode::OK, changed),
        Answer::Trace(traced) => json(StatusCode::OK, traced),
        Answer::Bans(BansAnswer::List(list)) => json(StatusCode::OK, list),
        Answer::Bans(BansAnswer::Changed(changed)) => json(StatusCode::OK, changed),
        Answer::Metrics(text) => {
            response(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text.clone().into())
        }
    }
}

const fn status_of(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::BadRequest => StatusCode::BAD_REQUEST,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::BadConfig => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let mut text = serde_json::to_vec(value).expect("these types have string keys and no failing serializer");
    text.push(b'\n');
    response(status, "application/json", text.into())
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}
