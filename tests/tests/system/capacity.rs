//! A table of a million flows: filled, looked up, collected, and what that costs.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use proxy_tests::bpf::{Program, memory_of_map};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::packet::{Packet, flag};
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};

pub(crate) const ALONE: &[Fact] = facts![alone: a_million_flows_are_held_found_and_collected];

const FLOWS: u32 = 1 << 20;
/// Of the table. Where more than three quarters are taken by what nobody has proved, it is forgotten soon.
const ENTRIES: u32 = FLOWS / 2 * 3;

fn a_million_flows_are_held_found_and_collected() -> Result<()> {
    let world = World::flat().build()?;
    world.balancer.ip("route add 198.18.0.0/15 via 192.0.2.101")?;
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4);
    let text = |idle: &str| {
        let kernel = format!("flows = {ENTRIES}\ntcp_idle = \"{idle}\"\n");
        let text = config::with_kernel(&world, &kernel, std::slice::from_ref(&listener));
        // As many clients at once are a flood to the guard, which would ask each whether it is there.
        text.replace("protocol = \"tcp\"", "protocol = \"tcp\"\nsyn_cookies = \"off\"")
    };
    let daemon = Daemon::start(&world, &text("1h"))?;
    let idle_pss = daemon.pss_kib()?;
    let program = Program::pinned(&daemon.pins()?.join(proxy_common::names::PROGRAM_XDP))?;
    let index = world.balancer.ifindex("front")?;
    let service = world.service(Family::V4);
    let segment = |flags, sequence| {
        Packet::tcp("198.18.0.1:1024".parse().expect("an address"), service, flags, sequence, 1, b"").bytes()
    };
    let (mut syn, mut ack) = (segment(flag::SYN, 1), segment(flag::ACK, 2));
    let begin = Instant::now();
    let filled = world.balancer.enter(|| -> Result<u64> {
        let mut spent = 0;
        for flow in 0..FLOWS {
            for frame in [&mut syn, &mut ack] {
                readdress(frame, flow);
                let (verdict, _, took) = program.run_timed(index, frame)?;
                ensure!(verdict.is_sent(), "flow {flow}: {verdict:?}");
                spent += u64::from(took);
            }
        }
        Ok(spent)
    })??;
    let took = begin.elapsed();
    figure(&format!(
        "fill: {} ns a packet, two packets a flow, {:.1} s in all",
        filled / u64::from(FLOWS) / 2,
        took.as_secs_f32()
    ));
    look_up(&world, &program, index, &mut ack)?;
    memory(&daemon)?;
    let status = daemon.status()?;
    let (made, full) = (status.noticed("flow_created"), status.noticed("flow_table_full"));
    ensure!(made + full >= u64::from(FLOWS) && made > u64::from(FLOWS) * 99 / 100, "{made} made, {full} not");
    let walk = Instant::now();
    until("all flows are counted", Duration::from_secs(120), || {
        let counted = daemon.status()?.flows("v4");
        ensure!(counted == made, "{counted} of {made}");
        Ok(())
    })?;
    figure(&format!("counted after {:.1} s", walk.elapsed().as_secs_f32()));
    // Everything but what is fresh is old now.
    daemon.write_config(&text("1s"))?;
    let begin = Instant::now();
    daemon.cli(&["reload"])?;
    until("the table is empty", Duration::from_secs(60), || {
        let left = daemon.status()?.flows("v4");
        ensure!(left == 0, "{left} are left");
        Ok(())
    })?;
    figure(&format!("collected {:.1} s after they grew old", begin.elapsed().as_secs_f32()));
    figure(&format!("PSS of the daemon {idle_pss} KiB at first, {} KiB after", daemon.pss_kib()?));
    Ok(())
}

/// Packets of established flows, in an order that no cache foresees.
fn look_up(world: &World, program: &Program, index: u32, ack: &mut [u8]) -> Result<()> {
    let spent = world.balancer.enter(|| -> Result<u64> {
        let mut spent = 0;
        for count in 0..FLOWS / 4 {
            readdress(ack, count.wrapping_mul(2_654_435_761) % FLOWS);
            spent += u64::from(program.run_timed(index, ack)?.2);
        }
        Ok(spent)
    })??;
    figure(&format!("look-up: {} ns a packet over a million flows", spent / u64::from(FLOWS / 4)));
    Ok(())
}

/// The memory of the flow table, as the kernel charges it.
fn memory(daemon: &Daemon<'_>) -> Result<()> {
    let bytes = memory_of_map(&daemon.pins()?.join(proxy_common::names::FLOWS4))?;
    figure(&format!("FLOWS4 with {ENTRIES} entries: {:.0} MiB", bytes as f64 / f64::from(1 << 20)));
    Ok(())
}

/// Source address and port of flow number `flow`. The transport checksum is left wrong: nothing here looks at it.
fn readdress(frame: &mut [u8], flow: u32) {
    let address = 0xc612_0000 | (flow >> 10);
    let port = 1024 + (flow & 0x3ff) as u16;
    let old = u16::from_be_bytes([frame[24], frame[25]]);
    let word = |frame: &[u8], at: usize| u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let mut sum = u32::from(!old) + (!word(frame, 26) & 0xffff) + (!word(frame, 28) & 0xffff);
    sum += (address >> 16) + (address & 0xffff);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    frame[24..26].copy_from_slice(&(!sum as u16).to_be_bytes());
    frame[26..30].copy_from_slice(&address.to_be_bytes());
    frame[34..36].copy_from_slice(&port.to_be_bytes());
}
