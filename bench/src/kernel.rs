//! Nanoseconds a packet of the kernel path, each case in the same run as the floor, median of five.
//!
//! Packet by packet: each is handed to `BPF_PROG_TEST_RUN` anew, which restores it; what the kernel's clock costs is in
//! every figure and in the floor. As a stream: see the harness. The first is what promises are about, for it is nearer to
//! a packet that arrives: other code ran before it.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use proxy_userspace::config::Forward;

use crate::harness::{Harness, Program, Template};
use crate::scene::{self, Scene, XDP_DROP, XDP_PASS, XDP_REDIRECT, context};

/// Rounds; each measures every case and its floor once.
const ROUNDS: usize = 5;
/// Packets a measurement, one by one.
const SINGLES: u32 = 400_000;
/// Packets a measurement, as a stream.
const PACKETS: u32 = 1_000_000;
const MANY: u32 = 65_536;
const SOURCES: u32 = 1 << 24;

/// A case: what it is, its packets, the verdict they must all get, and the most it may cost in floors.
struct Case {
    name: &'static str,
    template: Template,
    verdict: u32,
    most: Option<f64>,
    /// So many addresses are banned from here on, those of the clients among them.
    bans: u32,
    /// They are cut short or grow, and no program can restore them: they are measured one by one alone.
    changes_length: bool,
    /// Packets that are measured in turn with these, which may cost so many nanoseconds more.
    beside: Option<(Template, f64)>,
}

/// Measures the cases whose names contain `only` and prints a table. Fails where a promised figure is missed.
pub(crate) fn run(only: &str) -> Result<ExitCode> {
    proxy_tests::leftovers::prepare()?;
    let namespace = scene::namespace()?;
    namespace.enter(|| measure_all(only))?
}

