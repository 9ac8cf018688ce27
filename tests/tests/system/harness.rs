//! The harness itself: worlds are as they should be before a daemon runs in them.

use anyhow::{Result, ensure};
use proxy_tests::client::{self, Udp};
use proxy_tests::facts;
use proxy_tests::packet::Packet;
use proxy_tests::raw::Raw;
use proxy_tests::runner::Fact;
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    clients_reach_backends_through_the_router,
    a_tagged_frame_crosses_the_wire,
    on_one_link_only_the_balancer_speaks_for_the_service
];

/// The balancer is a router without a daemon: whatever fails later is not the cabling's fault.
fn clients_reach_backends_through_the_router() -> Result<()> {
    let world = World::routed().build()?;
    for family in Family::BOTH {
        for number in 0..3 {
            let answer = client::get(world.client(), world.backend(family, number), "/bytes/100000")?;
            ensure!(answer.server == format!("b{number}") && answer.body.len() == 100_000);
            let udp = Udp::connect(world.client(), world.backend_udp(family, number))?;
            ensure!(udp.ask(&[7; 5000])? == format!("b{number}"));
        }
    }
    Ok(())
}

fn a_tagged_frame_crosses_the_wire() -> Result<()> {
    let world = World::flat().backends(1).build()?;
    let (sender, receiver) = (Raw::open(world.client(), "eth0")?, Raw::open(&world.balancer, "front")?);
    let from = std::net::SocketAddr::new(world.client_address(Family::V4, 0), 4000);
    let packet = Packet::syn(from, world.service(Family::V4), 7)
        .between(world.client().mac("eth0")?, world.balancer.mac("front")?)
        .vlan(5);
    sender.send(&packet.bytes())?;
    let seen = receiver.expect("a tagged SYN", |seen| seen.vlans == [5])?;
    ensure!(seen.from() == from && seen.checksums_hold);
    Ok(())
}

fn on_one_link_only_the_balancer_speaks_for_the_service() -> Result<()> {
    let world = World::flat().build()?;
    for family in Family::BOTH {
        proxy_tests::world::reach(world.client(), world.service(family).ip())?;
        let neighbours = world.client().ip(&format!("neigh show {}", world.service(family).ip()))?;
        let mac = world.balancer.mac("front")?.map(|byte| format!("{byte:02x}")).join(":");
        ensure!(neighbours.contains(&mac), "{neighbours}");
        for number in 0..3 {
            let answer = client::get(world.client(), world.backend(family, number), "/")?;
            ensure!(answer.server == format!("b{number}"));
        }
    }
    Ok(())
}
