//! One check: TCP, HTTP or HTTPS.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::Failure;
use super::tls::connector;
use crate::config::{HealthConfig, HttpProbe, Probe};

/// An answer's head may be this long and have this many fields; the body is not read.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 100;

/// Asks once. Ends within the check's timeout.
pub(super) async fn probe(target: SocketAddr, check: &HealthConfig) -> Result<(), Failure> {
    within(check.timeout, async {
        let stream = TcpStream::connect(target).await.map_err(Failure::Connect)?;
        match &check.probe {
            Probe::Tcp => Ok(()),
            Probe::Http(http) => ask(stream, target, http).await,
        }
    })
    .await
}

async fn within(timeout: Duration, check: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::time::timeout(timeout, check).await.unwrap_or(Err(Failure::Timeout(timeout)))
}

/// HTTP, under TLS if that is wanted.
async fn ask(stream: TcpStream, target: SocketAddr, probe: &HttpProbe) -> Result<(), Failure> {
    let host = probe.host.clone().unwrap_or_else(|| target.to_string());
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
fn server_name(host: Option<&str>, target: SocketAddr) -> Result<ServerName<'static>, Failure> {
    let Some(host) = host else { return Ok(ServerName::from(target.ip())) };
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':') => name,
        _ => host,
    };
    let bare = bare.strip_prefix('[').and_then(|b| b.split_once(']')).map_or(bare, |(inside, _)| inside);
    ServerName::try_from(bare.to_owned()).map_err(|_| Failure::ServerName)
}
