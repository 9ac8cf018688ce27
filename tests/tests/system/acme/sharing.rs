//! Daemons that share a storage.

use std::fs;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::{self, Daemon};
use proxy_tests::facts;
use proxy_tests::program::{self, Program};
use proxy_tests::runner::Fact;
use proxy_tests::wait::until;

use super::fault::Fault;
use super::pebble::{Settings, here};
use super::stand::{ISSUED, Stand};
use super::step::Step;

pub(crate) const FACTS: &[Fact] = facts![two_daemons_with_one_storage_order_once];

const HOST: &str = "app.example.com";
const SECOND_HTTP: u16 = 5004;
const SECOND_HTTPS: u16 = 5003;

fn two_daemons_with_one_storage_order_once() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let folder = stand.world.folder();
    let text = stand.config_at("", &[HOST], here(SECOND_HTTP), here(SECOND_HTTPS));
    let second = folder.join("second.toml");
    fs::write(&second, text.replace("admin.sock", "second.sock"))?;
    let binary = daemon::binary()?.display().to_string();
    let command = program::command(&[&binary, "run", "--config", &second.display().to_string()]);
    // Whoever orders, both are there when the server looks at the first one's listeners.
    stand.proxy.next(Step::NewOrder, Fault::HoldBefore);
    let mut second = Program::start(&stand.world.balancer, &folder, "second", command)?;
    let first = Daemon::start(&stand.world, &stand.config("", &[HOST]))?;
    second.wait_for(&stand.world.balancer, here(SECOND_HTTPS))?;
    stand.proxy.wait_held()?;
    stand.proxy.release();
    let one = stand.wait_served(HOST, &first)?;
    let other = until("the other daemon serves too", ISSUED, || {
        Ok(stand.visit_at(here(SECOND_HTTPS), HOST)?.certificate)
    })
    .with_context(|| second.said())?;
    ensure!(one == other, "they serve two certificates");
    let orders = stand.proxy.taken(Step::NewOrder);
    ensure!(orders == 1 && stand.finalized() == 1, "{orders} orders: {:?}", stand.proxy.seen());
    ensure!(stand.proxy.taken(Step::Account) == 1, "{:?}", stand.proxy.seen());
    Ok(())
}
