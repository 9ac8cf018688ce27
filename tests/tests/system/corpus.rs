//! The packet corpus through the loaded program, as `BPF_PROG_TEST_RUN` runs it: nothing is aborted, nothing that must
//! not be is sent on, what is not ours is left as it came, what belongs together goes to one backend.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use proxy_tests::bpf::{Program, Verdict};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::world::{Layout, World};
use serde_json::Value;

pub(crate) const FACTS: &[Fact] = facts![
    the_corpus_is_judged_rightly_by_nat,
    the_corpus_is_judged_rightly_by_dsr,
    mutated_frames_never_abort_the_program,
];

/// A frame, and what has to become of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) expect: String,
    pub(crate) same_as: Option<String>,
    pub(crate) frame: Vec<u8>,
}

/// The corpus, in its order.
pub(crate) fn cases() -> Result<Vec<Case>> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../corpus/packets.json"))?;
    cases.iter().map(case).collect()
}

fn case(json: &Value) -> Result<Case> {
    let text = |key: &str| json[key].as_str().map(str::to_owned);
    let hex = text("hex").context("a frame")?;
    let bytes = (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16));
    Ok(Case {
        name: text("name").context("a name")?,
        expect: text("expect").context("an expectation")?,
        same_as: text("same_as"),
        frame: bytes.collect::<Result<_, _>>()?,
    })
}

/// The corpus writes to listeners of its own, from networks that the world has not: it gets ways back to them.
fn start(world: &World) -> Result<Daemon<'_>> {
    let lines = "route add 10.0.1.0/24 via 192.0.2.101\nroute add fd00:1::/64 via 2001:db8:1::101\n";
    world.balancer.ip_batch(lines)?;
    let mut listeners = Listener::all(world);
    for listener in &mut listeners {
        listener.bind = vec![SocketAddr::new(address(listener.bind[0].is_ipv4())?, 80)];
        if world.layout == Layout::Flat {
            listener.backends.iter_mut().for_each(|backend| backend.address.set_port(80));
        }
    }
    let tcp: Vec<Listener> =
        listeners.iter().filter(|listener| listener.protocol == Protocol::Tcp).cloned().collect();
    for mut tls in tcp {
        tls.name.push_str("-tls");
        tls.bind[0].set_port(443);
        if world.layout == Layout::Flat {
            tls.backends.iter_mut().for_each(|backend| backend.address.set_port(443));
        }
        listeners.push(tls);
    }
    Daemon::start(world, &config::text(world, &listeners))
}

/// The address that the corpus writes to.
fn address(v4: bool) -> Result<IpAddr> {
    Ok(if v4 { "10.0.0.1" } else { "fd00::1" }.parse()?)
}

/// Where a frame goes: the link-layer address, and the address.
fn destination(frame: &[u8]) -> Vec<u8> {
    let mut at = 12;
    while let Some([0x81, 0x00] | [0x88, 0xa8]) = frame.get(at..at + 2) {
        at += 4;
    }
    let address = match frame.get(at..at + 2) {
        Some([0x08, 0x00]) => frame.get(at + 18..at + 22),
        Some([0x86, 0xdd]) => frame.get(at + 26..at + 42),
        _ => None,
    };
    [frame.get(..6).unwrap_or_default(), address.unwrap_or_default()].concat()
}

fn judge_in(world: &World) -> Result<()> {
    let daemon = start(world)?;
    let program = Program::pinned(&daemon.pins()?.join(proxy_common::names::PROGRAM_XDP))?;
    let index = world.balancer.ifindex("front")?;
    let cases = cases()?;
    let wrong = world.balancer.enter(|| judge(&cases, |frame| program.run(index, frame).ok()))?;
    ensure!(wrong.is_empty(), "{} of {}:\n  {}", wrong.len(), cases.len(), wrong.join("\n  "));
    Ok(())
}

