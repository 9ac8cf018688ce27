//! What whoever runs a listener of QUIC does and sees: `trace`, `status`, `drain`, reloads, limits, bans; and what those
//! clients cost that nobody is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::program::Program;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};
use proxy_tests::{config, facts, web};
use serde_json::Value;

use super::handoff_idle::settled;
use super::quic::Front;
use super::spliced::PATIENCE;

pub(crate) const FACTS: &[Fact] = facts![
    flows_of_quic_are_traced_shown_drained_and_outlive_a_reload,
    limits_and_bans_hold_for_flows_of_quic,
    clients_of_quic_that_nobody_is_are_bounded_and_keep_nobody_out,
];

/// A client that goes on when it may.
pub(super) struct Client {
    program: Program,
    file: PathBuf,
}

impl Client {
    pub(super) fn start(front: &Front<'_>, folder: &Path, name: &str, sni: &str) -> Result<Self> {
        let file = folder.join(name);
        let program = front.waiting(sni, &file, &["/hello", "/bytes/300000"])?;
        until("it is answered", PATIENCE, || {
            ensure!(program.said().lines().count() == 1, "{}", program.said());
            Ok(())
        })?;
        Ok(Self { program, file })
    }

    /// It goes on.
    pub(super) fn may_go_on(&self) -> Result<()> {
        Ok(std::fs::write(&self.file, "")?)
    }

    /// How often it was answered so far.
    pub(super) fn answers(&self) -> usize {
        self.program.said().lines().count()
    }

    /// Who has answered it, the second time.
    fn go_on(mut self) -> Result<String> {
        self.may_go_on()?;
        ensure!(self.program.wait_end(PATIENCE)?, "{}", self.program.said());
        let said: Vec<Value> =
            self.program.said().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        ensure!(said.len() == 2 && said.iter().all(|one| one["right"] == true), "{}", self.program.said());
        Ok(said[1]["server"].as_str().context("no server")?.to_owned())
    }
}

fn reload(front: &Front<'_>, text: &str) -> Result<()> {
    front.daemon.write_config(text)?;
    front.daemon.cli(&["reload"]).map(drop)
}

/// What `status` says of the listener's connections.
pub(super) fn steered(front: &Front<'_>, word: &str) -> Result<u64> {
    let status = front.daemon.json(&["status"])?;
    let all = status["http"].as_array().with_context(|| status.to_string())?;
    let one = all.iter().find(|listener| listener["name"] == "front").with_context(|| status.to_string())?;
    one["steered"][word].as_u64().with_context(|| one.to_string())
}

fn flows_of_quic_are_traced_shown_drained_and_outlive_a_reload() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let front = Front::start(&world, Family::V4, &web::text(&world, ""))?;
    // Two backends have the name.
    let [one, other] = [0, 1].map(|number| format!("{}:443", world.backend_address(Family::V4, number)));
    let begun = format!("[pool.a]\nbackends = [\"{one}\"]");
    ensure!(front.config.contains(&begun), "{}", front.config);
    let both = front.config.replace(&begun, &format!("[pool.a]\nbackends = [\"{one}\", \"{other}\"]"));
    reload(&front, &both)?;
    front.daemon.cli(&["drain", &other, "--pool", "a"])?;
    let stays = Client::start(&front, &world.folder(), "stays", "a.test")?;
    ensure!(steered(&front, "relayed")? == 1, "{}", front.daemon.cli(&["status"])?);
    front.daemon.cli(&["undrain", &other, "--pool", "a"])?;
    front.daemon.cli(&["drain", &one, "--pool", "a"])?;
    for _ in 0..2 {
        let said = front.ask("a.test", &["/hello"])?;
        ensure!(said[0]["server"] == "b1", "whoever comes goes elsewhere: {}", said[0]);
    }
    // Whoever looks on sees what workers decide.
    let mut looker = front.daemon.spawn(&["--json", "trace", "--sni", "x.b.test", "-n", "1"])?;
    let seen = until("somebody was seen", PATIENCE, || {
        front.ask("x.b.test", &["/hello"])?;
        ensure!(looker.try_wait()?.is_some(), "nobody yet");
        Ok(())
    });
    if seen.is_err() {
        looker.kill()?;
    }
    let line = looker.wait_with_output()?;
    seen?;
    let line: Value = serde_json::from_slice(&line.stdout)?;
    ensure!(line["by"] == "worker" && line["decision"] == "passed" && line["route"] == "b", "{line}");
    ensure!(line["alpn"][0] == "h3" && line["version"] == "1.3" && line["listener"] == "front", "{line}");
    // With a reload others are refused, and who is there stays where it is.
    let refusing = both.replace(
        "host = \"*.b.test\"\npassthrough = true\npool = \"b\"",
        "host = \"*.b.test\"\nrefuse = \"drop\"",
    );
    ensure!(refusing != both, "{both}");
    reload(&front, &refusing)?;
    let before = front.refused("rule")?;
    let refused = front.client("x.b.test", &["patience=1", "/"])?;
    ensure!(!refused.status.success() && front.refused("rule")? > before, "it is not refused");
    ensure!(steered(&front, "refused")? > 0, "{}", front.daemon.cli(&["status"])?);
    let server = stays.go_on()?;
    ensure!(server == "b0", "its backend was {server}, which is drained and has its flows");
    Ok(())
}

