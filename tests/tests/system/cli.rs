//! The command line, as a user has it: with a daemon, and without one.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};

use anyhow::{Context, Result, ensure};
use proxy_tests::client::{Http, Udp};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    status_shows_listeners_backends_and_attachment,
    the_socket_is_for_the_group_and_serves_metrics,
    systemd_is_told_when_everything_is_served,
    status_without_a_daemon_reads_the_pinned_maps,
    explain_tells_the_backend_that_answers,
    explain_knows_the_answers_of_a_flow_that_has_just_begun,
    doctor_finds_what_is_wrong_and_says_what_mends_it,
    check_accepts_and_refuses_without_touching_anything,
    schema_and_completions_are_printed,
];

fn start(world: &World) -> Result<Daemon<'_>> {
    Daemon::start(world, &config::text(world, &Listener::all(world)))
}

fn status_shows_listeners_backends_and_attachment() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = start(&world)?;
    let connections = (0..10).map(|_| {
        let mut connection = Http::connect(world.client(), world.service(Family::V4))?;
        connection.who()?;
        Ok(connection)
    });
    let _open: Vec<Http> = connections.collect::<Result<_>>()?;
    let text = daemon.cli(&["status"])?;
    for word in ["tcp4", "udp6", "10.0.0.11:8080", "[fd00::12]:8080", "ready", "front", "native"] {
        ensure!(text.contains(word), "no {word} in:\n{text}");
    }
    ensure!(!text.contains('\u{1b}'), "colour only on a terminal");
    let json = daemon.json(&["status"])?;
    let listeners = json["listeners"].as_array().context("no listeners")?;
    ensure!(listeners.len() == 4, "{json}");
    Ok(())
}

fn the_socket_is_for_the_group_and_serves_metrics() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::routed().build()?;
    let _daemon = start(&world)?;
    Http::connect(world.client(), world.service(Family::V4))?.who()?;
    let socket = world.folder().join("admin.sock");
    let mode = std::fs::metadata(&socket)?.permissions().mode() & 0o777;
    ensure!(mode == 0o660, "{mode:o}");
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    ensure!(answer.contains("10.0.0.11:8080") && answer.contains("# TYPE"), "{answer}");
    Ok(())
}

fn systemd_is_told_when_everything_is_served() -> Result<()> {
    let world = World::routed().build()?;
    let path = world.folder().join("notify.sock");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(proxy_tests::wait::SOON))?;
    let mut daemon = Daemon::prepare(&world, &config::text(&world, &Listener::all(&world)))?;
    daemon.set_environment("NOTIFY_SOCKET", &path.to_string_lossy());
    daemon.run()?;
    let mut heard = String::new();
    while !heard.contains("READY=1") {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).with_context(|| format!("heard only {heard:?}"))?;
        heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    Ok(())
}

fn status_without_a_daemon_reads_the_pinned_maps() -> Result<()> {
    let world = World::routed().build()?;
    let mut daemon = start(&world)?;
    Http::connect(world.client(), world.service(Family::V4))?.who()?;
    daemon.kill()?;
    let config = daemon.config_path();
    let text = daemon.cli(&["status", "--config", &config.to_string_lossy()])?;
    for word in ["tcp4", "10.0.0.11:8080", "front"] {
        ensure!(text.contains(word), "no {word} in:\n{text}");
    }
    Ok(())
}

/// What `explain` says of a connection's addresses before it is made is what happens.
fn explain_tells_the_backend_that_answers() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = start(&world)?;
    for family in Family::BOTH {
        let client = Udp::connect(world.client(), world.service_udp(family))?;
        let (from, to) = (client.socket().local_addr()?, world.service_udp(family));
        let tuple = format!("udp {from} -> {to}");
        let before = daemon.cli(&["explain", &tuple])?;
        let name = client.ask(b"")?;
        let backend = world.backend_udp(family, world.number_of(&name).context("nobody of that name")?);
        ensure!(before.contains(&backend.to_string()), "{name} answered; explain had said:\n{before}");
        client.ask(b"")?;
        let json = daemon.json(&["explain", &tuple])?;
        ensure!(json.to_string().contains(&backend.to_string()), "{json}");
        let listener = if family == Family::V4 { "udp4" } else { "udp6" };
        ensure!(json.to_string().contains(listener), "{json}");
    }
    let other = daemon.cli(&["explain", "tcp 192.0.2.101:4000 -> 192.0.2.10:81"])?;
    ensure!(!other.contains("10.0.0.1"), "nobody listens there, and it is said:\n{other}");
    let output = daemon.command(&["explain", "from here to there"])?;
    ensure!(matches!(output.status.code(), Some(1 | 2)), "{}", output.status);
    Ok(())
}

