//! What a proxy must refuse, and must survive: scripts of `tests/conformance` against the daemon, judged from outside by
//! what reaches a recording backend.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::program::{self, Program};
use proxy_tests::runner::{Fact, figure};
use proxy_tests::web;
use proxy_tests::world::World;

use crate::issuer::Ca;

/// Short and quiet.
pub(crate) const FACTS: &[Fact] = facts![
    ambiguous_requests_are_refused_or_made_unambiguous,
    neighbours_of_ambiguous_requests_are_refused_or_made_unambiguous,
    nothing_is_smuggled_from_http2_into_http1,
    nothing_is_smuggled_from_http2_into_http1_by_tls,
    tls_is_spoken_as_it_should_be,
];

/// They measure memory and time.
pub(crate) const ALONE: &[Fact] = facts![alone:
    attacks_by_http2_are_stopped_and_others_are_served,
    attacks_by_http2_over_tls_are_stopped_and_others_are_served,
    further_attacks_by_http2_are_stopped_and_others_are_served,
    slow_large_and_many_clients_meet_a_limit,
];

const RECORDER: u16 = 17900;
const CONTROL: u16 = 17901;
const PORT: u16 = 18080;
/// The same by TLS.
const SECURE: u16 = 18443;

fn ambiguous_requests_are_refused_or_made_unambiguous() -> Result<()> {
    judge("conformance/h1_smuggle.py", PORT, Recorder::Known, &[], 76)
}

fn neighbours_of_ambiguous_requests_are_refused_or_made_unambiguous() -> Result<()> {
    judge("conformance/h1_smuggle_more.py", PORT, Recorder::Known, &[], 357)?;
    judge("conformance/h2_downgrade_more.py", PORT, Recorder::Known, &["--plain"], 229)
}

fn nothing_is_smuggled_from_http2_into_http1() -> Result<()> {
    judge("conformance/h2_downgrade.py", PORT, Recorder::Known, &["--plain"], 47)
}

fn nothing_is_smuggled_from_http2_into_http1_by_tls() -> Result<()> {
    judge("conformance/h2_downgrade.py", SECURE, Recorder::Known, &[], 47)
}

fn tls_is_spoken_as_it_should_be() -> Result<()> {
    judge("conformance/tls_checks.py", SECURE, Recorder::Unknown, &["--hold", "10"], 36)
}

fn attacks_by_http2_are_stopped_and_others_are_served() -> Result<()> {
    judge("conformance/h2_attacks.py", PORT, Recorder::Known, &["--plain", "--pid"], 20)
}

fn further_attacks_by_http2_are_stopped_and_others_are_served() -> Result<()> {
    judge("conformance/h2_attacks_more.py", PORT, Recorder::Known, &["--plain", "--secs", "1", "--pid"], 32)
}

fn attacks_by_http2_over_tls_are_stopped_and_others_are_served() -> Result<()> {
    judge("conformance/h2_attacks.py", SECURE, Recorder::Known, &["--pid"], 20)
}

fn slow_large_and_many_clients_meet_a_limit() -> Result<()> {
    judge("conformance/h1_limits.py", PORT, Recorder::Known, &["--hold", "14", "--pid"], 26)
}

/// Whether a script looks at what reaches the backend.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Recorder {
    Known,
    Unknown,
}

/// Runs a script against a daemon that sends everything to the recorder; all of its cases must pass. After `--pid` comes
/// the daemon's.
fn judge(script: &str, port: u16, knows: Recorder, words: &[&str], cases: usize) -> Result<()> {
    let world = World::routed().clients(0).backends(0).build()?;
    let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (recorder, control) = (RECORDER.to_string(), CONTROL.to_string());
    let backend = program::script("conformance/backend.py", &["--port", &recorder, "--ctl", &control])?;
    let mut backend = Program::start(&world.balancer, &world.folder(), "recorder", backend)?;
    backend.wait_for(&world.balancer, here(CONTROL))?;
    let daemon = Daemon::start(&world, &config(&world)?)?;
    let pid = daemon.pid()?.to_string();
    let port = port.to_string();
    let mut words = [&["--port", &port, "--name", "proxy-now"], words].concat();
    if knows == Recorder::Known {
        words.splice(0..0, ["--ctl", &control]);
    }
    if words.last() == Some(&"--pid") {
        words.push(&pid);
    }
    let output = program::run(&world.balancer, &mut program::script(script, &words)?)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = said.lines().last().unwrap_or_default().to_owned();
    figure(&format!("{script}: {last}"));
    let missed: Vec<&str> = said.lines().filter(|line| line.starts_with("FAIL")).collect();
    ensure!(
        output.status.success() && last == format!("{cases} passed, 0 failed"),
        "{last}\n{}\n{}",
        missed.join("\n"),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The defaults, but that one client may open thousands of connections.
fn config(world: &World) -> Result<String> {
    let ca = Ca::new(&world.folder().join("certs"), "ca")?;
    ca.issue("localhost", &["localhost", "127.0.0.1", "a.test"])?;
    let (cert, key) = (ca.path("localhost.crt"), ca.path("localhost.key"));
    let limits = "limits = { header_timeout = \"5s\", idle_timeout = \"10s\", connections = 10000, \
                  connections_per_client = 10000 }";
    Ok(web::text(
        world,
        &format!(
            "[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n\n\
             [listener.web]\nbind = [\"127.0.0.1:{PORT}\"]\nprotocol = \"http\"\nredirect_https = false\n{limits}\n\n\
             [listener.secure]\nbind = [\"127.0.0.1:{SECURE}\"]\nprotocol = \"https\"\n{limits}\n\n\
             [[route]]\npool = \"recorder\"\n\n\
             [pool.recorder]\nbackends = [\"127.0.0.1:{RECORDER}\"]\n"
        ),
    ))
}
