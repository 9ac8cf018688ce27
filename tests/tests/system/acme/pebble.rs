//! Pebble, the ACME server, and the DNS that it asks. Both live in the namespace of the daemon.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use proxy_tests::netns::Namespace;
use proxy_tests::program::{self, Program};
use proxy_tests::runner;
use serde_json::{Value, json};

use super::authority::Authority;
use super::visit;

/// Its directory is here.
pub(super) const ACME: u16 = 14000;
/// Its roots are here, and here it is told what to do.
pub(super) const MANAGEMENT: u16 = 15000;
/// Where it proves names by HTTP-01: our listener.
pub(super) const HTTP: u16 = 5002;
/// Where it proves names by TLS-ALPN-01: our listener.
pub(super) const HTTPS: u16 = 5001;
/// DNS: every name is at 127.0.0.1.
pub(super) const DNS: u16 = 8053;
/// Where DNS is told what to say.
pub(super) const DNS_MANAGEMENT: u16 = 8055;

/// A port of this host.
pub(super) fn here(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// What shall be different from Pebble's defaults: keys of its configuration.
#[derive(Clone, Debug)]
pub(super) struct Settings(Value);

impl Settings {
    /// A server that hands out certificates for a day.
    pub(super) fn new() -> Self {
        Self(json!({
            "listenAddress": here(ACME).to_string(),
            "managementListenAddress": here(MANAGEMENT).to_string(),
            "httpPort": HTTP,
            "tlsPort": HTTPS,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "keyAlgorithm": "ecdsa",
            // Clients are told to ask again at once.
            "retryAfter": { "authz": 1, "order": 1 },
            "profiles": {
                "default": { "description": "a day", "validityPeriod": 86_400 },
                "shortlived": { "description": "an hour", "validityPeriod": 3_600 },
            },
            // Of versions that know no profiles.
            "certificateValidityPeriod": 86_400,
        }))
    }

    /// Certificates are valid for so many seconds.
    pub(super) fn lasting(self, seconds: u32) -> Self {
        let profile = json!({ "default": { "description": "short", "validityPeriod": seconds } });
        self.with("profiles", profile).with("certificateValidityPeriod", seconds.into())
    }

    /// With this key.
    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.0[key] = value;
        self
    }
}

/// Both programs. They end when dropped.
#[derive(Debug)]
pub(super) struct Pebble {
    acme: Option<Program>,
    _dns: Program,
    config: PathBuf,
    folder: PathBuf,
    server_root: PathBuf,
    starts: usize,
}

impl Pebble {
    /// Starts both, and waits until the directory is there.
    pub(super) fn start(
        namespace: &Namespace,
        folder: &Path,
        authority: &Authority,
        settings: Settings,
    ) -> Result<Self> {
        let config = folder.join("pebble.json");
        let settings =
            settings.with("certificate", json!(authority.chain())).with("privateKey", json!(authority.key()));
        fs::write(&config, json!({ "pebble": settings.0 }).to_string())?;
        let dns = start_dns(namespace, folder)?;
        let (folder, server_root) = (folder.to_owned(), authority.root());
        let mut pebble = Self { acme: None, _dns: dns, config, folder, server_root, starts: 0 };
        pebble.restart(namespace)?;
        Ok(pebble)
    }

    /// Ends it and starts it again: it has forgotten all accounts, and signs by a new root.
    pub(super) fn restart(&mut self, namespace: &Namespace) -> Result<()> {
        drop(self.acme.take());
        let dns = here(DNS).to_string();
        let mut command =
            command("pebble", &["-config", &self.config.display().to_string(), "-dnsserver", &dns])?;
        command.env("PEBBLE_VA_NOSLEEP", "1");
        self.starts += 1;
        let name = format!("pebble-{}", self.starts);
        let mut acme = Program::start(namespace, &self.folder, &name, command)?;
        acme.wait_for(namespace, here(ACME))?;
        acme.wait_for(namespace, here(MANAGEMENT))?;
        self.acme = Some(acme);
        self.directory(namespace)?;
        let root = self.manage(namespace, "GET /roots/0", "")?;
        fs::write(self.root(), root)?;
        Ok(())
    }

    /// The root that its certificates are signed by, PEM.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.join("pebble-root.pem")
    }

    /// What it has said since its last start.
    pub(super) fn said(&self) -> String {
        self.acme.as_ref().map(Program::said).unwrap_or_default()
    }

    /// What its directory offers.
    pub(super) fn directory(&self, namespace: &Namespace) -> Result<Value> {
        visit::ask(namespace, here(ACME), "localhost", &self.server_root, "GET /dir", "")?.answer.json()
    }

    /// Says something to its other port; gives what it answers.
    pub(super) fn manage(&self, namespace: &Namespace, first: &str, body: &str) -> Result<Vec<u8>> {
        let visit = visit::ask(namespace, here(MANAGEMENT), "localhost", &self.server_root, first, body)?;
        let text = String::from_utf8_lossy(&visit.answer.body).into_owned();
        ensure!(visit.answer.status() == 200, "{first}: {} {text}", visit.answer.first);
        Ok(visit.answer.body)
    }
}

fn start_dns(namespace: &Namespace, folder: &Path) -> Result<Program> {
    let (dns, management) = (here(DNS).to_string(), here(DNS_MANAGEMENT).to_string());
    let help = program::run(namespace, &mut command("pebble-challtestsrv", &["-help"])?)?;
    // It was called otherwise before 2.7.
    let old = String::from_utf8_lossy(&help.stderr).contains("-dns01 ");
    let words = [
        if old { "-dns01" } else { "-dnsserver" },
        &dns,
        "-management",
        &management,
        "-defaultIPv4",
        "127.0.0.1",
        "-defaultIPv6",
        "",
        "-http01",
        "",
        "-https01",
        "",
        "-tlsalpn01",
        "",
        "-doh",
        "",
    ];
    let command = command("pebble-challtestsrv", &words)?;
    let mut dns = Program::start(namespace, folder, "challtestsrv", command)?;
    dns.wait_for(namespace, here(DNS_MANAGEMENT))?;
    Ok(dns)
}

/// A program of Pebble's, as `cargo xtask setup` has fetched it, or as it is on the path.
fn command(name: &str, words: &[&str]) -> Result<std::process::Command> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let fetched =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(target).join("pebble/root/usr/bin").join(name);
    if !fetched.exists() {
        return Err(runner::skipped("pebble, an ACME server, is not there: cargo xtask setup"));
    }
    let fetched = fetched.display().to_string();
    Ok(program::command(&[&[fetched.as_str()], words].concat()))
}