fn explain_knows_the_answers_of_a_flow_that_has_just_begun() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    for family in Family::BOTH {
        let at = SocketAddr::new(world.backend_address(family, 0), 8096);
        let backend = world.backends[0].namespace.enter(|| UdpSocket::bind(at))??;
        backend.set_read_timeout(Some(proxy_tests::wait::SOON))?;
        let mut listener = Listener::of(&world, Protocol::Udp, family);
        listener.backends[0].address = at;
        let daemon = Daemon::start(&world, &config::text(&world, &[listener]))?;
        let client = Udp::connect(world.client(), world.service_udp(family))?;
        client.socket().send(b"question")?;
        let mut buffer = [0; 64];
        let (_, from) = backend.recv_from(&mut buffer)?;
        let explained = |direction: &str, tuple: String, kind: &str| -> Result<()> {
            let said = daemon.json(&["explain", &tuple])?;
            let flow = &said["flow"];
            ensure!(said["verdict"] == "forward" && said["backend"]["address"] == at.to_string(), "{said}");
            ensure!(flow["kind"] == kind && flow["direction"] == direction, "{said}");
            if direction == "return" {
                let (service, client) = (world.service_udp(family), client.socket().local_addr()?);
                ensure!(flow["new_source"] == service.to_string(), "{said}");
                ensure!(flow["new_destination"] == client.to_string(), "{said}");
            }
            Ok(())
        };
        let forth = format!("udp {} {}", client.socket().local_addr()?, world.service_udp(family));
        let back = format!("udp {at} {from}");
        explained("forward", forth.clone(), "young")?;
        explained("return", back.clone(), "young")?;
        // Another port of ours is nobody's.
        let astray = format!("udp {at} {}", SocketAddr::new(from.ip(), from.port() ^ 1));
        let said = daemon.json(&["explain", &astray])?;
        ensure!(said["verdict"] == "pass" && said["flow"].is_null(), "{said}");
        backend.send_to(b"answer", from)?;
        client.socket().recv(&mut buffer)?;
        client.socket().send(b"again")?;
        backend.recv_from(&mut buffer)?;
        explained("forward", forth, "established")?;
        explained("return", back, "established")?;
    }
    Ok(())
}

fn doctor_finds_what_is_wrong_and_says_what_mends_it() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = start(&world)?;
    let config = daemon.config_path();
    let words = ["doctor", "--config", &config.to_string_lossy()];
    let well = daemon.json(&words)?.to_string();
    for word in ["front", "back", "10.0.0.11", "fd00::13"] {
        ensure!(well.contains(word), "no {word} in:\n{well}");
    }
    world.balancer.sysctl("ipv4/tcp_syncookies", "0")?;
    let said = daemon.cli(&words)?;
    ensure!(said.contains("sysctl -w net.ipv4.tcp_syncookies=1"), "nothing answers floods:\n{said}");
    world.balancer.sysctl("ipv4/ip_forward", "0")?;
    let output = daemon.command(&words)?;
    let ill = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(1), "{}:\n{ill}", output.status);
    ensure!(ill.contains("sysctl -w net.ipv4.ip_forward=1"), "what mends it is said:\n{ill}");
    Ok(())
}

fn check_accepts_and_refuses_without_touching_anything() -> Result<()> {
    let world = World::routed().build()?;
    let daemon = start(&world)?;
    let before = daemon.status()?.backends("tcp4")?;
    let path = world.folder().join("other.toml");
    let other = config::text(&world, &[Listener::of(&world, Protocol::Udp, Family::V6)]);
    std::fs::write(&path, &other)?;
    let path = path.to_string_lossy().into_owned();
    daemon.cli(&["check", "--config", &path])?;
    std::fs::write(&path, other.replace("forward", "forwrad"))?;
    let output = daemon.command(&["check", "--config", &path])?;
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.code() == Some(1) && said.contains("mean \"forward\""),
        "{}: {said}",
        output.status
    );
    ensure!(daemon.status()?.backends("tcp4")? == before, "the running daemon is as it was");
    Ok(())
}

fn schema_and_completions_are_printed() -> Result<()> {
    let run = |words: &[&str]| -> Result<String> {
        let output = std::process::Command::new(proxy_tests::daemon::binary()?).args(words).output()?;
        ensure!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let schema: serde_json::Value = serde_json::from_str(&run(&["schema"])?)?;
    ensure!(schema.to_string().contains("interfaces"), "{schema}");
    for shell in ["bash", "zsh", "fish"] {
        ensure!(run(&["completions", shell])?.contains("undrain"), "{shell}");
    }
    Ok(())
}
