//! Sockets: connections by TLS, with a certificate of the CA itself. Everything is bounded: connections, heads, bodies, and
//! how long any of them may take.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as Bound};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK, LOCATION};
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_rustls::TlsAcceptor;

use super::super::super::clock::Clock;
use super::super::super::http::Client;
use super::super::authority::{Authority, AuthorityError, Issued};
use super::core::Core;
use super::problem::{Kind, Problem};
use super::prove::{Ports, Prover};
use super::reply::Reply;
use super::routes;
use crate::config::{InternalAcmeConfig, InternalCaConfig, KeyType};

/// Connections at once; more wait in the socket's backlog.
const CONNECTIONS: usize = 256;
/// A handshake, a request's head and its body may take so long each; a connection may be idle for so long.
const WITHIN: Duration = Duration::from_secs(10);
/// A connection, however many requests it carries.
const CONNECTION_WITHIN: Duration = Duration::from_secs(120);
/// Bytes of a request's body, and of its head.
const BODY_BYTES: usize = 64 * 1024;
const HEAD_BYTES: usize = 16 * 1024;
const REPLAY_NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// Why the CA does not serve other machines.
#[derive(Debug, thiserror::Error)]
pub enum ServeCaError {
    /// Its address cannot be waited at.
    #[error("the internal CA cannot serve at {at}: {error}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// What the system says.
        error: io::Error,
    },
    /// It cannot sign.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// It cannot speak TLS, or has no client to look at names with.
    #[error("the internal CA cannot serve: {0}")]
    Tls(Box<dyn std::error::Error + Send + Sync>),
    /// There is no thread.
    #[error("the internal CA cannot serve: {0}")]
    Thread(io::Error),
}

/// The server: it runs until it is dropped.
#[derive(Debug)]
pub struct AcmeServer {
    directory: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for AcmeServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the internal CA's server has ended by itself");
        }
    }
}

impl AcmeServer {
    /// The URL of its directory.
    pub fn directory(&self) -> &str {
        &self.directory
    }

    /// Serves other machines, on a thread of its own.
    ///
    /// # Errors
    /// The address is in use, or the CA's keys cannot be had.
    pub fn start(
        folder: &Path,
        ca: &InternalCaConfig,
        serve: &InternalAcmeConfig,
        clock: Clock,
        ports: Ports,
    ) -> Result<Self, ServeCaError> {
        let authority = Arc::new(Authority::open(folder, ca, clock.now())?);
        let at = serve.bind;
        let bound = Bound::bind(at).map_err(|error| ServeCaError::Listen { at, error })?;
        bound.set_nonblocking(true).map_err(|error| ServeCaError::Listen { at, error })?;
        let tls = |error: Box<dyn std::error::Error + Send + Sync>| ServeCaError::Tls(error);
        let client = Client::new(None).map_err(|error| tls(error.into()))?;
        let prover = Prover::new(ports, client).map_err(|error| tls(error.into()))?;
        let port = bound.local_addr().map_err(|error| ServeCaError::Listen { at, error })?.port();
        let base = match port {
            443 => format!("https://{}", serve.host),
            port => format!("https://{}:{port}", serve.host),
        };
        let core = Core::new(base, authority, serve.names.clone(), prover, clock);
        let served = Served { core: Arc::new(core), host: serve.host.clone(), tls: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ServeCaError::Thread)?;
        let (stop, stopped) = oneshot::channel::<()>();
        let directory = format!("{}/directory", served.core.base);
        tracing::info!("the internal CA serves ACME at {directory}");
        let thread = thread::Builder::new().name("ca".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(bound, served) => {}
                }
            });
        });
        Ok(Self { directory, stop: Some(stop), thread: Some(thread.map_err(ServeCaError::Thread)?) })
    }
}

struct Served {
    core: Arc<Core>,
    host: Box<str>,
    /// What handshakes go by, and until when.
    tls: Option<(Arc<ServerConfig>, SystemTime)>,
}

impl Served {
    /// What handshakes go by now: the certificate is made anew in time.
    fn tls(&mut self) -> Result<Arc<ServerConfig>, ServeCaError> {
        let now = self.core.clock.now();
        if let Some((config, until)) = &self.tls
            && now < *until
        {
            return Ok(config.clone());
        }
        let authority = &self.core.authority;
        let Issued { chain_pem, key_pem } =
            authority.issue(std::slice::from_ref(&self.host), KeyType::P256, now)?;
        let config = server_config(&chain_pem, &key_pem).map_err(ServeCaError::Tls)?;
        self.tls = Some((config.clone(), now + authority.lifetime() * 2 / 3));
        Ok(config)
    }
}

fn server_config(
    chain: &str,
    key: &str,
) -> Result<Arc<ServerConfig>, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

async fn accept(bound: Bound, mut served: Served) {
    let listener = match TcpListener::from_std(bound) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("the internal CA cannot serve: {error}"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::debug!("no connection to the internal CA: {error}");
                // Out of files, most of the time: others must end first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        match served.tls() {
            Ok(tls) => drop(tokio::spawn(connection(socket, tls, served.core.clone(), place))),
            Err(error) => tracing::warn!("{error}"),
        }
    }
}

async fn connection(socket: TcpStream, tls: Arc<ServerConfig>, core: Arc<Core>, place: OwnedSemaphorePermit) {
    let serve = async {
        let stream = tokio::time::timeout(WITHIN, TlsAcceptor::from(tls).accept(socket)).await??;
        let service = service_fn(|request| exchange(&core, request));
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(WITHIN).max_buf_size(HEAD_BYTES);
        http.serve_connection(TokioIo::new(stream), service).await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(CONNECTION_WITHIN, serve).await {
        tracing::debug!("a connection to the internal CA failed: {error}");
    }
    drop(place);
}

async fn exchange(core: &Arc<Core>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(WITHIN, Limited::new(body, BODY_BYTES).collect()).await;
    let reply = match body {
        Ok(Ok(body)) => routes::answer(core, &head.method, head.uri.path(), &body.to_bytes()),
        _ => {
            Reply::problem(&Problem::new(Kind::Malformed, "the body is longer than 64 KiB, or did not come"))
        }
    };
    Ok(response(core, reply))
}

fn response(core: &Core, reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::builder()
        .status(reply.status)
        .header(REPLAY_NONCE, &*core.nonce())
        .header(CACHE_CONTROL, "no-store")
        .header(LINK, format!("<{}/directory>;rel=\"index\"", core.base));
    if !reply.body.is_empty() {
        response = response.header(CONTENT_TYPE, reply.kind);
    }
    if let Some(location) = reply.location {
        response = response.header(LOCATION, location);
    }
    if let Some(up) = reply.up {
        response = response.header(LINK, format!("<{up}>;rel=\"up\""));
    }
    response.body(Full::from(reply.body)).expect("its fields are made of plain words and addresses")
}