/// Runs every case, in order, and says which were not judged rightly. What `run` refuses (frames shorter than an
/// Ethernet header) is no case.
pub(crate) fn judge(cases: &[Case], mut run: impl FnMut(&[u8]) -> Option<(Verdict, Vec<u8>)>) -> Vec<String> {
    let (mut seen, mut wrong, mut refused) = (HashMap::new(), Vec::new(), 0);
    for case in cases {
        let Some((verdict, after)) = run(&case.frame) else {
            refused += 1;
            continue;
        };
        if let Some(why) = fault(case, verdict, &after, &seen) {
            wrong.push(format!("{} ({}): {why}", case.name, case.expect));
        }
        seen.insert(case.name.clone(), (verdict, destination(&after)));
    }
    if refused > 16 {
        wrong.push(format!("{refused} frames were refused"));
    }
    wrong
}

fn fault(
    case: &Case,
    verdict: Verdict,
    after: &[u8],
    seen: &HashMap<String, (Verdict, Vec<u8>)>,
) -> Option<String> {
    let sent = verdict.is_sent();
    match (case.expect.as_str(), verdict) {
        (_, Verdict::Aborted | Verdict::Illegal(_)) => return Some(format!("{verdict:?}")),
        ("LB", _) if !sent => return Some(format!("not balanced: {verdict:?}")),
        ("NOLB", _) if sent => return Some("sent on".to_owned()),
        ("PASS", _) if verdict != Verdict::Pass => return Some(format!("not passed: {verdict:?}")),
        ("DROP", _) if verdict != Verdict::Drop => return Some(format!("not dropped: {verdict:?}")),
        (_, Verdict::Pass) if after != case.frame => return Some("passed, but changed".to_owned()),
        _ => {}
    }
    let (there, to) = seen.get(case.same_as.as_deref()?)?;
    (sent && there.is_sent() && *to != destination(after)).then(|| "to another backend".to_owned())
}

fn the_corpus_is_judged_rightly_by_nat() -> Result<()> {
    judge_in(&World::routed().build()?)
}

fn the_corpus_is_judged_rightly_by_dsr() -> Result<()> {
    judge_in(&World::flat().build()?)
}

const MUTANTS: usize = 20_000;

fn mutated_frames_never_abort_the_program() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = start(&world)?;
    let program = Program::pinned(&daemon.pins()?.join(proxy_common::names::PROGRAM_XDP))?;
    let index = world.balancer.ifindex("front")?;
    let cases = cases()?;
    let mut random = Random(0x5eed);
    let mut verdicts = std::collections::BTreeMap::new();
    world.balancer.enter(|| {
        for _ in 0..MUTANTS {
            let frame = mutate(&cases[random.below(cases.len())].frame, &mut random);
            if let Ok((verdict, _)) = program.run(index, &frame) {
                verdicts.entry(verdict).or_insert((0, frame)).0 += 1;
            }
        }
    })?;
    for (verdict, (count, frame)) in &verdicts {
        let bad = matches!(verdict, Verdict::Aborted | Verdict::Illegal(_));
        ensure!(!bad, "{verdict:?} {count} times, first by {frame:02x?}");
    }
    let counts: Vec<String> =
        verdicts.iter().map(|(verdict, (count, _))| format!("{verdict:?} {count}")).collect();
    figure(&format!("mutated frames: {}", counts.join(", ")));
    Ok(())
}

/// A frame with one to six bytes changed; one in eight is cut besides.
pub(crate) fn mutate(frame: &[u8], random: &mut Random) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.truncate(3500);
    frame.resize(frame.len().max(14), 0);
    for _ in 0..=random.below(6) {
        let at = random.below(frame.len());
        frame[at] = random.below(256) as u8;
    }
    if random.below(8) == 0 {
        frame.truncate(14 + random.below(frame.len() - 13));
    }
    frame
}

/// Numbers that are the same in every run (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        (proxy_common::hash::mix64(self.0) % limit as u64) as usize
    }
}
