//! Certificates at the first handshake.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::gate::Gate;
use super::pebble::{self, Settings, here};
use super::stand::Stand;
use super::step::Step;

pub(crate) const ALONE: &[Fact] = facts![alone: ten_thousand_names_without_permission_cost_nothing,];

/// Who is asked for permission.
const GATE: u16 = 9000;
const NAMES: usize = 10_000;
/// What all of them may leave behind in memory.
const MOST_KIB: u64 = 12 * 1024;
const AT_A_TIME: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);

fn ten_thousand_names_without_permission_cost_nothing() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let gate = Gate::start(&stand.world.balancer, here(GATE))?;
    let on_demand = format!(
        "[acme.on_demand]\nask = \"http://{}/may\"\nper_minute = 10000\nremember_most = 1000\nwait = \"20s\"\n",
        here(GATE)
    );
    let config = stand.config(&on_demand, &[]).replace("host = []\ntls = \"acme\"", "tls = \"on-demand\"");
    let daemon = Daemon::start(&stand.world, &config)?;
    // What is made once is there before anything is measured.
    refused(&stand, 0..50)?;
    let before = daemon.anonymous_kib()?;
    let refusals = refused(&stand, 50..NAMES)?;
    let grown = daemon.anonymous_kib()?.saturating_sub(before);
    let files = count_files(&stand.storage())?;
    figure(&format!("{refusals} names refused, {} asked for, {grown} KiB more, {files} files", gate.asked()));
    ensure!(refusals == NAMES - 50, "{refusals} of {} were refused", NAMES - 50);
    ensure!(grown <= MOST_KIB, "{grown} KiB more");
    ensure!(files < 20, "{files} files");
    ensure!(stand.proxy.taken(Step::NewOrder) == 0, "{:?}", stand.proxy.seen());
    // Who is permitted gets one.
    gate.permit();
    stand.wait_served("wanted.example.com", &daemon)?;
    ensure!(gate.last() == "/may?domain=wanted.example.com&client=127.0.0.1", "{}", gate.last());
    ensure!(stand.proxy.taken(Step::NewOrder) == 1, "{:?}", stand.proxy.seen());
    Ok(())
}

/// Handshakes for as many names, none of which gets a certificate: how many were refused.
fn refused(stand: &Stand, numbers: std::ops::Range<usize>) -> Result<usize> {
    let config = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let config = std::sync::Arc::new(config);
    let (next, count) = (AtomicUsize::new(numbers.start), AtomicUsize::new(0));
    thread::scope(|scope| {
        let all: Vec<_> = (0..AT_A_TIME)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Relaxed);
                        if number >= numbers.end {
                            return Ok(());
                        }
                        let name = ServerName::try_from(format!("bogus-{number}.example.net"))?;
                        let mut tls = ClientConnection::new(std::sync::Arc::clone(&config), name)?;
                        let shaken = stand.world.balancer.enter(|| shake(&mut tls, here(pebble::HTTPS)))?;
                        count.fetch_add(usize::from(shaken.is_err()), Relaxed);
                    }
                })
            })
            .collect();
        let ends = all.into_iter().map(|one| one.join().ok().context("a client panicked")?);
        ends.collect::<Result<()>>()
    })?;
    Ok(count.load(Relaxed))
}

fn shake(tls: &mut ClientConnection, to: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(())
}

fn count_files(folder: &Path) -> Result<usize> {
    // Nobody has made it yet.
    if !folder.exists() {
        return Ok(0);
    }
    let mut count = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        count += if path.is_dir() { count_files(&path)? } else { 1 };
    }
    Ok(count)
}
