//! A proxy of hyper and nothing else: what a request costs without any of our own doing. One thread, connections to the
//! backend are kept, no metrics, no routes.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;

type Answer = Response<Either<Incoming, String>>;

/// Connections to the backend.
struct Pool {
    backend: u16,
    senders: RefCell<Vec<SendRequest<Incoming>>>,
}

#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(async move { drop(future.await) });
    }
}

/// How a port is served.
#[derive(Clone)]
enum How {
    H1,
    H2,
    /// Either, as ALPN says.
    Tls(TlsAcceptor),
}

/// Serves HTTP/1.1 at the first port and HTTP/2 at the second, from the third.
pub(crate) fn run(words: &[String]) -> Result<()> {
    let ports: Vec<u16> = words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
    let &[h1, h2, backend] = ports.as_slice() else { anyhow::bail!("three ports are wanted") };
    serve(vec![(h1, How::H1), (h2, How::H2)], backend)
}

/// Serves both by TLS at the first port, from the second; the third word is a file with the certificates and the key.
pub(crate) fn run_tls(words: &[String]) -> Result<()> {
    let [port, backend, file] = words else { anyhow::bail!("two ports and a file are wanted") };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain = CertificateDer::pem_file_iter(file)?.collect::<Result<_, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(file)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    serve(vec![(port.parse()?, How::Tls(Arc::new(config).into()))], backend.parse()?)
}

fn serve(ports: Vec<(u16, How)>, backend: u16) -> Result<()> {
    let pool = Rc::new(Pool { backend, senders: RefCell::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(async move {
        let mut accepting = Vec::new();
        for (port, how) in ports {
            let listener = TcpListener::bind(("127.0.0.1", port)).await?;
            accepting.push(spawn_local(accept(listener, Rc::clone(&pool), how)));
        }
        for task in accepting {
            task.await??;
        }
        Ok(())
    }))
}

async fn accept(listener: TcpListener, pool: Rc<Pool>, how: How) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (pool, how) = (Rc::clone(&pool), how.clone());
        spawn_local(async move {
            match how {
                How::H1 => talk(stream, pool, false).await,
                How::H2 => talk(stream, pool, true).await,
                How::Tls(acceptor) => {
                    // A client that goes away is no failure.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    talk(stream, pool, h2).await;
                }
            }
        });
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, pool: Rc<Pool>, h2: bool) {
    let stream = TokioIo::new(stream);
    let service = service_fn(move |request| forward(request, Rc::clone(&pool)));
    // A client that goes away is no failure.
    if h2 {
        drop(http2::Builder::new(Local).serve_connection(stream, service).await);
    } else {
        drop(http1::Builder::new().serve_connection(stream, service).await);
    }
}

async fn forward(request: Request<Incoming>, pool: Rc<Pool>) -> Result<Answer> {
    let answer = send(request, &pool).await;
    Ok(answer.map_or_else(|why| refuse(&why), |answer| answer.map(Either::Left)))
}

async fn send(mut request: Request<Incoming>, pool: &Pool) -> Result<Response<Incoming>> {
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str())?;
        request.headers_mut().insert(HOST, host);
    }
    let target = request.uri().path_and_query().context("a request without a path")?;
    *request.uri_mut() = Uri::from(target.clone());
    let idle = {
        let mut senders = pool.senders.borrow_mut();
        senders.retain(|sender| !sender.is_closed());
        senders.iter().position(SendRequest::is_ready).map(|at| senders.swap_remove(at))
    };
    let mut sender = match idle {
        Some(sender) => sender,
        None => connect(pool.backend).await?,
    };
    let answer = sender.send_request(request).await?;
    pool.senders.borrow_mut().push(sender);
    Ok(answer)
}

async fn connect(backend: u16) -> Result<SendRequest<Incoming>> {
    let stream = TcpStream::connect(("127.0.0.1", backend)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

fn refuse(why: &anyhow::Error) -> Answer {
    let mut answer = Response::new(Either::Right(format!("{why:#}\n")));
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}
