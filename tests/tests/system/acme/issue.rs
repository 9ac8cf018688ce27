//! First certificates.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use serde_json::json;

use super::fault::Fault;
use super::message::Message;
use super::pebble::{DNS, DNS_MANAGEMENT, Settings, here};
use super::stand::Stand;
use super::step::Step;

pub(crate) const FACTS: &[Fact] = facts![
    a_host_proves_itself_by_http_01,
    a_host_proves_itself_by_tls_alpn_01,
    a_host_beside_one_that_is_passed_through_proves_itself_by_tls_alpn_01,
    a_wildcard_and_its_parent_prove_themselves_by_dns_01,
    where_one_way_of_proving_fails_another_is_tried,
    an_account_that_the_ca_knows_already_is_bound_to_ours,
    a_ca_that_is_busy_is_asked_again_when_it_said,
    half_an_answer_and_an_answer_that_fails_are_got_over,
];

const HOST: &str = "app.example.com";

/// Which challenges the server was told to look at: those that it took.
fn first(challenges: &str, more: &str) -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let config = stand.config(&format!("challenges = [\"{challenges}\"]"), &[HOST]) + more;
    let daemon = Daemon::start(&stand.world, &config)?;
    stand.wait_served(HOST, &daemon)?;
    ensure!(stand.finalized() == 1 && stand.proxy.taken(Step::NewOrder) == 1, "{:?}", stand.proxy.seen());
    let row = Stand::listed(&daemon, HOST)?;
    ensure!(row["from"] == "acme" && row["last_error"].is_null(), "{row}");
    Ok(())
}

fn a_host_proves_itself_by_http_01() -> Result<()> {
    first("http-01", "")
}

fn a_host_proves_itself_by_tls_alpn_01() -> Result<()> {
    first("tls-alpn-01", "")
}

/// A listener that passes another name through reads each first flight before it is known whose it is.
fn a_host_beside_one_that_is_passed_through_proves_itself_by_tls_alpn_01() -> Result<()> {
    let more = "\n[[route]]\nlistener = \"secure\"\nhost = \"theirs.example.com\"\npassthrough = true\npool = \"theirs\"\n\n\
                [pool.theirs]\nbackends = [\"127.0.0.1:9\"]\n";
    first("tls-alpn-01", more)
}

/// A program that tells the DNS of the harness what to say.
pub(super) fn dns_program(stand: &Stand) -> Result<PathBuf> {
    let path = stand.world.folder().join("dns");
    let text = format!(
        "#!/bin/sh\nset -eu\ncase \"$1\" in present) what=set-txt ;; *) what=clear-txt ;; esac\n\
         curl --silent --show-error --fail --data \"{{\\\"host\\\":\\\"$2\\\",\\\"value\\\":\\\"$3\\\"}}\" \
         \"http://{}/$what\"\n",
        here(DNS_MANAGEMENT)
    );
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn a_wildcard_and_its_parent_prove_themselves_by_dns_01() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let acme = format!(
        "challenges = [\"dns-01\"]\n[acme.dns]\nprovider = \"exec\"\ncommand = [{:?}]\nresolvers = [\"{}\"]\n",
        dns_program(&stand)?,
        here(DNS)
    );
    let daemon = Daemon::start(&stand.world, &stand.config(&acme, &["*.example.com", "example.com"]))?;
    stand.wait_served("any.example.com", &daemon)?;
    stand.wait_served("example.com", &daemon)?;
    Ok(())
}

fn where_one_way_of_proving_fails_another_is_tried() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    // Nobody listens where the server looks for the first.
    let text = stand.config("challenges = [\"http-01\", \"tls-alpn-01\"]", &[HOST]).replace(":5002", ":5099");
    let daemon = Daemon::start(&stand.world, &text)?;
    stand.wait_served(HOST, &daemon)?;
    Ok(())
}

fn an_account_that_the_ca_knows_already_is_bound_to_ours() -> Result<()> {
    let key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let settings = Settings::new()
        .with("externalAccountBindingRequired", true.into())
        .with("externalAccountMACKeys", json!({ "kid-1": key }));
    let stand = Stand::build(settings)?;
    let eab = format!("eab = {{ key_id = \"kid-1\", hmac_key = \"{key}\" }}");
    let daemon = Daemon::start(&stand.world, &stand.config(&eab, &[HOST]))?;
    stand.wait_served(HOST, &daemon)?;
    ensure!(!daemon.log().contains(key), "a secret is in the log");
    Ok(())
}

fn a_ca_that_is_busy_is_asked_again_when_it_said() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let busy = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many","status":429}"#;
    let fields = [("Retry-After", "3"), ("Content-Type", "application/problem+json")];
    stand.proxy.next(Step::NewOrder, Fault::Answer(Message::answer(429, &fields, busy)));
    let daemon = Daemon::start(&stand.world, &stand.config("", &[HOST]))?;
    stand.wait_served(HOST, &daemon)?;
    let seen = stand.proxy.seen();
    let asked: Vec<_> = seen.iter().filter(|seen| seen.step == Step::NewOrder).map(|seen| seen.at).collect();
    let pause = asked.get(1).context("one order was asked for")?.duration_since(asked[0]);
    ensure!(pause >= Duration::from_secs(3), "it was asked again after {pause:?}");
    ensure!(stand.proxy.taken(Step::NewOrder) == 1, "{seen:?}");
    Ok(())
}

fn half_an_answer_and_an_answer_that_fails_are_got_over() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let busy = |fields: &[(&str, &str)]| Fault::Answer(Message::answer(503, fields, "busy"));
    for (step, fault) in [
        (Step::Directory, Fault::Cut(120)),
        (Step::Nonce, busy(&[])),
        (Step::Authorization, Fault::Cut(200)),
        (Step::Certificate, busy(&[("Retry-After", "1")])),
        (Step::Certificate, Fault::Cut(300)),
    ] {
        stand.proxy.next(step, fault);
    }
    let daemon = Daemon::start(&stand.world, &stand.config("", &[HOST]))?;
    stand.wait_served(HOST, &daemon)?;
    ensure!(stand.finalized() == 1, "{:?}", stand.proxy.seen());
    let row = Stand::listed(&daemon, HOST)?;
    ensure!(row["last_error"].is_null(), "{row}");
    Ok(())
}
