//! Every protocol, family and way of forwarding, with payloads beyond one segment, on real connections.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use proxy_tests::client::{Http, Udp};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::server::pattern;
use proxy_tests::world::{Family, Layout, World};

pub(crate) const FACTS: &[Fact] = facts![
    http_over_tcp_v4_by_nat,
    http_over_tcp_v6_by_nat,
    http_over_tcp_v4_by_dsr,
    http_over_tcp_v6_by_dsr,
    datagrams_v4_by_nat,
    datagrams_v6_by_nat,
    datagrams_v4_by_dsr,
    datagrams_v6_by_dsr,
    the_host_s_own_traffic_is_left_alone,
    weights_are_shares,
];

macro_rules! combinations {
    ($($name:ident: $show:ident($layout:ident, $family:ident);)*) => {
        $(fn $name() -> Result<()> { $show(Layout::$layout, Family::$family) })*
    };
}

combinations! {
    http_over_tcp_v4_by_nat: http(Routed, V4);
    http_over_tcp_v6_by_nat: http(Routed, V6);
    http_over_tcp_v4_by_dsr: http(Flat, V4);
    http_over_tcp_v6_by_dsr: http(Flat, V6);
    datagrams_v4_by_nat: datagrams(Routed, V4);
    datagrams_v6_by_nat: datagrams(Routed, V6);
    datagrams_v4_by_dsr: datagrams(Flat, V4);
    datagrams_v6_by_dsr: datagrams(Flat, V6);
}

fn world(layout: Layout) -> Result<World> {
    match layout {
        Layout::Routed => World::routed().build(),
        Layout::Flat => World::flat().build(),
    }
}

fn http(layout: Layout, family: Family) -> Result<()> {
    let world = world(layout)?;
    let listener = Listener::of(&world, Protocol::Tcp, family);
    let daemon = Daemon::start(&world, &config::text(&world, std::slice::from_ref(&listener)))?;
    let mut answered = BTreeMap::new();
    for _ in 0..40 {
        let mut connection = Http::connect(world.client(), world.service(family))?;
        *answered.entry(connection.who()?).or_insert(0u64) += 1;
        ensure!(connection.post(&pattern(100_000))?.body == pattern(100_000), "what is posted comes back");
        ensure!(connection.get("/bytes/300000")?.body == pattern(300_000), "what is sent arrives");
    }
    ensure!(answered.len() == 3, "everybody has a share: {answered:?}");
    check_counters(&daemon, &listener, layout, 40)
}

fn datagrams(layout: Layout, family: Family) -> Result<()> {
    let world = world(layout)?;
    let listener = Listener::of(&world, Protocol::Udp, family);
    let daemon = Daemon::start(&world, &config::text(&world, std::slice::from_ref(&listener)))?;
    let mut answered = BTreeMap::new();
    // Kept open, so that no port is given twice: that would be one flow.
    let mut clients = Vec::new();
    for _ in 0..40 {
        let client = Udp::connect(world.client(), world.service_udp(family))?;
        let first = client.ask(b"a question")?;
        for length in [0, 1, 512, 1400] {
            ensure!(client.ask(&pattern(length))? == first, "a flow stays with its backend");
        }
        *answered.entry(first).or_insert(0u64) += 1;
        clients.push(client);
    }
    ensure!(answered.len() == 3, "everybody has a share: {answered:?}");
    check_counters(&daemon, &listener, layout, 40)
}

/// Each flow was counted once, where it went; packets were counted both ways where both pass here; none was dropped.
fn check_counters(daemon: &Daemon<'_>, listener: &Listener, layout: Layout, flows: u64) -> Result<()> {
    let status = daemon.status()?;
    let backends = status.backends(&listener.name)?;
    let begun: u64 = backends.iter().map(|(_, backend)| backend.new_flows).sum();
    ensure!(begun == flows, "{begun} flows began, {flows} were made: {}", status.json());
    for (address, backend) in &backends {
        ensure!(backend.packets > 0 && backend.state == "ready", "{address}: {backend:?}");
        ensure!((backend.return_packets > 0) == (layout == Layout::Routed), "{address}: {backend:?}");
    }
    ensure!(status.drops().is_empty(), "{:?}", status.drops());
    Ok(())
}

fn the_host_s_own_traffic_is_left_alone() -> Result<()> {
    let world = World::routed().build()?;
    let _daemon = Daemon::start(&world, &config::text(&world, &Listener::all(&world)))?;
    for family in Family::BOTH {
        // A connection that the balancer merely routes, and one to itself that it refuses.
        let mut routed = Http::connect(world.client(), world.backend(family, 1))?;
        ensure!(routed.get("/bytes/200000")?.body == pattern(200_000) && routed.who()? == "b1");
        proxy_tests::world::reach(world.client(), world.balancer_address(family))?;
        proxy_tests::world::reach(world.client(), world.service(family).ip())?;
    }
    Ok(())
}

fn weights_are_shares() -> Result<()> {
    let world = World::routed().build()?;
    let mut listener = Listener::of(&world, Protocol::Udp, Family::V4);
    listener.backends[0].weight = 3;
    listener.backends[2].weight = 0;
    let _daemon = Daemon::start(&world, &config::text(&world, &[listener]))?;
    let mut answered = BTreeMap::new();
    for _ in 0..400 {
        let client = Udp::connect(world.client(), world.service_udp(Family::V4))?;
        *answered.entry(client.ask(b"")?).or_insert(0u32) += 1;
    }
    let share = |name| answered.get(name).copied().unwrap_or(0);
    // 300 of 400 are expected at b0; six standard deviations are 52.
    ensure!(share("b0").abs_diff(300) < 52 && share("b2") == 0, "{answered:?}");
    Ok(())
}
