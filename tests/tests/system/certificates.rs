//! Certificates of our own CA, for us and for other machines, and what their issuers say of certificates in files.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::{self, Daemon};
use proxy_tests::facts;
use proxy_tests::program::{self, Program};
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, curl};
use proxy_tests::world::{Family, World};
use serde_json::Value;

use crate::issuer::{Ca, s_client};

pub(crate) const FACTS: &[Fact] = facts![
    a_host_that_no_public_ca_knows_gets_a_certificate_of_our_own,
    another_daemon_gets_a_certificate_of_our_ca,
    what_a_responder_says_of_a_certificate_is_stapled,
];

const PORT: u16 = 8443;
/// A certificate of our own CA is made at once; a busy machine takes its time.
const ISSUED: Duration = Duration::from_secs(30);

const fn here(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// What `certs list` says of a host.
fn listed(daemon: &Daemon<'_>, host: &str) -> Result<Value> {
    let list = daemon.json(&["certs", "list"])?;
    let rows = list["certificates"].as_array().context("certs list has no certificates")?;
    let row = rows.iter().find(|row| row["name"] == host && row["serial"].is_string());
    row.cloned().with_context(|| format!("{host} is not in {list}"))
}

fn a_host_that_no_public_ca_knows_gets_a_certificate_of_our_own() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let to = SocketAddr::new(world.service(Family::V4).ip(), PORT);
    let storage = world.folder().join("storage");
    let lines = format!(
        "[acme]\nstorage = {storage:?}\n\n[listener.web]\nbind = [\"{to}\"]\nprotocol = \"https\"\n\n\
         [[route]]\nhost = \"app.internal\"\nrespond = {{ status = 200, body = \"ours\" }}\n"
    );
    let daemon = Daemon::start(&world, &web::text(&world, &lines))?;
    let root = storage.join("ca/root.pem").display().to_string();
    let resolve = format!("app.internal:{PORT}:{}", to.ip());
    let url = format!("https://app.internal:{PORT}/");
    let ask = || curl(world.client(), &["--cacert", &root, "--resolve", &resolve, &url]);
    until("a certificate of our own CA is served", ISSUED, || {
        let answer = ask()?;
        ensure!(answer.text() == "ours", "{answer:?}");
        Ok(())
    })?;
    let before = listed(&daemon, "app.internal")?;
    daemon.cli(&["certs", "renew", "app.internal"])?;
    until("another one is served", SOON, || {
        let after = listed(&daemon, "app.internal")?;
        ensure!(after["serial"] != before["serial"], "{after}");
        Ok(())
    })?;
    ensure!(ask()?.text() == "ours", "the new one is not good");
    // What is handed out can be used elsewhere.
    let folder = world.folder().join("export");
    fs::create_dir(&folder)?;
    let to_folder = folder.display().to_string();
    daemon.cli(&["certs", "export", "app.internal", "--to", &to_folder])?;
    let mut pem = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        if fs::read_to_string(&path)?.contains("BEGIN CERTIFICATE") {
            pem.push(path.display().to_string());
        }
    }
    ensure!(pem.len() == 1, "{pem:?}");
    let mut verify = Command::new("openssl");
    verify.args(["verify", "-CAfile", &root, "-untrusted", &pem[0], &pem[0]]);
    program::succeed(world.client(), &mut verify)?;
    Ok(())
}

