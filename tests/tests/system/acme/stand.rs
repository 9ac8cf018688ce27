//! A world with an ACME server, the proxy before it, and what a daemon needs to be told of them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::wait::until;
use proxy_tests::web;
use proxy_tests::world::World;
use serde_json::Value;

use super::authority::Authority;
use super::fault::FaultProxy;
use super::pebble::{self, Pebble, Settings, here};
use super::step::Step;
use super::visit::{self, Visit};

/// Where the proxy before the ACME server is.
pub(super) const PROXY: u16 = 14001;
/// How long a first certificate may take: Pebble refuses nonces, and says to ask again after a second.
pub(super) const ISSUED: Duration = Duration::from_secs(40);

/// All of it, in one namespace.
#[derive(Debug)]
pub(super) struct Stand {
    // Programs end before their world goes.
    /// The proxy before the server.
    pub(super) proxy: FaultProxy,
    /// The server.
    pub(super) pebble: Pebble,
    /// Who signed the server's own certificate.
    pub(super) authority: Authority,
    /// Where it all is.
    pub(super) world: World,
}

impl Stand {
    /// Starts everything but the daemon.
    pub(super) fn build(settings: Settings) -> Result<Self> {
        let world = World::routed().clients(0).backends(0).build()?;
        let authority = Authority::make(&world.folder())?;
        let pebble = Pebble::start(&world.balancer, &world.folder(), &authority, settings)?;
        let proxy = FaultProxy::start(&world.balancer, here(PROXY), here(pebble::ACME), &authority)?;
        Ok(Self { proxy, pebble, authority, world })
    }

    /// Where certificates are kept.
    pub(super) fn storage(&self) -> PathBuf {
        self.world.folder().join("storage")
    }

    /// The ACME server's directory, behind the proxy.
    pub(super) fn directory() -> String {
        format!("https://127.0.0.1:{PROXY}/dir")
    }

    /// A configuration that serves these hosts where the ACME server looks for them. `acme`: more lines of `[acme]`.
    pub(super) fn config(&self, acme: &str, hosts: &[&str]) -> String {
        self.config_at(acme, hosts, here(pebble::HTTP), here(pebble::HTTPS))
    }

    /// Such a configuration with other addresses for HTTP and HTTPS.
    pub(super) fn config_at(
        &self,
        acme: &str,
        hosts: &[&str],
        http: SocketAddr,
        https: SocketAddr,
    ) -> String {
        let lines = format!(
            "[acme]\nemail = \"ops@example.com\"\ndirectory = \"{}\"\ndirectory_ca = {:?}\nstorage = {:?}\n{acme}\n\n\
             [listener.plain]\nbind = [\"{http}\"]\nprotocol = \"http\"\n\n\
             [listener.secure]\nbind = [\"{https}\"]\nprotocol = \"https\"\n\n\
             [[route]]\nlistener = \"secure\"\nhost = {hosts:?}\ntls = \"acme\"\nrespond = {{ body = \"here\" }}\n",
            Self::directory(),
            self.authority.root(),
            self.storage(),
        );
        web::text(&self.world, &lines)
    }

    /// What a host answers by HTTPS; its certificate must be one of the ACME server's.
    pub(super) fn visit(&self, host: &str) -> Result<Visit> {
        self.visit_at(here(pebble::HTTPS), host)
    }

    /// What a host answers at an address.
    pub(super) fn visit_at(&self, address: SocketAddr, host: &str) -> Result<Visit> {
        let visit = visit::ask(&self.world.balancer, address, host, &self.pebble.root(), "GET /", "")?;
        ensure!(visit.answer.body == b"here", "{:?}", visit.answer);
        Ok(visit)
    }

    /// Waits until a host has a certificate of the ACME server: which one.
    pub(super) fn wait_served(&self, host: &str, daemon: &Daemon<'_>) -> Result<Vec<u8>> {
        until(&format!("{host} has a certificate"), ISSUED, || Ok(self.visit(host)?.certificate))
            .with_context(|| self.evidence(daemon))
    }

    /// Waits until a host has another certificate than this.
    pub(super) fn wait_renewed(&self, host: &str, before: &[u8], daemon: &Daemon<'_>) -> Result<Vec<u8>> {
        let renewed = until(&format!("{host} has another certificate"), ISSUED, || {
            let now = self.visit(host)?.certificate;
            ensure!(now != before, "it has the one from before");
            Ok(now)
        });
        renewed.with_context(|| self.evidence(daemon))
    }

    /// What `certs list` says of a host.
    pub(super) fn listed(daemon: &Daemon<'_>, host: &str) -> Result<Value> {
        let list = daemon.json(&["certs", "list"])?;
        let rows = list["certificates"].as_array().context("no list of certificates")?;
        let row = rows.iter().find(|row| row["name"] == host).cloned();
        row.with_context(|| format!("{host} is not in {list}"))
    }

    /// How many certificates the server has given out.
    pub(super) fn finalized(&self) -> usize {
        self.proxy.taken(Step::Finalize)
    }

    fn evidence(&self, daemon: &Daemon<'_>) -> String {
        let steps: Vec<String> =
            self.proxy.seen().iter().map(|seen| format!("{:?} {:?}", seen.step, seen.status)).collect();
        format!("the server saw: {}; the daemon said:\n{}", steps.join(", "), daemon.log())
    }
}
