//! One check: TCP, HTTP or HTTPS.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::Failure;
use super::tls::connector;
use crate::config::{HealthConfig, HttpProbe, Probe};
use crate::net::stream::Target;

/// An answer's head may be this long and have this many fields; the body is not read.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 100;
/// The host of a Unix socket that was given none.
const LOCAL: &str = "localhost";

/// Asks once. Ends within the check's timeout.
pub(super) async fn probe(target: &Target, check: &HealthConfig) -> Result<(), Failure> {
    within(check.timeout, async {
        match target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(Failure::Connect)?;
                go_on(stream, target, &check.probe).await
            }
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(Failure::Connect)?;
                go_on(stream, target, &check.probe).await
            }
        }
    })
    .await
}

/// What a check wants of a connection.
async fn go_on<S>(stream: S, target: &Target, probe: &Probe) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match probe {
        Probe::Tcp => Ok(()),
        Probe::Http(http) => ask(stream, target, http).await,
    }
}

async fn within(timeout: Duration, check: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::time::timeout(timeout, check).await.unwrap_or(Err(Failure::Timeout(timeout)))
}

/// HTTP, under TLS if that is wanted.
async fn ask<S>(stream: S, target: &Target, probe: &HttpProbe) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = match (&probe.host, target) {
        (Some(host), _) => host.clone(),
        (None, Target::Tcp(address)) => address.to_string(),
        (None, Target::Unix(_)) => LOCAL.to_owned(),
    };
    let status = match probe.tls {
        None => get(stream, &probe.path, &host).await?,
        Some(trust) => {
            let name = server_name(probe.host.as_deref(), target)?;
            let tls = connector(trust).ok_or(Failure::NoRoots)?;
            let stream = tls.connect(name, stream).await.map_err(Failure::Tls)?;
            get(stream, &probe.path, &host).await?
        }
    };
    if probe.status.iter().any(|good| good.contains(&status)) { Ok(()) } else { Err(Failure::Status(status)) }
}

/// A GET's status.
async fn get<S>(stream: S, path: &str, host: &str) -> Result<u16, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut client = http1::Builder::new();
    client.max_buf_size(HEAD_BYTES).max_headers(HEAD_FIELDS);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(Failure::Http)?;
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("proxy-now/", env!("CARGO_PKG_VERSION"), " (health check)"))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(Failure::Request)?;
    // Driven here, not in a task of its own: the connection ends with the check, whichever way that ends.
    let answer = async {
        let answer = sender.send_request(request).await.map_err(Failure::Http)?;
        Ok(answer.status().as_u16())
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        biased;
        status = &mut answer => status,
        // A connection that ends before its answer fails the request, with the cause.
        _ = &mut connection => answer.await,
    }
}

/// Who the certificate must be for: the host without its port, or the address.
fn server_name(host: Option<&str>, target: &Target) -> Result<ServerName<'static>, Failure> {
    let host = match (host, target) {
        (Some(host), _) => host,
        (None, Target::Tcp(address)) => return Ok(ServerName::from(address.ip())),
        (None, Target::Unix(_)) => LOCAL,
    };
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
        _ => host,
    };
    let bare = bare.strip_prefix('[').and_then(|b| b.split_once(']')).map_or(bare, |(inside, _)| inside);
    ServerName::try_from(bare.to_owned()).map_err(|_| Failure::ServerName)
}
