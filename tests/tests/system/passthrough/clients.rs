//! Real clients through a listener that passes them on: browsers, PostgreSQL's, those of CAs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_tests::facts;
use proxy_tests::hello::{Hello, protocols};
use proxy_tests::program::{self, Program};
use proxy_tests::runner::{self, Fact, figure};
use proxy_tests::wait::until;
use proxy_tests::web::curl;
use proxy_tests::world::{Family, World};
use rustix::process::Signal;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::front::{Front, PATIENCE, accept, exactly, listen, metrics, nginx, passing, text};
use crate::issuer::Ca;

pub(crate) const FACTS: &[Fact] = facts![
    browsers_pass_through_and_their_capture_is_explained,
    keys_that_no_quantum_computer_finds_are_agreed_on_end_to_end,
    a_program_in_go_passes_through,
    postgresql_serves_whoever_asks_for_tls_in_its_words,
    a_proof_of_a_name_that_is_passed_through_is_its_backends,
];

fn browsers_pass_through_and_their_capture_is_explained() -> Result<()> {
    const BROWSERS: usize = 30;
    let world = World::routed().backends(1).build()?;
    let theirs = Ca::new(&world.folder().join("theirs"), "ca")?;
    theirs.issue("a.test", &["a.test"])?;
    let backend = SocketAddr::new(world.backend_address(Family::V4, 0), 8443);
    let nginx = nginx(&world, &theirs, backend)?;
    let log = world.folder().join("connections.log");
    let lines = format!("[access_log]\nto = {log:?}\nformat = \"json\"\n\n{}", passing(backend));
    let front = Front::start(&world, &lines)?;
    let (port, ip, ca) =
        (front.service.port().to_string(), front.service.ip().to_string(), theirs.path("ca.pem"));
    let said =
        program::succeed(world.client(), &mut program::script("clients/browsers.py", &[&port, &ip, &ca])?)?;
    let through = said.lines().filter(|line| line.ends_with(" theirs client=")).count();
    figure(&format!("{through} browsers pass through"));
    ensure!(through == said.lines().count() && through >= BROWSERS, "{said}");

    // What tcpdump has seen of a client is explained, and its fingerprint can be refused.
    let capture = world.folder().join("capture.pcap").display().to_string();
    let words = ["tcpdump", "-i", "front", "-U", "-Z", "root", "-w"];
    let mut command = program::command(&words);
    command.arg(&capture).args(["tcp", "port", &port]);
    let mut tcpdump = Program::start(&world.balancer, &world.folder(), "tcpdump", command)?;
    tcpdump.wait_for_file(Path::new(&capture))?;
    let at = format!("a.test:{port}:{ip}");
    let url = format!("https://a.test:{port}/");
    let words = ["--cacert", &ca, "--resolve", &at, &url];
    let explained = until("the capture has a ClientHello", PATIENCE, || {
        ensure!(curl(world.client(), &words)?.text() == "theirs client=\n", "curl");
        front.daemon.json(&["explain", "--client-hello", &capture])
    })?;
    tcpdump.signal(Signal::INT)?;
    tcpdump.wait_end(Duration::from_secs(30))?;
    ensure!(explained["sni"] == "a.test" && explained["decision"] == "pass", "{explained}");
    let written = fs::read_to_string(&log)?;
    let line = written.lines().last().context("nothing is written down")?;
    let line: serde_json::Value = serde_json::from_str(line)?;
    let ja4 = line["ja4"].as_str().with_context(|| written.clone())?;
    let known = format!(
        "\n[[route]]\nname = \"known\"\nhost = \"a.test\"\nclient_hello = {{ ja4 = {ja4:?} }}\nrefuse = \"reset\"\n"
    );
    front.daemon.write_config(&text(&world, &(lines + &known)))?;
    front.daemon.cli(&["reload"])?;
    let explained = front.daemon.json(&["explain", "--client-hello", &capture])?;
    ensure!(explained["decision"] == "refuse" && explained["route"] == "known", "{explained}");
    let refused = curl(world.client(), &words);
    ensure!(refused.is_err() && front.refused("rule")? == 1, "{refused:?}");
    // Another client, another fingerprint.
    ensure!(
        curl(world.client(), &[&["--tls-max", "1.2"], &words[..]].concat())?.status == 200,
        "another client"
    );
    drop(nginx);
    Ok(())
}

