//! The network around the balancer changes, or is not what one would wish.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use proxy_tests::client::{self, Http};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::server::pattern;
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    nat_works_with_one_arm,
    two_listeners_share_a_backend,
    a_full_flow_table_still_forwards,
    flows_follow_a_backend_to_its_new_link_layer_address,
    a_route_that_goes_and_comes_back_is_noticed,
    a_dsr_backend_behind_a_gateway_is_not_sent_to,
];

fn tcp(world: &World) -> Vec<Listener> {
    Family::BOTH.map(|family| Listener::of(world, Protocol::Tcp, family)).to_vec()
}

fn nat_works_with_one_arm() -> Result<()> {
    let world = World::flat().build()?;
    let mut listeners = Listener::all(&world);
    listeners.iter_mut().for_each(|listener| listener.forward = "nat");
    let _daemon = Daemon::start(&world, &config::text(&world, &listeners))?;
    for family in Family::BOTH {
        let mut names = BTreeSet::new();
        for _ in 0..30 {
            let mut connection = Http::connect(world.client(), world.service(family))?;
            let answer = connection.get("/bytes/100000")?;
            ensure!(answer.body == pattern(100_000));
            let balancer = world.balancer_address(family);
            let seen = answer.peer.parse::<std::net::SocketAddr>()?.ip();
            ensure!(seen == balancer, "the backend saw {seen}, not {balancer}");
            names.insert(answer.server);
        }
        ensure!(names.len() == 3, "{names:?}");
    }
    Ok(())
}

fn two_listeners_share_a_backend() -> Result<()> {
    let world = World::routed().build()?;
    let first = Listener::of(&world, Protocol::Tcp, Family::V4);
    let mut second = Listener { name: "again".to_owned(), ..first.clone() };
    second.bind[0].set_port(81);
    let daemon = Daemon::start(&world, &config::text(&world, &[first, second.clone()]))?;
    for to in [world.service(Family::V4), second.bind[0]] {
        let mut names = BTreeSet::new();
        for _ in 0..30 {
            names.insert(client::get(world.client(), to, "/")?.server);
        }
        ensure!(names.len() == 3, "{to}: {names:?}");
    }
    let status = daemon.status()?;
    for pool in ["tcp4", "again"] {
        let begun: u64 = status.backends(pool)?.iter().map(|(_, backend)| backend.new_flows).sum();
        ensure!(begun == 30, "{pool}: {begun}");
    }
    Ok(())
}

/// A table for 512 flows, and 700 of them: who has no place stays young, and with the ring's backend.
fn a_full_flow_table_still_forwards() -> Result<()> {
    let world = World::routed().build()?;
    let listeners = [Listener::of(&world, Protocol::Tcp, Family::V4)];
    let daemon = Daemon::start(&world, &config::with_kernel(&world, "flows = 1024\n", &listeners))?;
    let mut flows = Vec::new();
    for _ in 0..700 {
        let mut connection = Http::connect(world.client(), world.service(Family::V4))?;
        let name = connection.who()?;
        flows.push((connection, name));
    }
    for round in 0..3 {
        for (number, (connection, name)) in flows.iter_mut().enumerate() {
            let now = connection.who()?;
            ensure!(now == *name, "round {round}: flow {number} went from {name} to {now}");
        }
    }
    let status = daemon.status()?;
    ensure!(status.noticed("flow_table_full") > 0, "{}", status.json());
    ensure!(status.drops().is_empty(), "{:?}", status.drops());
    Ok(())
}

fn flows_follow_a_backend_to_its_new_link_layer_address() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let _daemon = Daemon::start(&world, &config::text(&world, &tcp(&world)))?;
    let connect = |family| Http::connect(world.client(), world.service(family));
    let mut flows = Family::BOTH.map(connect).into_iter().collect::<Result<Vec<_>>>()?;
    flows.iter_mut().try_for_each(|flow| flow.who().map(drop))?;
    let backend = &world.backends[0].namespace;
    backend.ip("link set eth0 address 02:00:00:00:77:77")?;
    // The moved host speaks up: it asks for its neighbours, and they learn its new address.
    for family in Family::BOTH {
        backend.ip("neigh flush dev eth0")?;
        let gateway = if family == Family::V4 { "10.0.0.1" } else { "fd00::1" };
        proxy_tests::world::reach(backend, gateway.parse()?)?;
    }
    for flow in &mut flows {
        flow.who()?;
    }
    Ok(())
}

/// Without a way to the backends connections fail, with it they are made again: nothing remembers an old hop.
fn a_route_that_goes_and_comes_back_is_noticed() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = Daemon::start(&world, &config::text(&world, &tcp(&world)))?;
    let to = world.service(Family::V4);
    client::get(world.client(), to, "/")?;
    world.balancer.ip("route add blackhole 10.0.0.11/32")?;
    world.balancer.ip("route add blackhole 10.0.0.12/31")?;
    let quick = std::time::Duration::from_millis(300);
    until("packets are refused for want of a route", SOON, || {
        drop(world.client().enter(|| std::net::TcpStream::connect_timeout(&to, quick))?);
        let status = daemon.status()?;
        ensure!(status.dropped("route_refused") > 0, "{:?}", status.drops());
        Ok(())
    })?;
    world.balancer.ip("route del blackhole 10.0.0.11/32")?;
    world.balancer.ip("route del blackhole 10.0.0.12/31")?;
    until("connections are made again", SOON, || {
        let stream = world.client().enter(|| std::net::TcpStream::connect_timeout(&to, quick))?;
        stream?;
        Ok(())
    })
}

fn a_dsr_backend_behind_a_gateway_is_not_sent_to() -> Result<()> {
    let world = World::flat().build()?;
    world.balancer.ip("route add 10.9.9.0/24 via 192.0.2.11")?;
    let mut listener = Listener::of(&world, Protocol::Tcp, Family::V4);
    listener.backends.truncate(1);
    listener.backends[0].address = "10.9.9.9:80".parse()?;
    let daemon = Daemon::start(&world, &config::text(&world, &[listener]))?;
    let quick = std::time::Duration::from_millis(300);
    let to = world.service(Family::V4);
    let tried = world.client().enter(|| std::net::TcpStream::connect_timeout(&to, quick))?;
    ensure!(tried.is_err(), "somebody answered");
    let status = daemon.status()?;
    ensure!(status.dropped("dsr_not_on_link") > 0, "{}", status.json());
    let config = daemon.config_path();
    let said = daemon.command(&["doctor", "--config", &config.to_string_lossy()])?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.contains("10.9.9.9"), "the doctor says so:\n{said}");
    Ok(())
}
