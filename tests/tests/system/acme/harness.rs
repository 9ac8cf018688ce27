//! The ACME server, its DNS and the proxy before it, before a daemon asks them.

use std::thread;

use anyhow::{Context, Result, ensure};
use proxy_tests::facts;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::world::World;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::authority::Authority;
use super::fault::{Fault, FaultProxy};
use super::message::Message;
use super::pebble::{self, Pebble, Settings, here};
use super::step::Step;
use super::visit;

pub(crate) const FACTS: &[Fact] = facts![
    the_acme_server_offers_what_later_facts_want,
    a_proxy_before_the_acme_server_answers_cuts_edits_and_holds,
    what_is_done_to_an_answer_waits_for_one_that_does_not_refuse_the_nonce,
];

const PROXY: u16 = 14001;
const INNER: u16 = 14002;

fn the_acme_server_offers_what_later_facts_want() -> Result<()> {
    let world = World::routed().clients(0).backends(0).build()?;
    let authority = Authority::make(&world.folder())?;
    let mut pebble = Pebble::start(&world.balancer, &world.folder(), &authority, Settings::new())?;
    let root = authority.root();
    let shown =
        visit::ask(&world.balancer, here(pebble::ACME), "localhost", &root, "GET /dir", "")?.certificate;
    ensure!(shown == CertificateDer::from_pem_file(authority.chain())?.to_vec(), "it has our certificate");
    let directory = pebble.directory(&world.balancer)?;
    let profiles = directory["meta"]["profiles"].as_object().map_or(0, serde_json::Map::len);
    let ari = directory["renewalInfo"].is_string();
    figure(&format!("{profiles} profiles, renewal information: {ari}"));
    ensure!(directory["newOrder"] == "https://localhost/order-plz", "{directory}");
    let root = std::fs::read_to_string(pebble.root())?;
    ensure!(root.contains("BEGIN CERTIFICATE"), "{root}");
    pebble.restart(&world.balancer)?;
    ensure!(std::fs::read_to_string(pebble.root())? != root, "another start signs by another root");
    Ok(())
}

fn a_proxy_before_the_acme_server_answers_cuts_edits_and_holds() -> Result<()> {
    let world = World::routed().clients(0).backends(0).build()?;
    let authority = Authority::make(&world.folder())?;
    let _pebble = Pebble::start(&world.balancer, &world.folder(), &authority, Settings::new())?;
    let proxy = FaultProxy::start(&world.balancer, here(PROXY), here(pebble::ACME), &authority)?;
    let ask = || {
        let visit = visit::ask(&world.balancer, here(PROXY), "localhost", &authority.root(), "GET /dir", "");
        Ok::<_, anyhow::Error>(visit?.answer)
    };
    ensure!(ask()?.json()?["newOrder"].is_string());

    proxy.next(Step::Directory, Fault::Answer(Message::answer(429, &[("Retry-After", "7")], "")));
    let refused = ask()?;
    ensure!(refused.status() == 429 && refused.field("retry-after") == Some("7"), "{refused:?}");

    proxy.next(Step::Directory, Fault::Cut(150));
    ensure!(ask().map_or(true, |answer| answer.json().is_err()));

    proxy.next(Step::Directory, Fault::Edit(|directory| directory["newOrder"] = "elsewhere".into()));
    ensure!(ask()?.json()?["newOrder"] == "elsewhere");

    for (fault, goes_on) in [(Fault::HoldBefore, true), (Fault::HoldAfter, true), (Fault::HoldBefore, false)]
    {
        proxy.next(Step::Directory, fault);
        let taken = proxy.taken(Step::Directory);
        let answered = thread::scope(|scope| {
            let asking = scope.spawn(ask);
            proxy.wait_held()?;
            if goes_on {
                proxy.release();
            } else {
                proxy.abandon();
            }
            asking.join().ok().context("it panicked").map(|answer| answer.is_ok())
        })?;
        ensure!(answered == goes_on && proxy.taken(Step::Directory) == taken + usize::from(goes_on));
    }
    ensure!(proxy.seen().iter().all(|seen| seen.payload.is_null()), "a directory is asked for unsigned");
    Ok(())
}

fn what_is_done_to_an_answer_waits_for_one_that_does_not_refuse_the_nonce() -> Result<()> {
    let world = World::routed().clients(0).backends(0).build()?;
    let authority = Authority::make(&world.folder())?;
    let _pebble = Pebble::start(&world.balancer, &world.folder(), &authority, Settings::new())?;
    let inner = FaultProxy::start(&world.balancer, here(INNER), here(pebble::ACME), &authority)?;
    let proxy = FaultProxy::start(&world.balancer, here(PROXY), here(INNER), &authority)?;
    let ask = || {
        let visit = visit::ask(&world.balancer, here(PROXY), "localhost", &authority.root(), "GET /dir", "");
        Ok::<_, anyhow::Error>(visit?.answer)
    };
    let refused = r#"{"type":"urn:ietf:params:acme:error:badNonce"}"#;
    let json = [("Content-Type", "application/problem+json")];
    let elsewhere = Fault::Edit(|directory| directory["newOrder"] = "elsewhere".into());

    inner.next(Step::Directory, Fault::Answer(Message::answer(400, &json, refused)));
    proxy.next(Step::Directory, elsewhere.clone());
    let first = ask()?;
    ensure!(first.status() == 400 && first.body == refused.as_bytes(), "as it was: {first:?}");
    ensure!(ask()?.json()?["newOrder"] == "elsewhere", "it has waited");
    ensure!(ask()?.json()?["newOrder"] != "elsewhere", "it happened once");

    inner.next(Step::Directory, Fault::Answer(Message::answer(400, &json, refused)));
    proxy.always(Step::Directory, elsewhere);
    ensure!(ask()?.status() == 400 && ask()?.json()?["newOrder"] == "elsewhere");
    proxy.calm();
    ensure!(ask()?.json()?["newOrder"] != "elsewhere", "nothing of it is left");
    Ok(())
}