/// A server by TLS that agrees on nothing but X25519MLKEM768, and answers one request by HTTP/1.1 with its name.
fn quantum_server(ca: &Ca) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(ca.path("a.test.crt"))?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(ca.path("a.test.key"))?;
    let provider = CryptoProvider {
        kx_groups: vec![aws_lc_rs::kx_group::X25519MLKEM768],
        ..aws_lc_rs::default_provider()
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn keys_that_no_quantum_computer_finds_are_agreed_on_end_to_end() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let theirs = Ca::new(&world.folder().join("theirs"), "ca")?;
    theirs.issue("a.test", &["a.test"])?;
    let (listener, backend) = listen(&world)?;
    let lines = passing(backend)
        .replace("passthrough = true", "client_hello = { group = \"X25519MLKEM768\" }\npassthrough = true");
    let front = Front::start(&world, &lines)?;
    let server = quantum_server(&theirs)?;
    let server = std::thread::spawn(move || -> Result<()> {
        let mut tls = StreamOwned::new(ServerConnection::new(server)?, accept(&listener)?);
        let mut heard = Vec::new();
        while !heard.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            tls.read_exact(&mut byte)?;
            heard.push(byte[0]);
        }
        let group = tls.conn.negotiated_key_exchange_group().context("no group")?.name();
        let group = format!("{group:?}");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{group}", group.len());
        tls.write_all(answer.as_bytes())?;
        tls.conn.send_close_notify();
        Ok(tls.flush()?)
    });
    let (port, ip, root) =
        (front.service.port().to_string(), front.service.ip().to_string(), theirs.path("ca.pem"));
    let mut chrome = program::script("clients/browsers.py", &[&port, &ip, &root, "chrome"])?;
    let said = program::succeed(world.client(), &mut chrome)?;
    ensure!(said.trim() == "chrome X25519MLKEM768", "{said}");
    server.join().map_err(|_| anyhow::anyhow!("the server panics"))??;
    // One that does not offer such keys is not taken.
    let (url, at) = (format!("https://a.test:{port}/"), format!("a.test:{port}:{ip}"));
    let other = curl(world.client(), &["--curves", "X25519", "--cacert", &root, "--resolve", &at, &url]);
    ensure!(other.is_err() && front.refused("no_route")? == 1, "{other:?}");
    Ok(())
}

fn a_program_in_go_passes_through() -> Result<()> {
    if program::command(&["hey", "-h"]).output().is_err() {
        return Err(runner::skipped("hey is not there: cargo xtask setup"));
    }
    let world = World::routed().backends(1).build()?;
    let theirs = Ca::new(&world.folder().join("theirs"), "ca")?;
    theirs.issue("a.test", &["a.test"])?;
    let backend = SocketAddr::new(world.backend_address(Family::V4, 0), 8443);
    let nginx = nginx(&world, &theirs, backend)?;
    let front = Front::start(&world, &passing(backend))?;
    for words in [&[][..], &["-h2"]] {
        let url = format!("https://{}/", front.service);
        let words = [&["hey", "-n", "40", "-c", "4", "-host", "a.test"], words, &[&url]].concat();
        let said = program::succeed(world.client(), &mut program::command(&words))?;
        ensure!(said.contains("[200]\t40 responses"), "{said}");
    }
    ensure!(
        front.metric("proxy_now_relay_connections_total{listener=\"front\",route=\"pass\"}")? >= 5,
        "{}",
        metrics(&front.daemon)?
    );
    drop(nginx);
    Ok(())
}

/// Where the distribution keeps PostgreSQL's programs.
fn postgresql() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").exists());
    found.ok_or_else(|| runner::skipped("PostgreSQL is not there: cargo xtask setup"))
}