fn measure_all(only: &str) -> Result<ExitCode> {
    let scene = Scene::new()?;
    let pass = Program::pass()?;
    let mut cases = cases(&scene)?;
    cases.retain(|case| case.name.contains(only));
    ensure!(!cases.is_empty(), "no case has {only:?} in its name");
    println!(
        "{SINGLES} packets one by one, {PACKETS} as a stream, {ROUNDS} rounds, medians; flows made by packets"
    );
    println!(
        "{:<38} {:>6} {:>6} {:>8} {:>6} {:>6} {:>8} {:>6}",
        "case", "ns", "floor", "× floor", "least", "most", "stream", "floor"
    );
    let begin = Instant::now();
    let (_, timed) = pass.singly(&cases[0].template, 0, SINGLES)?;
    let whole = begin.elapsed().as_nanos() as f64 / f64::from(SINGLES);
    println!("restoring a packet by a system call costs {:.0} ns, not in any figure", whole - timed);
    let mut missed = 0;
    for case in &cases {
        if case.bans > 0 {
            scene.ban(case.bans)?;
        }
        missed += u32::from(!context(case.name, measure(case, &scene, &pass))?);
    }
    println!("{} passed, {missed} failed", cases.len() as u32 - missed);
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cases(scene: &Scene) -> Result<Vec<Case>> {
    let case = |name, template, verdict, most| Case {
        name,
        template,
        verdict,
        most,
        bans: 0,
        changes_length: false,
        beside: None,
    };
    let answered =
        |name, template| Case { changes_length: true, ..case(name, template, XDP_REDIRECT, Some(5.0)) };
    let limited = |name, template, beside, extra| Case {
        beside: Some((beside, extra)),
        ..case(name, template, XDP_REDIRECT, None)
    };
    let hello = |name, host| Case {
        beside: Some((Scene::hello(None), 250.0)),
        ..case(name, Scene::hello(Some(host)), XDP_PASS, None)
    };
    let banned =
        |name, clients, bans, most| Case { bans, ..case(name, Scene::not_ours(clients), XDP_DROP, most) };
    Ok(vec![
        case("not ours", Scene::not_ours(1), XDP_PASS, Some(2.0)),
        case("dsr, established, 1 flow", scene.establish_dsr(1)?, XDP_REDIRECT, Some(3.0)),
        case("dsr, established, 65,536 flows", scene.establish_dsr(MANY)?, XDP_REDIRECT, Some(6.0)),
        case("nat, established, 1 flow", scene.establish_nat(1)?, XDP_REDIRECT, Some(4.5)),
        case("nat, established, 65,536 flows", scene.establish_nat(MANY)?, XDP_REDIRECT, Some(7.5)),
        case("dsr, new flow (SYN), 65,536 sources", Scene::syns(Forward::Dsr, 1 << 20), XDP_REDIRECT, None),
        case("nat, new flow (SYN), 65,536 sources", Scene::syns(Forward::Nat, 1 << 20), XDP_REDIRECT, None),
        case(
            "dsr, SYN flood, 16,777,216 sources",
            Scene::syns(Forward::Dsr, SOURCES),
            XDP_REDIRECT,
            Some(5.0),
        ),
        case(
            "nat, SYN flood, 16,777,216 sources",
            Scene::syns(Forward::Nat, SOURCES),
            XDP_REDIRECT,
            Some(5.0),
        ),
        limited(
            "dsr, 1 flow, one limit of packets",
            scene.establish_limited(1)?,
            scene.establish_dsr(1)?,
            15.0,
        ),
        case("dsr, 1 flow, a limit that is spent", scene.establish_spent(1)?, XDP_DROP, None),
        answered("dsr, SYN flood, guarded", scene.asked(Forward::Dsr, SOURCES)?),
        answered("nat, SYN flood, guarded", scene.asked(Forward::Nat, SOURCES)?),
        answered("socket, SYN flood, cookies", scene.cookies(SOURCES)?),
        hello("ClientHello, looked at (peek)", scene::UNKNOWN_HOST),
        hello("ClientHello, name let in (peek)", scene::KNOWN_HOST),
        hello("ClientHello, wildcard let in (peek)", scene::WILDCARD_HOST),
        case("handed over, 1 flow", scene.handed_over(1)?, XDP_REDIRECT, Some(6.0)),
        case("handed over, 65,536 flows", scene.handed_over(MANY)?, XDP_REDIRECT, None),
        // Last: whatever comes after them is looked up among the banned.
        banned("banned, of 1,000, 1 source", 1, 1000, Some(2.2)),
        banned("banned, of 65,536, 65,536 sources", MANY, MANY, None),
        banned("banned, of 1,000,000, 1 source", 1, 1_000_000, Some(2.2)),
        banned("banned, of 1,000,000, 65,536 sources", MANY, 1_000_000, None),
    ])
}

/// One case against the floor, in turn, packet by packet and as a stream. Whether it keeps its promise.
fn measure(case: &Case, scene: &Scene, pass: &Program) -> Result<bool> {
    let (mut times, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut extras = Vec::new();
    for round in 0..ROUNDS as u32 {
        let from = round * SINGLES;
        let (verdict, ns) = scene.program.singly(&case.template, from, SINGLES)?;
        ensure!(verdict == case.verdict, "the verdict was {verdict}, not {}", case.verdict);
        let (_, floor) = pass.singly(&case.template, from, SINGLES)?;
        times.push(ns);
        floors.push(floor);
        ratios.push(ns / floor);
        if let Some((template, _)) = &case.beside {
            extras.push(ns - scene.program.singly(template, from, SINGLES)?.1);
        }
    }
    let stream = if case.changes_length {
        format!("{:>8} {:>6}", "-", "-")
    } else {
        let (ns, floor) = stream(case, scene, pass)?;
        format!("{ns:>8.0} {floor:>6.0}")
    };
    let (low, high) =
        (ratios.iter().copied().fold(f64::MAX, f64::min), ratios.iter().copied().fold(0.0, f64::max));
    let ratio = median(ratios);
    let kept = case.most.is_none_or(|most| ratio <= most);
    let promise =
        case.most.map_or(String::new(), |most| format!("≤ {most}{}", if kept { "" } else { "  MISSED" }));
    println!(
        "{:<39} {:>5.0} {:>6.0} {ratio:>8.2} {low:>6.2} {high:>6.2} {stream}  {promise}",
        case.name,
        median(times),
        median(floors),
    );
    let Some((_, most)) = case.beside else { return Ok(kept) };
    let extra = median(extras);
    let missed = if extra <= most { "" } else { "  MISSED" };
    println!("  {extra:.1} ns more than without it, ≤ {most}{missed}");
    Ok(kept && extra <= most)
}

/// The same packets without a pause, restored by a program of our own: nanoseconds a packet, and those of the floor.
fn stream(case: &Case, scene: &Scene, pass: &Program) -> Result<(f64, f64)> {
    let subject = Harness::new(&case.template, &scene.program)?;
    let floor = Harness::new(&case.template, pass)?;
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (verdict, ns) = subject.run(PACKETS)?;
        ensure!(verdict == case.verdict, "the verdict was {verdict}, not {}", case.verdict);
        times.push(f64::from(ns));
        floors.push(f64::from(floor.run(PACKETS)?.1));
    }
    ensure!(subject.count()? == ROUNDS as u64 * u64::from(PACKETS), "not every packet was made");
    Ok((median(times), median(floors)))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
