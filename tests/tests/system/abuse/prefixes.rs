//! A list of a million prefixes: how soon it is in force, and what looking into it costs.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use proxy_tests::bpf::{Program, Verdict};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::{Daemon, binary};
use proxy_tests::facts;
use proxy_tests::packet::Packet;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};

pub(crate) const ALONE: &[Fact] =
    facts![alone: a_million_prefixes_are_in_force_soon_and_looked_up_as_fast_as_a_thousand];

const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
/// What is promised of the build that is shipped: milliseconds, and how many times as long a look may take.
const SOON: u64 = 2_000;
const SLOWER: f64 = 1.5;
/// What a build with the compiler's checks may take.
const CHECKED: u64 = 60_000;
/// Somebody else's work makes some rounds slow.
const ROUNDS: u32 = 4;
const PATIENCE: Duration = Duration::from_secs(120);
/// Banned by either list.
const CLIENT: &str = "11.0.0.7:4000";

/// So many addresses, and as many more as the round says, so that each list is another.
fn list(prefixes: u32, round: u32) -> String {
    let mut text = String::new();
    for number in 0..prefixes {
        let _infallible = writeln!(text, "{}", Ipv4Addr::from(0x0b00_0000 + number));
    }
    (0..round).for_each(|number| {
        let _infallible = writeln!(text, "203.0.113.{number}");
    });
    text
}

/// Milliseconds that a list of so many took, as the log says.
fn took(log: &str, prefixes: u32) -> Option<u64> {
    let line = log.lines().find(|line| line.contains(&format!("prefixes={prefixes} ")))?;
    line.split(" ms=").nth(1)?.split_whitespace().next()?.parse().ok()
}

/// Nanoseconds of a packet of a banned client, at its best.
fn look(world: &World, daemon: &Daemon<'_>) -> Result<f64> {
    const TIMES: u32 = 100_000;
    let program = Program::pinned(&daemon.pins()?.join(proxy_common::names::PROGRAM_XDP))?;
    let index = world.balancer.ifindex("front")?;
    let frame = Packet::syn(CLIENT.parse()?, world.service(Family::V4), 1).bytes();
    world.balancer.enter(|| -> Result<f64> {
        let mut best = f64::MAX;
        for _ in 0..20 {
            let begin = Instant::now();
            ensure!(program.run_often(index, &frame, TIMES)? == Verdict::Drop, "the client is not banned");
            best = best.min(begin.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES));
        }
        Ok(best)
    })?
}

fn a_million_prefixes_are_in_force_soon_and_looked_up_as_fast_as_a_thousand() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let path = world.folder().join("bad.txt");
    std::fs::write(&path, list(FEW, 0))?;
    let listener = Listener::of(&world, Protocol::Tcp, Family::V4);
    let text = format!("{}\n[ban]\nlists = [{path:?}]\n", config::text(&world, &[listener]));
    let daemon = Daemon::start(&world, &text)?;
    let in_force = |prefixes: u32| {
        until(&format!("{prefixes} prefixes are in force"), PATIENCE, || {
            took(&daemon.log(), prefixes).context("not yet")
        })
    };
    in_force(FEW)?;
    let few = look(&world, &daemon)?;
    let shipped = binary()?.components().any(|part| part.as_os_str() == "release");
    let most = if shipped { SOON } else { CHECKED };
    let (mut ms, mut round) = (u64::MAX, 0);
    while round < ROUNDS && ms > most {
        std::fs::write(&path, list(MANY, round))?;
        ms = ms.min(in_force(MANY + round)?);
        round += 1;
    }
    let many = look(&world, &daemon)?;
    let slower = many / few;
    figure(&format!(
        "{MANY} prefixes are in force after {ms} ms; a packet of one that is banned takes {many:.0} ns, among {FEW} {few:.0} ns: \
         {slower:.2} times"
    ));
    ensure!(ms <= most, "{ms} ms, at most {most}");
    ensure!(slower < SLOWER, "{slower:.2} times as long");
    Ok(())
}
