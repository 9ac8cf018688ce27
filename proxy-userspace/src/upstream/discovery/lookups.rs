//! What runs: one task a name.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::resolve::{Server, resolve};

/// A name that cannot be resolved is asked for again after this, then after twice as long, up to the second.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// The addresses that a name has from now on. None if it never had any: a name that is gone keeps what it had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// The name, as configured.
    pub host: Box<str>,
    /// Its addresses, in order.
    pub addresses: Vec<IpAddr>,
}

/// The names that are asked for. Dropping it ends that.
#[derive(Debug)]
pub struct Lookups {
    running: BTreeMap<Box<str>, Running>,
    reports: mpsc::UnboundedSender<Resolved>,
    server: Server,
}

#[derive(Debug)]
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Lookups {
    /// No name yet, and where reports will arrive.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Resolved>) {
        Self::by(Server::System)
    }

    pub(super) fn by(server: Server) -> (Self, mpsc::UnboundedReceiver<Resolved>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        (Self { running: BTreeMap::new(), reports, server }, receiver)
    }

    /// Makes these the names that are asked for. One that stays is not disturbed. Needs a tokio runtime.
    pub fn set(&mut self, wanted: BTreeSet<Box<str>>) {
        self.running.retain(|host, _| wanted.contains(host));
        for host in wanted {
            let (server, reports) = (&self.server, &self.reports);
            self.running.entry(host).or_insert_with_key(|host| {
                let task = follow(host.clone(), server.clone(), reports.clone());
                Running(tokio::spawn(task).abort_handle())
            });
        }
    }
}

/// Asks again and again, and reports changes.
async fn follow(host: Box<str>, server: Server, reports: mpsc::UnboundedSender<Resolved>) {
    let (mut known, mut again) = (Vec::new(), AGAIN.0);
    let mut told = false;
    let tell = |addresses| reports.send(Resolved { host: host.clone(), addresses }).is_ok();
    loop {
        let pause = match resolve(&server, &host).await {
            Ok((addresses, ttl)) if !addresses.is_empty() => {
                again = AGAIN.0;
                if addresses != known {
                    tracing::info!(%host, ?addresses, "name resolved");
                    known = addresses.clone();
                    told = true;
                    if !tell(addresses) {
                        return;
                    }
                }
                ttl
            }
            outcome => {
                let why = outcome.map_or_else(|error| error.to_string(), |_| "no address".to_owned());
                tracing::warn!(%host, "name not resolved: {why}; {} known addresses stay", known.len());
                // Who waits for it waits in vain.
                if !std::mem::replace(&mut told, true) && !tell(Vec::new()) {
                    return;
                }
                let pause = again;
                again = (again * 2).min(AGAIN.1);
                pause
            }
        };
        tokio::time::sleep(pause).await;
    }
}
