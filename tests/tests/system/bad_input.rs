//! What cannot work is said in one clear sentence, with an exit status that is not zero, and leaves nothing attached.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::{self, Daemon};
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::world::{Family, World};

use crate::attach::nothing_is_left;

pub(crate) const FACTS: &[Fact] = facts![
    a_bad_configuration_names_every_mistake,
    an_interface_that_does_not_exist_is_named,
    a_missing_capability_is_named,
    a_pin_folder_outside_a_bpf_file_system_is_refused,
    a_second_daemon_is_refused,
    an_address_that_somebody_listens_on_is_refused,
    a_configuration_that_is_not_there_is_named,
    a_wrong_word_is_a_usage_error,
];

/// Runs `run` with this configuration, which must fail.
fn refused(world: &World, text: &str, wrapper: &[&str]) -> Result<String> {
    let path = world.folder().join("bad.toml");
    std::fs::write(&path, text)?;
    let output = run(world, &path, wrapper)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(!said.contains("panicked"), "{said}");
    Ok(said)
}

/// `run` for at most ten seconds: what is wrongly accepted would run for ever.
fn run(world: &World, config: &Path, wrapper: &[&str]) -> Result<Output> {
    let binary = daemon::binary()?;
    let mut command = Command::new("timeout");
    command.args(["-s", "KILL", "10"]).args(wrapper).arg(binary).arg("run").arg("--config").arg(config);
    command.env("NO_COLOR", "1");
    Ok(world.balancer.enter(|| command.output())??)
}

fn listener(world: &World) -> Listener {
    Listener::of(world, Protocol::Tcp, Family::V4)
}

/// One sentence: a line that says it, not a page.
fn is_brief(said: &str) -> Result<()> {
    let lines = said.lines().filter(|line| !line.trim().is_empty()).count();
    ensure!(lines <= 4, "{lines} lines for one mistake:\n{said}");
    Ok(())
}

fn a_bad_configuration_names_every_mistake() -> Result<()> {
    let world = World::routed().build()?;
    let text = config::text(&world, &[listener(&world)])
        .replace("protocol = \"tcp\"", "protocol = \"tpc\"")
        .replace("[kernel]", "[kernel]\ninterfces = 1")
        .replace("pool = \"tcp4\"", "pool = \"tpc4\"")
        .replace("10.0.0.13:8080", "10.0.0.300:8080");
    let said = refused(&world, &text, &[])?;
    for mistake in ["tpc", "interfces", "tpc4", "10.0.0.300:8080", "mean \"interfaces\"", "bad.toml:2:"] {
        ensure!(said.contains(mistake), "{mistake} is not named:\n{said}");
    }
    nothing_is_left(&world)
}

fn an_interface_that_does_not_exist_is_named() -> Result<()> {
    let world = World::routed().build()?;
    let text = config::text(&world, &[listener(&world)]).replace("\"back\"", "\"nope0\"");
    let said = refused(&world, &text, &[])?;
    ensure!(said.contains("nope0"), "{said}");
    is_brief(&said)?;
    nothing_is_left(&world)
}

fn a_missing_capability_is_named() -> Result<()> {
    let world = World::routed().build()?;
    let text = config::text(&world, &[listener(&world)]);
    for (drop, name) in [("-net_admin", "CAP_NET_ADMIN"), ("-bpf,-sys_admin", "CAP_BPF")] {
        let wrapper = ["setpriv", "--inh-caps", drop, "--bounding-set", drop];
        let said = refused(&world, &text, &wrapper)?;
        ensure!(said.contains(name), "{said}");
        is_brief(&said)?;
        nothing_is_left(&world)?;
    }
    Ok(())
}

fn a_pin_folder_outside_a_bpf_file_system_is_refused() -> Result<()> {
    let world = World::routed().build()?;
    let elsewhere = world.folder().join("pins");
    std::fs::create_dir_all(&elsewhere)?;
    let (right, wrong) = (format!("{:?}", world.pin_dir()), format!("{elsewhere:?}"));
    let said = refused(&world, &config::text(&world, &[listener(&world)]).replace(&right, &wrong), &[])?;
    ensure!(said.contains("bpf") && said.contains("mount"), "what to do is said: {said}");
    is_brief(&said)?;
    nothing_is_left(&world)
}

fn a_second_daemon_is_refused() -> Result<()> {
    let world = World::routed().build()?;
    let text = config::text(&world, &[listener(&world)]);
    let daemon = Daemon::start(&world, &text)?;
    let said = refused(&world, &text, &[])?;
    ensure!(said.contains("admin.sock"), "{said}");
    is_brief(&said)?;
    // The first one is none the worse for it.
    daemon.status()?;
    proxy_tests::client::get(world.client(), world.service(Family::V4), "/").map(drop)
}

/// The kernel part would take a socket's traffic away without a word.
fn an_address_that_somebody_listens_on_is_refused() -> Result<()> {
    let world = World::routed().build()?;
    let _theirs = world.balancer.enter(|| TcpListener::bind(world.service(Family::V4)))??;
    let said = refused(&world, &config::text(&world, &[listener(&world)]), &[])?;
    ensure!(said.contains("192.0.2.10:80"), "{said}");
    is_brief(&said)?;
    nothing_is_left(&world)
}

fn a_configuration_that_is_not_there_is_named() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let output = run(&world, Path::new("/nowhere/proxy.toml"), &[])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.code() == Some(1) && said.contains("/nowhere/proxy.toml"),
        "{}: {said}",
        output.status
    );
    is_brief(&said)
}

fn a_wrong_word_is_a_usage_error() -> Result<()> {
    for words in [&["rnu"][..], &["run", "--confg", "x"], &["drain"]] {
        let output = Command::new(daemon::binary()?).args(words).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2), "{words:?}: {}: {said}", output.status);
        ensure!(said.contains("Usage"), "{said}");
    }
    Ok(())
}
