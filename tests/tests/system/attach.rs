//! What the daemon attaches to, what it leaves to others, and what it leaves behind.

use anyhow::{Result, ensure};
use proxy_tests::bpf::Program;
use proxy_tests::client::{self, Http};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::server::pattern;
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    a_foreign_xdp_program_is_refused_by_name,
    an_interface_that_goes_away_and_returns_is_attached_again,
    native_is_the_mode_where_the_driver_has_it,
    generic_attachment_balances_too,
    detach_removes_everything,
    a_stopped_daemon_leaves_the_kernel_part_and_a_new_one_adopts_it,
];

fn text(world: &World) -> String {
    config::text(world, &[Listener::of(world, Protocol::Tcp, Family::V4)])
}

/// Nothing of the daemon is left in the kernel.
pub(crate) fn nothing_is_left(world: &World) -> Result<()> {
    for interface in world.interfaces() {
        let link = world.balancer.ip(&format!("-d link show dev {interface}"))?;
        ensure!(!link.contains("xdp"), "{link}");
        let filters = std::process::Command::new("tc")
            .args(["-n", world.balancer.name(), "filter", "show", "dev", interface, "ingress"])
            .output()?;
        ensure!(filters.stdout.is_empty(), "{}", String::from_utf8_lossy(&filters.stdout));
    }
    let pins: Vec<_> = std::fs::read_dir(world.pin_dir()).into_iter().flatten().flatten().collect();
    ensure!(pins.is_empty(), "{pins:?}");
    Ok(())
}

fn a_foreign_xdp_program_is_refused_by_name() -> Result<()> {
    let world = World::routed().build()?;
    std::fs::create_dir_all(world.pin_dir())?;
    let pin = world.pin_dir().join("foreign");
    Program::foreign("someone_else")?.pin(&pin)?;
    world.balancer.ip(&format!("link set dev back xdp pinned {}", pin.display()))?;
    std::fs::remove_file(pin)?;
    let refused = Daemon::start(&world, &text(&world)).map(drop);
    let why = format!("{:#}", refused.err().unwrap_or_else(|| anyhow::anyhow!("it was not refused")));
    ensure!(why.contains("back") && why.contains("someone_else"), "{why}");
    let link = world.balancer.ip("-d link show dev back")?;
    ensure!(link.contains("someone_else") || link.contains("prog/xdp"), "it is still there: {link}");
    world.balancer.ip("link set dev back xdp off")?;
    nothing_is_left(&world)?;
    let _daemon = Daemon::start(&world, &text(&world))?;
    client::get(world.client(), world.service(Family::V4), "/").map(drop)
}

fn an_interface_that_goes_away_and_returns_is_attached_again() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = Daemon::start(&world, &text(&world))?;
    client::get(world.client(), world.service(Family::V4), "/")?;
    world.renew_front()?;
    until("it is attached again", SOON, || {
        let link = world.balancer.ip("-d link show dev front")?;
        ensure!(link.contains("xdp"), "{link}");
        Ok(())
    })?;
    // The clients' side has a new link-layer address.
    world.client().ip("neigh flush all")?;
    until("connections are balanced again", SOON, || {
        client::get(world.client(), world.service(Family::V4), "/").map(drop)
    })?;
    ensure!(daemon.status()?.mode("front").as_deref() == Some("native"), "{}", daemon.status()?.json());
    Ok(())
}

fn native_is_the_mode_where_the_driver_has_it() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = Daemon::start(&world, &text(&world))?;
    let status = daemon.status()?;
    for interface in world.interfaces() {
        ensure!(status.mode(interface).as_deref() == Some("native"), "{}", status.json());
    }
    Ok(())
}

fn generic_attachment_balances_too() -> Result<()> {
    let world = World::routed().build()?;
    let listeners = Family::BOTH.map(|family| Listener::of(&world, Protocol::Tcp, family));
    let text = config::with_kernel(&world, "attach = \"generic\"\nflows = 65536\n", &listeners);
    let daemon = Daemon::start(&world, &text)?;
    let status = daemon.status()?;
    ensure!(status.mode("front").as_deref() == Some("generic"), "{}", status.json());
    for family in Family::BOTH {
        for _ in 0..10 {
            let mut connection = Http::connect(world.client(), world.service(family))?;
            ensure!(connection.post(&pattern(50_000))?.body == pattern(50_000));
            ensure!(connection.get("/bytes/50000")?.body == pattern(50_000));
        }
    }
    Ok(())
}

fn detach_removes_everything() -> Result<()> {
    let world = World::routed().build()?;
    let mut daemon = Daemon::start(&world, &text(&world))?;
    client::get(world.client(), world.service(Family::V4), "/")?;
    daemon.stop()?;
    let config = daemon.config_path();
    daemon.cli(&["detach", "--config", &config.to_string_lossy()])?;
    nothing_is_left(&world)?;
    // And a second time there is nothing to do.
    daemon.cli(&["detach", "--config", &config.to_string_lossy()]).map(drop)
}

fn a_stopped_daemon_leaves_the_kernel_part_and_a_new_one_adopts_it() -> Result<()> {
    let world = World::routed().build()?;
    let mut daemon = Daemon::start(&world, &text(&world))?;
    let mut connection = Http::connect(world.client(), world.service(Family::V4))?;
    let who = connection.who()?;
    let before: u64 = daemon.status()?.backends("tcp4")?.iter().map(|(_, backend)| backend.packets).sum();
    daemon.stop()?;
    ensure!(connection.who()? == who, "while no daemon runs");
    daemon.run()?;
    let after: u64 = daemon.status()?.backends("tcp4")?.iter().map(|(_, backend)| backend.packets).sum();
    ensure!(before > 0 && after > before, "counters go on: {before}, {after}");
    ensure!(connection.who()? == who, "after the restart");
    Ok(())
}