fn another_daemon_gets_a_certificate_of_our_ca() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let storage = world.folder().join("storage");
    let (server, secure) = (here(9443), here(PORT));
    let lines = format!(
        "[acme]\nstorage = {storage:?}\n\n[acme.internal]\n\
         serve = {{ bind = \"{server}\", host = \"localhost\", names = [\"localhost\"] }}\n\n\
         [listener.web]\nbind = [\"{secure}\"]\nprotocol = \"https\"\n\n\
         [[route]]\nhost = \"app.internal\"\nrespond = {{ status = 200 }}\n"
    );
    let first = Daemon::start(&world, &web::text(&world, &lines))?;
    let root = storage.join("ca/root.pem");
    let directory = "https://localhost:9443/directory";
    let root_text = root.display().to_string();
    until("our CA serves", ISSUED, || {
        let answer = curl(&world.balancer, &["--cacert", &root_text, directory])?;
        ensure!(answer.status == 200 && answer.text().contains("newOrder"), "{answer:?}");
        Ok(())
    })
    .with_context(|| first.log())?;
    // Where a CA looks: ports 80 and 443 of the name.
    let others = world.folder().join("others");
    let lines = format!(
        "[acme]\nstorage = {others:?}\ndirectory = \"{directory}\"\ndirectory_ca = {root:?}\n\n\
         [listener.plain]\nbind = [\"{}\"]\nprotocol = \"http\"\n\n\
         [listener.web]\nbind = [\"{}\"]\nprotocol = \"https\"\n\n\
         [[route]]\nlistener = \"web\"\nhost = \"localhost\"\ntls = \"acme\"\n\
         respond = {{ status = 200, body = \"other\" }}\n",
        here(80),
        here(443)
    );
    let config = world.folder().join("other.toml");
    fs::write(&config, web::text(&world, &lines).replace("admin.sock", "other.sock"))?;
    let binary = daemon::binary()?.display().to_string();
    let command = program::command(&[&binary, "run", "--config", &config.display().to_string()]);
    let mut other = Program::start(&world.balancer, &world.folder(), "other", command)?;
    other.wait_for(&world.balancer, here(443))?;
    until("the other daemon serves by a certificate of our CA", ISSUED, || {
        let answer = curl(&world.balancer, &["--cacert", &root_text, "https://localhost/"])?;
        ensure!(answer.text() == "other", "{answer:?}");
        Ok(())
    })
    .with_context(|| format!("{}\n{}", other.said(), first.log()))
}

fn what_a_responder_says_of_a_certificate_is_stapled() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let ca = Ca::new(&world.folder().join("certs"), "ca")?;
    ca.issue("a.test", &["a.test"])?;
    let (pem, key) = (ca.path("ca.pem"), ca.path("ca.key"));
    let (cert, cert_key) = (ca.path("a.test.crt"), ca.path("a.test.key"));
    let serial = program::succeed(
        world.client(),
        Command::new("openssl").args(["x509", "-noout", "-serial", "-in", &cert]),
    )?;
    let serial = serial.trim().strip_prefix("serial=").context("openssl names no serial")?;
    // A CA's database, as openssl keeps it: valid, until, revoked at, serial, file, subject.
    let index = ca.path("index.txt");
    fs::write(&index, format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=a.test\n"))?;
    let responder = here(8889);
    let port = responder.port().to_string();
    let words = ["openssl", "ocsp", "-index", &index, "-port", &port, "-rsigner", &pem, "-rkey", &key];
    let command = program::command(&[&words[..], &["-CA", &pem, "-ndays", "1"]].concat());
    let answers = Program::start(&world.balancer, &world.folder(), "ocsp", command)?;
    // It serves one after the other, and would wait for a request of who only looks whether it listens.
    until("the responder listens", SOON, || {
        ensure!(answers.said().contains("waiting for OCSP client connections"), "{}", answers.said());
        Ok(())
    })?;
    let to = SocketAddr::new(world.service(Family::V4).ip(), PORT);
    let chain = ca.path("chain.pem");
    fs::write(&chain, fs::read_to_string(&cert)? + &fs::read_to_string(&pem)?)?;
    let lines = format!(
        "[[tls.certificate]]\ncert = {chain:?}\nkey = {cert_key:?}\nocsp = \"http://{responder}/\"\n\n\
         [listener.web]\nbind = [\"{to}\"]\nprotocol = \"https\"\n\n\
         [[route]]\nhost = \"a.test\"\ntls = \"files\"\nrespond = {{ status = 200 }}\n"
    );
    let daemon = Daemon::start(&world, &web::text(&world, &lines))?;
    until("the answer is stapled", ISSUED, || {
        let said = s_client(
            world.client(),
            to,
            &["-CAfile", &pem, "-servername", "a.test", "-status"],
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
        )?;
        ensure!(said.contains("OCSP Response Status: successful"), "{said}");
        ensure!(said.contains("Cert Status: good") && said.contains("HTTP/1.1 200"), "{said}");
        Ok(())
    })
    .with_context(|| format!("{}\n{}", answers.said(), daemon.log()))
}
