//! Certificates that take the place of others.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use serde_json::{Value, json};

use super::fault::Fault;
use super::pebble::Settings;
use super::stand::Stand;
use super::step::Step;

pub(crate) const FACTS: &[Fact] = facts![
    a_certificate_is_renewed_by_its_age_and_no_handshake_fails,
    a_certificate_is_renewed_when_the_ca_suggests_it,
    a_ca_that_has_forgotten_the_account_gets_another,
    an_account_whose_key_is_old_gets_another_key,
    who_asks_for_a_renewal_gets_it_though_the_ca_does_not_echo_what_it_replaces,
];

const HOST: &str = "app.example.com";

/// The directory of a CA that suggests nothing.
fn without_suggestions(directory: &mut Value) {
    if let Some(directory) = directory.as_object_mut() {
        directory.remove("renewalInfo");
    }
}

/// A window that has gone by.
fn long_ago(info: &mut Value) {
    info["suggestedWindow"] = json!({ "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z" });
}

/// Waits for another certificate than this one while handshakes go on, none of which may fail. Gives their number.
fn renewed_under_traffic(stand: &Stand, first: &[u8], daemon: &Daemon<'_>) -> Result<usize> {
    let (done, visits) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            while !done.load(Relaxed) {
                stand.visit(HOST)?;
                visits.fetch_add(1, Relaxed);
            }
            Ok::<_, anyhow::Error>(())
        });
        let second = stand.wait_renewed(HOST, first, daemon);
        done.store(true, Relaxed);
        traffic.join().ok().context("the traffic panicked")?.context("a handshake failed")?;
        second.map(drop)
    })?;
    let visits = visits.load(Relaxed);
    figure(&format!("{visits} handshakes meanwhile"));
    Ok(visits)
}

fn a_certificate_is_renewed_by_its_age_and_no_handshake_fails() -> Result<()> {
    let stand = Stand::build(Settings::new().lasting(15))?;
    stand.proxy.always(Step::Directory, Fault::Edit(without_suggestions));
    let daemon = Daemon::start(&stand.world, &stand.config("", &[HOST]))?;
    let first = stand.wait_served(HOST, &daemon)?;
    let visits = renewed_under_traffic(&stand, &first, &daemon)?;
    ensure!(visits > 20, "{visits} handshakes");
    Ok(())
}

fn a_certificate_is_renewed_when_the_ca_suggests_it() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    if stand.pebble.directory(&stand.world.balancer)?["renewalInfo"].is_null() {
        return Err(proxy_tests::runner::skipped("this version of pebble suggests nothing (RFC 9773)"));
    }
    stand.proxy.next(Step::RenewalInfo, Fault::Edit(long_ago));
    let daemon = Daemon::start(&stand.world, &stand.config("", &[HOST]))?;
    let first = stand.wait_served(HOST, &daemon)?;
    renewed_under_traffic(&stand, &first, &daemon)?;
    // What it replaces is named (§5).
    let orders: Vec<Value> = orders(&stand);
    ensure!(
        orders.len() == 2 && orders[0]["replaces"].is_null() && orders[1]["replaces"].is_string(),
        "{orders:?}"
    );
    Ok(())
}

/// What orders were asked for.
fn orders(stand: &Stand) -> Vec<Value> {
    let seen = stand.proxy.seen();
    let orders = seen.into_iter().filter(|seen| seen.step == Step::NewOrder && seen.status == Some(201));
    orders.map(|seen| seen.payload).collect()
}

fn a_ca_that_has_forgotten_the_account_gets_another() -> Result<()> {
    let mut stand = Stand::build(Settings::new())?;
    let config = stand.config("", &[HOST]);
    let balancer = stand.world.balancer.name().to_owned();
    let first = {
        let daemon = Daemon::start(&stand.world, &config)?;
        stand.wait_served(HOST, &daemon)?
    };
    ensure!(stand.proxy.taken(Step::Account) == 1, "{:?}", stand.proxy.seen());
    stand.pebble.restart(&stand.world.balancer).with_context(|| balancer)?;
    let daemon = Daemon::start(&stand.world, &config)?;
    daemon.cli(&["certs", "renew", HOST])?;
    stand.wait_renewed(HOST, &first, &daemon)?;
    ensure!(stand.proxy.taken(Step::Account) == 2, "{:?}", stand.proxy.seen());
    Ok(())
}

fn an_account_whose_key_is_old_gets_another_key() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let config = stand.config("", &[HOST]);
    let first = {
        let daemon = Daemon::start(&stand.world, &config)?;
        stand.wait_served(HOST, &daemon)?
    };
    let files = fs::read_dir(stand.storage().join("accounts"))?;
    let path = files.flatten().map(|entry| entry.path()).next().context("no account is kept")?;
    let account = || Ok::<Value, anyhow::Error>(serde_json::from_slice(&fs::read(&path)?)?);
    let mut old = account()?;
    old["made"] = json!(0);
    fs::write(&path, serde_json::to_vec(&old)?)?;
    let daemon = Daemon::start(&stand.world, &config)?;
    daemon.cli(&["certs", "renew", HOST])?;
    stand.wait_renewed(HOST, &first, &daemon)?;
    let now = account()?;
    ensure!(now["url"] == old["url"] && now["key"] != old["key"], "the account has the key from before");
    let (changes, accounts) = (stand.proxy.taken(Step::KeyChange), stand.proxy.taken(Step::Account));
    ensure!(
        changes == 1 && accounts == 1,
        "{changes} changes, {accounts} accounts: {:?}",
        stand.proxy.seen()
    );
    Ok(())
}

/// A CA that knows nothing of `replaces`.
fn without_replaces(order: &mut Value) {
    if let Some(order) = order.as_object_mut() {
        order.remove("replaces");
    }
}

fn who_asks_for_a_renewal_gets_it_though_the_ca_does_not_echo_what_it_replaces() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    for step in [Step::NewOrder, Step::Order, Step::Finalize] {
        stand.proxy.always(step, Fault::Edit(without_replaces));
    }
    let daemon = Daemon::start(&stand.world, &stand.config("", &[HOST]))?;
    let first = stand.wait_served(HOST, &daemon)?;
    daemon.cli(&["certs", "renew", HOST])?;
    stand.wait_renewed(HOST, &first, &daemon)?;
    Ok(())
}