fn postgresql_serves_whoever_asks_for_tls_in_its_words() -> Result<()> {
    let bin = postgresql()?;
    let world = World::routed().backends(1).build()?;
    let theirs = Ca::new(&world.folder().join("theirs"), "ca")?;
    theirs.issue("db.test", &["db.test"])?;
    // It does not run as root, and keeps its key to itself.
    let home = world.folder().join("postgres");
    fs::create_dir(&home)?;
    for (from, to) in [("db.test.crt", "server.crt"), ("db.test.key", "server.key")] {
        fs::copy(theirs.path(from), home.join(to))?;
        fs::set_permissions(home.join(to), fs::Permissions::from_mode(0o600))?;
    }
    let namespace = &world.backends[0].namespace;
    program::succeed(
        namespace,
        &mut program::command(&["chown", "-R", "nobody", &home.display().to_string()]),
    )?;
    let as_nobody = |name: &str, words: &[&str]| {
        let mut command = program::command(&["setpriv", "--reuid=nobody", "--clear-groups"]);
        command.arg(bin.join(name)).args(words).current_dir(&home).env("LC_ALL", "C");
        command
    };
    program::succeed(
        namespace,
        &mut as_nobody("initdb", &["-D", "data", "-U", "u", "-A", "trust", "--no-sync", "--no-locale"]),
    )?;
    fs::OpenOptions::new()
        .append(true)
        .open(home.join("data/pg_hba.conf"))?
        .write_all(b"hostssl all all 0.0.0.0/0 trust\n")?;
    let backend = SocketAddr::new(world.backend_address(Family::V4, 0), 5432);
    let (ip, sockets) = (backend.ip().to_string(), home.display().to_string());
    let files = ["server.crt", "server.key"].map(|file| home.join(file).display().to_string());
    let settings = [
        format!("listen_addresses={ip}"),
        format!("unix_socket_directories={sockets}"),
        "ssl=on".to_owned(),
        format!("ssl_cert_file={}", files[0]),
        format!("ssl_key_file={}", files[1]),
        "fsync=off".to_owned(),
    ];
    let words: Vec<&str> = settings.iter().flat_map(|setting| ["-c", setting]).collect();
    let command = as_nobody("postgres", &[&["-D", "data"], &words[..]].concat());
    let mut server = Program::start(namespace, &world.folder(), "postgres", command)?;
    server.wait_for(namespace, backend)?;
    let lines = passing(backend)
        .replace("protocol = \"tls\"", "protocol = \"tls\"\nstarttls = \"postgres\"")
        .replace("a.test", "db.test");
    let front = Front::start(&world, &lines)?;
    let (at, port, root) = (front.service.ip(), front.service.port(), theirs.path("ca.pem"));
    let sql = "select ssl, version like 'TLSv1%' from pg_stat_ssl where pid = pg_backend_pid()";
    for mode in ["require", "verify-full"] {
        let target = format!(
            "host=db.test hostaddr={at} port={port} user=u dbname=postgres sslmode={mode} sslrootcert={root} \
             connect_timeout=60"
        );
        let words = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", sql, &target];
        let said = program::succeed(world.client(), &mut program::command(&words))?;
        ensure!(said.trim() == "t|t", "{mode}: {said}");
    }
    drop(server);
    Ok(())
}

fn a_proof_of_a_name_that_is_passed_through_is_its_backends() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let front = Front::start(&world, &passing(backend))?;
    let mut hello = Hello::asking_for("a.test");
    let extensions = hello.extensions.get_or_insert_default();
    extensions.retain(|(number, _)| *number != 16);
    extensions.push((16, protocols(&["acme-tls/1"])));
    let mut client = front.connect()?;
    client.write_all(&hello.record())?;
    let heard = exactly(&mut accept(&listener)?, hello.record().len())?;
    ensure!(heard == hello.record(), "what a CA asks does not come to the backend as it is");
    Ok(())
}
