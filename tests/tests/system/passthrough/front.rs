//! A listener whose connections are steered, before a backend that is a plain socket.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use proxy_tests::daemon::Daemon;
use proxy_tests::hello::Hello;
use proxy_tests::program::Program;
use proxy_tests::web;
use proxy_tests::world::{Family, World};

use crate::issuer::Ca;

/// Reads no longer than this: a machine under load is slow.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A world with a listener at the service's address, whose protocol and routes a fact says.
pub(super) struct Front<'w> {
    pub(super) world: &'w World,
    pub(super) service: SocketAddr,
    pub(super) daemon: Daemon<'w>,
}

impl<'w> Front<'w> {
    pub(super) fn start(world: &'w World, lines: &str) -> Result<Self> {
        let service = world.service(Family::V4);
        let daemon = Daemon::start(world, &text(world, lines))?;
        Ok(Self { world, service, daemon })
    }

    pub(super) fn connect(&self) -> Result<TcpStream> {
        let stream = self.world.client().enter(|| TcpStream::connect_timeout(&self.service, PATIENCE))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A metric's value; 0 if it is not there.
    pub(super) fn metric(&self, line: &str) -> Result<u64> {
        let metrics = metrics(&self.daemon)?;
        let found = metrics.lines().find_map(|at| at.strip_prefix(line)?.trim().parse().ok());
        Ok(found.unwrap_or(0))
    }

    pub(super) fn refused(&self, reason: &str) -> Result<u64> {
        self.metric(&format!(
            "proxy_now_steered_total{{listener=\"front\",decision=\"refused\",reason=\"{reason}\"}}"
        ))
    }
}

pub(super) fn metrics(daemon: &Daemon<'_>) -> Result<String> {
    let socket = daemon.config_path().with_file_name("admin.sock");
    let output = proxy_tests::program::command(&["curl", "--silent", "--unix-socket"])
        .arg(socket)
        .arg("http://localhost/metrics")
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(super) fn text(world: &World, lines: &str) -> String {
    let service = world.service(Family::V4);
    web::text(world, &lines.replace("@FRONT@", &format!("[listener.front]\nbind = [\"{service}\"]")))
}

/// A `tls` listener that passes `a.test` through to a pool of this backend.
pub(super) fn passing(backend: SocketAddr) -> String {
    format!(
        "@FRONT@\nprotocol = \"tls\"\n\n[[route]]\nname = \"pass\"\nhost = \"a.test\"\npassthrough = true\npool = \"raw\"\n\n\
         [pool.raw]\nbackends = [\"{backend}\"]\n"
    )
}

/// A socket in the namespace of the first backend.
pub(super) fn listen(world: &World) -> Result<(TcpListener, SocketAddr)> {
    let address = SocketAddr::new(world.backend_address(Family::V4, 0), 8097);
    let listener = world.backends[0].namespace.enter(|| TcpListener::bind(address))??;
    Ok((listener, address))
}

pub(super) fn accept(listener: &TcpListener) -> Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

pub(super) fn exactly(stream: &mut TcpStream, count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).with_context(|| format!("{count} bytes"))?;
    Ok(bytes)
}

pub(super) fn hello() -> Vec<u8> {
    Hello::asking_for("a.test").record()
}

/// nginx by TLS, which says who it is, and who has come.
pub(super) fn nginx(world: &World, ca: &Ca, at: SocketAddr) -> Result<Program> {
    let [cert, key, root] = ["a.test.crt", "a.test.key", "ca.pem"].map(|file| ca.path(file));
    let http = format!(
        "server {{ listen {at} ssl http2; ssl_certificate {cert}; ssl_certificate_key {key}; \
         ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s:1m; ssl_client_certificate {root}; \
         ssl_verify_client optional; location / {{ default_type text/plain; \
         return 200 \"theirs client=$ssl_client_s_dn\\n\"; }} }}"
    );
    let namespace = &world.backends[0].namespace;
    proxy_tests::nginx::start(namespace, &world.folder(), "nginx", &http)
}
