//! A listener whose connections leave the daemon, before a backend that is a plain socket.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use proxy_tests::config;
use proxy_tests::daemon::Daemon;
use proxy_tests::hello::Hello;
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};

use super::front::{exactly, metrics};

/// Reads no longer than this: a machine under load is slow.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What the client says first.
pub(super) fn hello() -> Vec<u8> {
    Hello::asking_for("a.test").record()
}

pub(super) fn patient(stream: TcpStream) -> Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A world with two listeners, at ports 443 and 444: connections to the first one may leave the daemon, those to the second
/// one stay.
pub(super) struct Spliced<'w> {
    pub(super) world: &'w World,
    pub(super) daemon: Daemon<'w>,
    pub(super) listener: TcpListener,
    family: Family,
}

impl<'w> Spliced<'w> {
    /// With further lines for the configuration.
    pub(super) fn start(world: &'w World, family: Family, lines: &str) -> Result<Self> {
        Self::with(world, family, &Self::text(world, family, lines))
    }

    /// With this configuration.
    pub(super) fn with(world: &'w World, family: Family, text: &str) -> Result<Self> {
        let backend = SocketAddr::new(world.backend_address(family, 0), 8097);
        let listener = world.backends[0].namespace.enter(|| TcpListener::bind(backend))??;
        let daemon = Daemon::start(world, text)?;
        Ok(Self { world, daemon, listener, family })
    }

    pub(super) fn text(world: &World, family: Family, lines: &str) -> String {
        let backend = SocketAddr::new(world.backend_address(family, 0), 8097);
        let [leaves, stays] = [443, 444].map(|port| SocketAddr::new(world.service(family).ip(), port));
        config::text(world, &[])
            + &format!(
                "\n[listener.leaves]\nbind = [\"{leaves}\"]\nprotocol = \"tls\"\n\n\
                 [listener.stays]\nbind = [\"{stays}\"]\nprotocol = \"tls\"\nhandoff = false\n\n\
                 [[route]]\nname = \"pass\"\nhost = \"a.test\"\npassthrough = true\npool = \"raw\"\n\n\
                 [pool.raw]\nbackends = [\"{backend}\"]\n{lines}"
            )
    }

    pub(super) fn connect(&self, port: u16) -> Result<TcpStream> {
        let to = SocketAddr::new(self.world.service(self.family).ip(), port);
        patient(self.world.client().enter(|| TcpStream::connect_timeout(&to, PATIENCE))??)
    }

    /// A connection whose ClientHello has arrived: both of its ends.
    pub(super) fn pair(&self, port: u16) -> Result<(TcpStream, TcpStream)> {
        use std::io::Write as _;
        let mut client = self.connect(port)?;
        let hello = hello();
        client.write_all(&hello)?;
        let mut server = patient(self.listener.accept()?.0)?;
        ensure!(exactly(&mut server, hello.len())? == hello, "the first flight changed");
        Ok((client, server))
    }

    /// One whose first answer has arrived as well, and that has left the daemon.
    pub(super) fn left(&self) -> Result<(TcpStream, TcpStream)> {
        use std::io::Write as _;
        let before = self.handed_off()?;
        let (mut client, mut server) = self.pair(443)?;
        server.write_all(b"heard")?;
        ensure!(exactly(&mut client, 5)? == b"heard");
        self.wait_left(before + 1)?;
        Ok((client, server))
    }

    /// How many have left.
    pub(super) fn handed_off(&self) -> Result<u64> {
        Ok(sum(&metrics(&self.daemon)?, "proxy_now_relay_handed_off_total{"))
    }

    /// Waits until so many have left.
    pub(super) fn wait_left(&self, count: u64) -> Result<()> {
        until("connections have left the daemon", PATIENCE, || {
            let left = self.handed_off()?;
            ensure!(left >= count, "{left} of {count} have left; {}", self.kept()?);
            Ok(())
        })
    }

    /// How often the kernel part came to this when a connection was to leave.
    pub(super) fn kernel(&self, result: &str) -> Result<u64> {
        let line = format!("proxy_now_handoffs_total{{result=\"{result}\"}}");
        Ok(sum(&metrics(&self.daemon)?, &line))
    }

    /// Why connections stayed, as the metrics say it.
    pub(super) fn kept(&self) -> Result<String> {
        let text = metrics(&self.daemon)?;
        let lines = text.lines().filter(|line| line.starts_with("proxy_now_relay_kept_total{"));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}

/// The sum of all metrics that begin so.
fn sum(metrics: &str, begin: &str) -> u64 {
    let lines = metrics.lines().filter(|line| line.starts_with(begin));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
