//! A daemon that is killed while an order is under way, and started again.

use std::fs;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};

use super::fault::Fault;
use super::pebble::Settings;
use super::stand::Stand;
use super::step::Step;

pub(crate) const FACTS: &[Fact] = facts![
    killed_while_it_gets_its_account_or_its_order_there_is_one_order_and_one_certificate,
    killed_while_it_proves_itself_there_is_one_order_and_one_certificate,
    killed_while_it_gets_its_certificate_there_is_one_order_and_one_certificate,
];

const HOST: &str = "app.example.com";

/// A point at which the daemon is killed: while a request of a step has not reached the server, or its answer not the
/// daemon.
type Point = (Step, Fault);

/// Kills a daemon at each point, starts another, and waits until the host is served.
fn killed_at(points: &[Point]) -> Result<()> {
    for (step, fault) in points {
        let stand = Stand::build(Settings::new())?;
        let config = stand.config("challenges = [\"http-01\"]", &[HOST]);
        stand.proxy.next(*step, fault.clone());
        let mut daemon = Daemon::start(&stand.world, &config)?;
        stand.proxy.wait_held().with_context(|| format!("{step:?} {fault:?}: {}", daemon.log()))?;
        if matches!((step, fault), (Step::Challenge, Fault::HoldAfter)) {
            // The server was told to look: who is gone before it has looked has failed to prove anything.
            until("the server has looked", SOON, || {
                ensure!(stand.pebble.said().contains("set VALID by"), "{}", stand.pebble.said());
                Ok(())
            })?;
        }
        daemon.kill()?;
        stand.proxy.abandon();
        daemon.run()?;
        stand.wait_served(HOST, &daemon).with_context(|| format!("{step:?} {fault:?}"))?;
        let (orders, finalized) = (stand.proxy.taken(Step::NewOrder), stand.finalized());
        let accounts = stand.proxy.taken(Step::Account);
        figure(&format!(
            "{step:?} {fault:?}: {accounts} accounts asked for, {orders} orders, {finalized} certificates"
        ));
        ensure!(orders == 1 && finalized == 1, "{step:?} {fault:?}: {:?}", stand.proxy.seen());
        let generations = fs::read_dir(stand.storage().join("certificates").join(HOST))?
            .flatten()
            .filter(|entry| entry.path().is_dir());
        ensure!(generations.count() == 1, "{step:?} {fault:?}: one generation is kept");
    }
    Ok(())
}

fn killed_while_it_gets_its_account_or_its_order_there_is_one_order_and_one_certificate() -> Result<()> {
    killed_at(&[
        (Step::Account, Fault::HoldBefore),
        (Step::Account, Fault::HoldAfter),
        (Step::NewOrder, Fault::HoldBefore),
        (Step::NewOrder, Fault::HoldAfter),
    ])
}

fn killed_while_it_proves_itself_there_is_one_order_and_one_certificate() -> Result<()> {
    killed_at(&[
        (Step::Authorization, Fault::HoldAfter),
        (Step::Challenge, Fault::HoldBefore),
        (Step::Challenge, Fault::HoldAfter),
    ])
}

fn killed_while_it_gets_its_certificate_there_is_one_order_and_one_certificate() -> Result<()> {
    killed_at(&[
        (Step::Finalize, Fault::HoldBefore),
        (Step::Finalize, Fault::HoldAfter),
        (Step::Certificate, Fault::HoldAfter),
    ])
}
