//! WebSockets and gRPC through the daemon, spoken by other people's libraries.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::program::{self, Program};
use proxy_tests::runner::{Fact, figure};
use proxy_tests::web::{self, curl};
use proxy_tests::world::{Family, World};

use crate::issuer::Ca;

pub(crate) const FACTS: &[Fact] = facts![
    websockets_talk_through_http1,
    websockets_talk_through_http2,
    websockets_talk_through_tls,
    websockets_of_both_versions_talk_to_a_backend_of_http2,
    hints_of_a_backend_of_http2_come_before_the_answer,
    grpc_streams_both_ways_and_fails_as_its_server_says,
    a_grpc_client_without_a_backend_gets_a_status,
];

/// The echo of WebSockets in the namespace of backend 0, and where it listens.
pub(crate) fn echo(world: &World) -> Result<(Program, SocketAddr)> {
    let address = SocketAddr::new(world.backend_address(Family::V4, 0), 8095);
    let words = ["serve", &address.ip().to_string(), &address.port().to_string()];
    start(world, "clients/websocket_check.py", &words, address)
}

/// The gRPC server in the namespace of backend 0, and where it listens.
pub(crate) fn grpc(world: &World) -> Result<(Program, SocketAddr)> {
    let address = SocketAddr::new(world.backend_address(Family::V4, 0), 8096);
    start(world, "clients/grpc_check.py", &["serve", &address.to_string()], address)
}

fn start(world: &World, script: &str, words: &[&str], address: SocketAddr) -> Result<(Program, SocketAddr)> {
    let namespace = &world.backends[0].namespace;
    let mut server = Program::start(namespace, &world.folder(), "server", program::script(script, words)?)?;
    server.wait_for(namespace, address)?;
    Ok((server, address))
}

/// Runs a script that judges from the client's side; all of its cases must pass.
fn judge(world: &World, script: &str, words: &[&str]) -> Result<()> {
    let output = program::run(world.client(), &mut program::script(script, words)?)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    figure(said.lines().last().unwrap_or_default());
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn websockets_talk_through_http1() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (_echo, address) = echo(&world)?;
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[address]))?;
    let url = format!("ws://{}/", world.service(Family::V4));
    judge(&world, "clients/websocket_check.py", &["check", &url])
}

fn websockets_talk_through_http2() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (_echo, address) = echo(&world)?;
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[address]))?;
    let service = world.service(Family::V4);
    judge(&world, "clients/websocket_h2.py", &[&service.ip().to_string(), &service.port().to_string()])
}

fn websockets_talk_through_tls() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (_echo, address) = echo(&world)?;
    let service = world.service(Family::V4);
    let ca = Ca::new(&world.folder().join("certs"), "ca")?;
    ca.issue("web", &[&service.ip().to_string()])?;
    let (cert, key) = (ca.path("web.crt"), ca.path("web.key"));
    let text = web::simple(&world, service, &[address]).replace("\"http\"", "\"https\"");
    let text = format!("{text}\n[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n");
    let _daemon = Daemon::start(&world, &text)?;
    judge(&world, "clients/websocket_check.py", &["check", &format!("wss://{service}/")])
}

/// A configuration whose only pool speaks HTTP/2.
pub(crate) fn h2c_config(world: &World, backend: SocketAddr) -> String {
    let text = web::simple(world, world.service(Family::V4), &[backend]);
    format!("{text}protocol = \"h2c\"\n")
}

/// hypercorn in the namespace of backend 0, and where it listens.
fn hypercorn(world: &World) -> Result<(Program, SocketAddr)> {
    let address = SocketAddr::new(world.backend_address(Family::V4, 0), 8099);
    let words = [&address.ip().to_string()[..], &address.port().to_string()];
    start(world, "clients/asgi_server.py", &words, address)
}

fn websockets_of_both_versions_talk_to_a_backend_of_http2() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (_server, address) = hypercorn(&world)?;
    let _daemon = Daemon::start(&world, &h2c_config(&world, address))?;
    let service = world.service(Family::V4);
    judge(&world, "clients/websocket_check.py", &["check", &format!("ws://{service}/")])?;
    // hypercorn 0.18 breaks a whole connection off when a stream of which it has ended its side ends its own.
    let without = "a_close_ends_the_stream_and_nothing_else";
    let (ip, port) = (service.ip().to_string(), service.port().to_string());
    judge(&world, "clients/websocket_h2.py", &[&ip, &port, "/", without])
}

fn hints_of_a_backend_of_http2_come_before_the_answer() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (_server, address) = hypercorn(&world)?;
    let _daemon = Daemon::start(&world, &h2c_config(&world, address))?;
    let url = format!("http://{}/", world.service(Family::V4));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(world.client(), &[version, &url])?;
        let (hint, last) = answer.heads.split_once("\r\n\r\n").unwrap_or_default();
        ensure!(hint.contains(" 103") && hint.contains("link: </style.css>"), "{answer:?}");
        ensure!(last.contains(" 200") && answer.text() == "HTTP/2", "{answer:?}");
    }
    // Of HTTP/1.0, whose clients take no 1xx (RFC 9110 §15.2), there is none.
    let answer = curl(world.client(), &["--http1.0", &url])?;
    ensure!(!answer.heads.contains("103") && answer.status == 200, "{answer:?}");
    Ok(())
}

fn grpc_streams_both_ways_and_fails_as_its_server_says() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (_server, address) = grpc(&world)?;
    let _daemon = Daemon::start(&world, &h2c_config(&world, address))?;
    judge(&world, "clients/grpc_check.py", &["check", &world.service(Family::V4).to_string()])
}

fn a_grpc_client_without_a_backend_gets_a_status() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let nobody = SocketAddr::new(world.backend_address(Family::V4, 0), 8097);
    let _daemon = Daemon::start(&world, &h2c_config(&world, nobody))?;
    let service = world.service(Family::V4).to_string();
    judge(&world, "clients/grpc_check.py", &["refused", &service, "UNAVAILABLE"])
}