fn limits_and_bans_hold_for_flows_of_quic() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, Family::V4, &config::text(&world, &[]))?;
    let limit = "\n[limit.few]\nper = \"ip\"\nhandshakes = \"2/h burst 2\"\n";
    reload(&front, &(front.config.clone() + limit))?;
    for _ in 0..2 {
        front.ask("a.test", &["/hello"])?;
    }
    let turned_away = |reason: &str, what: &str| -> Result<()> {
        let before = front.refused(reason)?;
        let output = front.client("a.test", &["patience=1", "/"])?;
        ensure!(!output.status.success(), "{what}: it is answered");
        ensure!(front.refused(reason)? > before, "{what}: it is not counted");
        Ok(())
    };
    turned_away("limited", "handshakes")?;
    // One at a time: whoever is counted stays here.
    let at_a_time = "\n[limit.few]\nper = \"ip\"\nconcurrent = 1\n";
    let of_client = front.config.replace("\"quic\"", "\"quic\"\nlimits = { connections_per_client = 2 }");
    until("who was counted by nobody has left", PATIENCE, || {
        ensure!(steered(&front, "relayed")? == 0, "somebody is there");
        Ok(())
    })?;
    // The first one is still there when the second one comes: nobody but its backend knows that it is over.
    for (there, what, text) in
        [(1, "concurrent", front.config.clone() + at_a_time), (2, "connections_per_client", of_client)]
    {
        reload(&front, &text)?;
        let kept = "proxy_now_relay_kept_total{listener=\"front\",route=\"a\",reason=\"limited\"}";
        let before = front.metric(kept)?;
        let stays = Client::start(&front, &world.folder(), what, "a.test")?;
        turned_away("limited", what)?;
        ensure!(front.metric(kept)? > before && steered(&front, "relayed")? == there, "{what}: it has left");
        stays.go_on()?;
    }
    reload(&front, &front.config)?;
    front.ask("a.test", &["/hello"])?;
    let client = world.client_address(Family::V4, 0).to_string();
    front.daemon.cli(&["ban", "add", &client, "--for", "10m", "--why", "a test"])?;
    let output = front.client("a.test", &["patience=1", "/"])?;
    ensure!(!output.status.success(), "a client that is banned is answered");
    front.daemon.cli(&["ban", "remove", &client])?;
    front.ask("a.test", &["/hello"]).map(drop)
}

fn clients_of_quic_that_nobody_is_are_bounded_and_keep_nobody_out() -> Result<()> {
    /// Flows of a worker whose clients have proved nothing.
    const MOST: u64 = 2048;
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, Family::V4, &web::text(&world, "[server]\nworkers = 1\n"))?;
    front.ask("a.test", &["/hello"])?;
    let stays = Client::start(&front, &world.folder(), "stays", "a.test")?;
    let (memory, mut first) = (settled(&front.daemon)?, 0);
    let most = until("more have come than are kept", Duration::from_secs(120), || {
        front.make_up(&["hello", "2500", "a.test", &first.to_string()])?;
        first += 2500;
        let relayed = steered(&front, "relayed")?;
        ensure!(front.refused("crowded")? > 0, "{relayed} of {first} are there, and nobody had to go");
        Ok(relayed)
    })?;
    let more = front.daemon.anonymous_kib()?.saturating_sub(memory);
    figure(&format!("{first} clients that nobody is: {most} flows, {more} KiB more"));
    ensure!(most <= MOST + 8, "{most} flows");
    ensure!(more < 24 << 10, "{more} KiB more");
    let full = front.daemon.anonymous_kib()?;
    for _ in 0..2 {
        front.make_up(&["hello", "2500", "a.test", &first.to_string()])?;
        first += 2500;
    }
    let more = front.daemon.anonymous_kib()?.saturating_sub(full);
    figure(&format!("of {first}: {more} KiB more"));
    ensure!(more < 8 << 10, "whoever comes then costs {more} KiB more");
    ensure!(front.ask("a.test", &["/hello"])?[0]["server"] == "b0", "others are served");
    ensure!(stays.go_on()? == "b0", "who is there stays");
    // Those three have shown that they are there.
    until("all others were left", PATIENCE, || {
        let relayed = steered(&front, "relayed")?;
        ensure!(relayed <= 3, "{relayed} are there");
        Ok(())
    })
}
