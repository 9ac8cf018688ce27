//! Live flows stay where they are, and new ones find their way, whatever happens to the daemon.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use anyhow::{Context, Result, ensure};
use proxy_tests::client::{self, Http};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::{self, Daemon};
use proxy_tests::facts;
use proxy_tests::packet::Packet;
use proxy_tests::raw::Raw;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until_true};
use proxy_tests::world::{Family, Layout, World};

pub(crate) const FACTS: &[Fact] = facts![no_new_connection_is_lost_over_kill_restart_and_upgrade,];

pub(crate) const ALONE: &[Fact] = facts![alone:
    a_thousand_nat_flows_stay_through_reloads_kill_and_restart,
    a_thousand_dsr_flows_stay_through_reloads_kill_and_restart,
    spoofed_syns_do_not_evict_live_nat_flows,
    spoofed_syns_do_not_evict_live_dsr_flows,
];

const FLOWS: usize = 1000;

/// Connections, and who answered on each.
struct Flows(Vec<(Http, String)>);

impl Flows {
    /// Half of them IPv4, half IPv6.
    fn open(world: &World, count: usize) -> Result<Self> {
        let one = |number: usize| {
            let mut connection = Http::connect(world.client(), world.service(Family::BOTH[number % 2]))?;
            let name = connection.who()?;
            Ok((connection, name))
        };
        Ok(Self((0..count).map(one).collect::<Result<_>>()?))
    }

    /// Every `step`th connection still works, and with the backend it began with.
    fn stay(&mut self, when: &str, step: usize) -> Result<()> {
        for (number, (connection, name)) in self.0.iter_mut().enumerate().step_by(step) {
            let now = connection.who().with_context(|| format!("flow {number} with {name} {when}"))?;
            ensure!(now == *name, "flow {number} went from {name} to {now} {when}");
        }
        Ok(())
    }
}

fn listeners(world: &World) -> Vec<Listener> {
    Family::BOTH.map(|family| Listener::of(world, Protocol::Tcp, family)).to_vec()
}

fn a_thousand_nat_flows_stay_through_reloads_kill_and_restart() -> Result<()> {
    stay_through_everything(&World::routed().backends(4).build()?)
}

fn a_thousand_dsr_flows_stay_through_reloads_kill_and_restart() -> Result<()> {
    stay_through_everything(&World::flat().backends(4).build()?)
}

/// The fourth backend comes and goes, weights change, a hundred times.
fn stay_through_everything(world: &World) -> Result<()> {
    let full = listeners(world);
    let few: Vec<Listener> = full.iter().cloned().map(|listener| listener.without(3)).collect();
    let mut heavy = full.clone();
    heavy.iter_mut().for_each(|listener| listener.backends[3].weight = 5);
    let mut daemon = Daemon::start(world, &config::text(world, &few))?;
    let mut flows = Flows::open(world, FLOWS)?;
    flows.stay("at first", 1)?;
    for round in 0..100 {
        let next = [&full, &heavy, &few][round % 3];
        daemon.write_config(&config::text(world, next))?;
        daemon.cli(&["reload"])?;
        flows.stay(&format!("after reload {round}"), if round % 20 == 19 { 1 } else { 20 })?;
    }
    daemon.kill()?;
    flows.stay("while no daemon runs", 1)?;
    daemon.run()?;
    flows.stay("after kill -9 and a restart", 1)?;
    ensure!(daemon.stop()? == 0, "SIGTERM ends well");
    daemon.run()?;
    flows.stay("after SIGTERM and a restart", 1)?;
    figure(&format!("{FLOWS} flows, 100 reloads; PSS of the daemon {} KiB", daemon.pss_kib()?));
    Ok(())
}

fn spoofed_syns_do_not_evict_live_nat_flows() -> Result<()> {
    survive_a_flood(&World::routed().build()?)
}

fn spoofed_syns_do_not_evict_live_dsr_flows() -> Result<()> {
    survive_a_flood(&World::flat().build()?)
}

const SYNS: usize = 1_000_000;

