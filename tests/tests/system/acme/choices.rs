//! What may be chosen: issuers, profiles, keys, and addresses instead of names.

use anyhow::{Context as _, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::{Fact, skipped};
use proxy_tests::wait::until;
use serde_json::{Value, json};

use super::fault::Fault;
use super::pebble::{MANAGEMENT, Settings, here};
use super::stand::{ISSUED, PROXY, Stand};
use super::step::Step;
use super::visit;

pub(crate) const FACTS: &[Fact] = facts![
    where_one_issuer_gives_nothing_the_next_one_is_asked,
    after_a_proof_failed_the_staging_directory_is_asked_first,
    an_address_has_a_certificate_of_its_own,
    a_profile_and_a_kind_of_key_are_had_as_they_are_chosen,
    who_revokes_a_certificate_has_another_one_and_the_ca_knows,
];

const HOST: &str = "app.example.com";

fn where_one_issuer_gives_nothing_the_next_one_is_asked() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let ca = stand.authority.root();
    // Nobody listens at the first one's address.
    let issuers = format!(
        "[[acme.issuer]]\ndirectory = \"https://127.0.0.1:14999/dir\"\ndirectory_ca = {ca:?}\n\n\
         [[acme.issuer]]\ndirectory = \"{}\"\ndirectory_ca = {ca:?}\n",
        Stand::directory()
    );
    let one = format!("directory = \"{}\"\ndirectory_ca = {ca:?}\n", Stand::directory());
    let config = stand.config(&issuers, &[HOST]).replacen(&one, "", 1);
    let daemon = Daemon::start(&stand.world, &config)?;
    stand.wait_served(HOST, &daemon)?;
    let row = Stand::listed(&daemon, HOST)?;
    ensure!(row["issuer"] == format!("127.0.0.1:{PROXY}"), "{row}");
    Ok(())
}

fn after_a_proof_failed_the_staging_directory_is_asked_first() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    // Staging is the same server by another name.
    let staging = format!("staging = \"https://localhost:{PROXY}/dir\"\nchallenges = [\"http-01\"]");
    stand.proxy.always(Step::Authorization, Fault::Edit(unproved));
    let daemon = Daemon::start(&stand.world, &stand.config(&staging, &[HOST]))?;
    until("the failure is listed", ISSUED, || {
        let row = Stand::listed(&daemon, HOST)?;
        ensure!(row["last_error"].is_string(), "{row}");
        Ok(())
    })?;
    stand.proxy.calm();
    let orders = stand.proxy.taken(Step::NewOrder);
    daemon.command(&["certs", "renew", HOST])?;
    stand.wait_served(HOST, &daemon)?;
    // An account at both, and an order there before the one that counts.
    let (accounts, orders) = (stand.proxy.taken(Step::Account), stand.proxy.taken(Step::NewOrder) - orders);
    ensure!(accounts == 2 && orders == 2, "{accounts} accounts, {orders} orders: {}", daemon.log());
    Ok(())
}

/// An authorization that failed.
fn unproved(authorization: &mut Value) {
    let error =
        json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": "not seen", "status": 403 });
    authorization["status"] = "invalid".into();
    for challenge in authorization["challenges"].as_array_mut().into_iter().flatten() {
        challenge["status"] = "invalid".into();
        challenge["error"] = error.clone();
    }
}

fn an_address_has_a_certificate_of_its_own() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let daemon = Daemon::start(&stand.world, &stand.config("", &["127.0.0.1"]))?;
    stand.wait_served("127.0.0.1", &daemon)?;
    Ok(())
}

fn a_profile_and_a_kind_of_key_are_had_as_they_are_chosen() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    if stand.pebble.directory(&stand.world.balancer)?["meta"]["profiles"].is_null() {
        return Err(skipped("this version of pebble has no profiles"));
    }
    let choice = "profile = \"shortlived\"\nkey_type = \"p384\"";
    let daemon = Daemon::start(&stand.world, &stand.config(choice, &[HOST]))?;
    let certificate = stand.wait_served(HOST, &daemon)?;
    let row = Stand::listed(&daemon, HOST)?;
    ensure!(row["expires_in"].as_i64().is_some_and(|seconds| seconds <= 3_600), "{row}");
    // secp384r1 (RFC 5480 §2.1.1.1), as a certificate names the curve of its key.
    let curve = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
    ensure!(certificate.windows(curve.len()).any(|bytes| bytes == curve), "the key is of another kind");
    Ok(())
}

fn who_revokes_a_certificate_has_another_one_and_the_ca_knows() -> Result<()> {
    let stand = Stand::build(Settings::new())?;
    let daemon = Daemon::start(&stand.world, &stand.config("", &[HOST]))?;
    let first = stand.wait_served(HOST, &daemon)?;
    let row = Stand::listed(&daemon, HOST)?;
    let serial = row["serial"].as_str().context("no serial")?.replace(':', "");
    daemon.cli(&["certs", "revoke", HOST])?;
    stand.wait_renewed(HOST, &first, &daemon)?;
    let path = format!("GET /cert-status-by-serial/{serial}");
    let root = stand.authority.root();
    let status = visit::ask(&stand.world.balancer, here(MANAGEMENT), "localhost", &root, &path, "")?.answer;
    ensure!(status.json()?["Status"] == "Revoked", "{status:?}");
    Ok(())
}
