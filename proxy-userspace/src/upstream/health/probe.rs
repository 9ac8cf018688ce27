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

use super::check::Check;
use super::failure::Failure;
use super::tls::connector;
use crate::config::{HttpProbe, Probe};
use crate::net::stream::Target;

/// An answer's head may be this long and have this many fields; the body is not read.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 100;
/// The host of a Unix socket that was given none.
const LOCAL: &str = "localhost";

/// Asks once. Ends within the check's timeout.
pub(super) async fn probe(check: &Check) -> Result<(), Failure> {
    within(check.config.timeout, async {
        match &check.target {
            Target::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(Failure::Connect)?;
                go_on(stream, check).await
            }
            Target::Udp(_) => Err(Failure::Connect(std::io::ErrorKind::Unsupported.into())),
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(Failure::Connect)?;
                go_on(stream, check).await
            }
        }
    })
    .await
}

/// What a check wants of a connection.
async fn go_on<S>(stream: S, check: &Check) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    match &check.config.probe {
        Probe::Tcp => Ok(()),
        Probe::Http(http) => ask(stream, check, http).await,
    }
}

async fn within(timeout: Duration, check: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::time::timeout(timeout, check).await.unwrap_or(Err(Failure::Timeout(timeout)))
}

/// HTTP, under TLS if that is wanted.
async fn ask<S>(stream: S, check: &Check, probe: &HttpProbe) -> Result<(), Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = match (&probe.host, &check.target) {
        (Some(host), _) => host.clone(),
        (None, Target::Tcp(address)) => address.to_string(),
        (None, Target::Unix(_) | Target::Udp(_)) => LOCAL.to_owned(),
    };
    let tls = match (&check.tls, probe.tls) {
        (Some(tls), _) => Some((tls.config().clone().into(), tls.name().clone())),
        (None, Some(trust)) => {
            let name = server_name(probe.host.as_deref(), &check.target)?;
            Some((connector(trust).ok_or(Failure::NoRoots)?, name))
        }
        (None, None) => None,
    };
    let status = match tls {
        None => get(stream, &probe.path, &host).await?,
        Some((connector, name)) => {
            let stream = connector.connect(name, stream).await.map_err(Failure::Tls)?;
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
        (None, Target::Unix(_) | Target::Udp(_)) => LOCAL,
    };
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
        _ => host,
    };
    let bare = bare.strip_prefix('[').and_then(|b| b.split_once(']')).map_or(bare, |(inside, _)| inside);
    ServerName::try_from(bare.to_owned()).map_err(|_| Failure::ServerName)
}