/// A million SYNs from 131,072 addresses and as many ports as there are; answers to them go nowhere.
fn survive_a_flood(world: &World) -> Result<()> {
    let refuse = "route add blackhole 198.18.0.0/15";
    world.balancer.ip(refuse)?;
    if world.layout == Layout::Flat {
        for backend in &world.backends {
            backend.namespace.ip(refuse)?;
        }
    }
    // A table of two thousand entries: a flood that entered it would fill it at once.
    let text = config::with_kernel(world, "flows = 8192\n", &listeners(world));
    // What is shown is what the tables do: nothing keeps the flood from them.
    let text = text.replace("protocol = \"tcp\"", "protocol = \"tcp\"\nsyn_cookies = \"off\"");
    let daemon = Daemon::start(world, &text)?;
    let mut flows = Flows::open(world, FLOWS)?;
    let before = daemon.status()?;
    let service = world.service(Family::V4);
    let packet = Packet::syn("198.18.0.1:1024".parse()?, service, 1)
        .between(world.client().mac("eth0")?, world.balancer.mac("front")?);
    let raw = Raw::open(world.client(), "eth0")?;
    let begin = std::time::Instant::now();
    raw.flood(&packet.bytes(), SYNS, |number, frame| respoof(number as u32, frame))?;
    let took = begin.elapsed();
    let arrived = || Ok::<_, anyhow::Error>(begun(&daemon)? - begun_in(&before)?);
    until_true("the flood arrives", SOON, || arrived().is_ok_and(|count| count > SYNS as u64 / 2))?;
    flows.stay("after the flood", 1)?;
    let after = daemon.status()?;
    let made = after.noticed("flow_created") - before.noticed("flow_created");
    ensure!(made <= 2, "{made} spoofed SYNs made flows");
    ensure!(after.noticed("flow_table_full") == 0, "the flow table was never full");
    let mut late = Flows::open(world, 20)?;
    late.stay("opened after the flood", 1)?;
    figure(&format!("{SYNS} SYNs in {:.1} s, {} of them balanced", took.as_secs_f32(), arrived()?));
    Ok(())
}

fn begun(daemon: &Daemon<'_>) -> Result<u64> {
    begun_in(&daemon.status()?)
}

fn begun_in(status: &proxy_tests::status::Status) -> Result<u64> {
    Ok(status.backends("tcp4")?.iter().map(|(_, backend)| backend.new_flows).sum())
}

/// Another source address and port in an IPv4 TCP frame; both checksums follow (RFC 1624).
fn respoof(number: u32, frame: &mut [u8]) {
    let address = 0xc612_0000 | (number.wrapping_mul(2_654_435_761) & 0x1_ffff);
    let port = 1024 + (number % 60_000) as u16;
    let [a, b, c, d] = address.to_be_bytes();
    change(frame, 26, [a, b], &[24, 50]);
    change(frame, 28, [c, d], &[24, 50]);
    change(frame, 34, port.to_be_bytes(), &[50]);
}

fn change(frame: &mut [u8], at: usize, new: [u8; 2], checksums: &[usize]) {
    let word = |frame: &[u8], at: usize| u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
    let old = word(frame, at);
    for sum in checksums {
        let mut value = (!word(frame, *sum) & 0xffff) + (!old & 0xffff) + u32::from(u16::from_be_bytes(new));
        value = (value & 0xffff) + (value >> 16);
        value = (value & 0xffff) + (value >> 16);
        frame[*sum..sum + 2].copy_from_slice(&(!value as u16).to_be_bytes());
    }
    frame[at..at + 2].copy_from_slice(&new);
}

fn no_new_connection_is_lost_over_kill_restart_and_upgrade() -> Result<()> {
    let world = World::routed().build()?;
    let text = config::text(&world, &listeners(&world));
    let mut daemon = Daemon::start(&world, &text)?;
    let upgraded = world.folder().join("proxy-now-upgraded");
    std::fs::copy(daemon::binary()?, &upgraded)?;
    let (stop, made) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| -> Result<()> {
        let clients = Family::BOTH.map(|family| {
            let (world, stop, made) = (&world, &stop, &made);
            scope.spawn(move || -> Result<()> {
                while !stop.load(Relaxed) {
                    client::get(world.client(), world.service(family), "/")?;
                    made.fetch_add(1, Relaxed);
                }
                Ok(())
            })
        });
        let changes = (|| -> Result<()> {
            let more = |when: &str| {
                let from = made.load(Relaxed);
                until_true(&format!("connections are made {when}"), SOON, || made.load(Relaxed) > from + 50)
            };
            more("at first")?;
            for _ in 0..3 {
                daemon.kill()?;
                more("while no daemon runs")?;
                daemon.run()?;
                more("after kill -9 and a restart")?;
                daemon.stop()?;
                daemon.run()?;
                more("after SIGTERM and a restart")?;
            }
            daemon.stop()?;
            daemon.set_binary(upgraded);
            daemon.run()?;
            more("after the upgrade")
        })();
        stop.store(true, Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        changes
    })?;
    figure(&format!("{} connections, none lost", made.load(Relaxed)));
    Ok(())
}
