//! What is seen of requests from outside: lines that are written about them, and why they took their way.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::program;
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, curl};
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    lines_about_requests_go_to_syslog,
    no_request_waits_for_a_log_that_nobody_reads_or_a_disk_that_is_full,
    hints_of_a_backend_of_http1_come_before_the_answer,
    every_rule_that_refuses_is_told_with_its_reason,
];

fn config(world: &World, lines: &str) -> String {
    let bind = world.service(Family::V4);
    web::text(world, &format!("[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n{lines}"))
}

fn url(world: &World, path: &str) -> String {
    format!("http://{}{path}", world.service(Family::V4))
}

fn lines_about_requests_go_to_syslog() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let socket = world.folder().join("syslog.sock");
    let lines = "[access_log]\nto = \"syslog\"\n[[route]]\nname = \"gone\"\nrespond = 410\n";
    let mut daemon = Daemon::prepare(&world, &config(&world, lines))?;
    daemon.set_syslog(&socket);
    let syslog = UnixDatagram::bind(&socket)?;
    syslog.set_read_timeout(Some(SOON))?;
    daemon.run()?;
    let receive = |syslog: &UnixDatagram| -> Result<String> {
        let mut message = vec![0; 65_536];
        let length = syslog.recv(&mut message).context("nothing came to syslog")?;
        Ok(String::from_utf8_lossy(&message[..length]).into_owned())
    };
    for number in 0..3 {
        let path = format!("/{number}");
        ensure!(curl(world.client(), &[&url(&world, &path)])?.status == 410);
        let message = receive(&syslog)?;
        // RFC 5424: <local0.info>1 TIME - proxy-now PID access - LINE
        let words: Vec<&str> = message.splitn(8, ' ').collect();
        ensure!(words.len() == 8 && words[0] == "<134>1" && words[3] == "proxy-now", "{message}");
        ensure!(words[4] == daemon.pid()?.to_string() && words[5] == "access", "{message}");
        let line: serde_json::Value = serde_json::from_str(words[7]).with_context(|| message.clone())?;
        ensure!(line["status"] == 410 && line["route"] == "gone" && line["uri"] == *path, "{message}");
    }
    // Its syslog starts again, and nobody is told.
    drop(syslog);
    fs::remove_file(&socket)?;
    let syslog = UnixDatagram::bind(&socket)?;
    syslog.set_read_timeout(Some(Duration::from_millis(200)))?;
    until("lines come to the new socket", SOON, || {
        ensure!(curl(world.client(), &[&url(&world, "/again")])?.status == 410);
        ensure!(receive(&syslog)?.contains("/again"));
        Ok(())
    })
}

/// Requests by h2load with a long path: each must be answered.
fn load(world: &World, count: usize) -> Result<()> {
    let to = url(world, &format!("/{}", "x".repeat(4000)));
    let words = ["h2load", "-n", &count.to_string(), "-c", "4", "-m", "10", &to];
    let said = program::succeed(world.client(), &mut program::command(&words))?;
    let line = said.lines().find(|line| line.starts_with("requests:")).context("no requests")?;
    figure(line);
    ensure!(line.contains(&format!(" {count} succeeded, 0 failed, 0 errored, 0 timeout")), "{said}");
    Ok(())
}

fn no_request_waits_for_a_log_that_nobody_reads_or_a_disk_that_is_full() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let pipe = world.folder().join("pipe");
    program::succeed(&world.balancer, &mut program::command(&["mkfifo", &pipe.display().to_string()]))?;
    let to = |log: &std::path::Path| {
        config(&world, &format!("[access_log]\nto = {log:?}\n[[route]]\nrespond = {{ body = \"x\" }}\n"))
    };
    // It is open at this end, and nobody reads.
    let reader = fs::File::options().read(true).write(true).open(&pipe)?;
    let daemon = Daemon::start(&world, &to(&pipe))?;
    // More than may wait: 4 MiB, and what the pipe holds.
    load(&world, 1500)?;
    let socket = world.folder().join("admin.sock").display().to_string();
    let dropped = || -> Result<u64> {
        let text = curl(&world.balancer, &["--unix-socket", &socket, "http://localhost/metrics"])?.text();
        let dropped = "proxy_now_access_log_lines_total{result=\"dropped\"}";
        let line = text.lines().find(|line| line.starts_with(dropped));
        Ok(line.and_then(|line| line.rsplit(' ').next()).context("no metric")?.parse()?)
    };
    until("lines are dropped and counted", SOON, || {
        let dropped = dropped()?;
        ensure!(dropped > 0);
        figure(&format!("{dropped} lines dropped"));
        Ok(())
    })?;
    drop(reader);
    // A pipe without a reader is refused, not waited for: everything stays as it is.
    let other = world.folder().join("other");
    program::succeed(&world.balancer, &mut program::command(&["mkfifo", &other.display().to_string()]))?;
    daemon.write_config(&to(&other))?;
    ensure!(!daemon.command(&["reload"])?.status.success());
    // A disk on which there is no room.
    daemon.write_config(&to("/dev/full".as_ref()))?;
    daemon.cli(&["reload"])?;
    load(&world, 200)?;
    daemon.wait_log("the access log cannot be written, lines are lost: No space left on device")
}

/// A server that gives two hints before each answer. Ends with the test.
fn hinting(world: &World, address: SocketAddr) -> Result<()> {
    let listener = world.backends[0].namespace.enter(|| TcpListener::bind(address))??;
    std::thread::spawn(move || -> Result<()> {
        for stream in listener.incoming() {
            let stream = stream?;
            let (mut reader, mut writer) = (BufReader::new(stream.try_clone()?), stream);
            let mut line = String::new();
            while reader.read_line(&mut line)? > 0 {
                if line != "\r\n" {
                    line.clear();
                    continue;
                }
                line.clear();
                for style in ["a", "b"] {
                    let hint =
                        format!("HTTP/1.1 103 Early Hints\r\nlink: </{style}.css>; rel=preload\r\n\r\n");
                    writer.write_all(hint.as_bytes())?;
                }
                writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")?;
            }
        }
        Ok(())
    });
    Ok(())
}

fn hints_of_a_backend_of_http1_come_before_the_answer() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let address = SocketAddr::new(world.backend_address(Family::V4, 0), 8107);
    hinting(&world, address)?;
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[address]))?;
    let url = url(&world, "/");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        // Twice by one connection: nothing of a hint is left in it.
        for _ in 0..2 {
            let answer = curl(world.client(), &[version, &url])?;
            let heads: Vec<&str> = answer.heads.trim_end().split("\r\n\r\n").collect();
            ensure!(heads.len() == 3 && answer.text() == "hello", "{version}: {answer:?}");
            ensure!(heads[0].contains(" 103") && heads[0].contains("link: </a.css>"), "{version}: {heads:?}");
            ensure!(heads[1].contains(" 103") && heads[1].contains("link: </b.css>"), "{version}: {heads:?}");
            ensure!(heads[2].contains(" 200"), "{version}: {heads:?}");
        }
    }
    // RFC 9110 §15.2: a client of HTTP/1.0 gets no 1xx.
    let answer = curl(world.client(), &["--http1.0", &url])?;
    ensure!(!answer.heads.contains("103") && answer.text() == "hello", "{answer:?}");
    Ok(())
}

fn every_rule_that_refuses_is_told_with_its_reason() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let rules = [
        ("by-path", "path = \"/other/\""),
        ("by-method", "method = \"DELETE\""),
        ("by-header", "header = { x-canary = \"yes\" }"),
        ("by-query", "query = { debug = \"1\" }"),
        ("by-client", "client_ip = \"192.0.2.0/24\""),
        ("by-regex", "path_regex = '^/v[0-9]+/'"),
        ("taken", "path = \"/a/\""),
        ("last", ""),
    ];
    let routes: String = rules
        .iter()
        .map(|(name, rule)| {
            format!("[[route]]\nname = \"{name}\"\nhost = \"a.test\"\nrespond = 204\n{rule}\n")
        })
        .collect();
    let elsewhere = "[[route]]\nhost = \"b.test\"\nrespond = 204\n";
    let daemon = Daemon::start(&world, &config(&world, &format!("{routes}{elsewhere}")))?;
    let asked =
        ["explain", "http://a.test/a/b?debug=2", "--header", "X-Canary: no", "--client", "198.51.100.1"];
    let said = daemon.cli(&asked)?;
    figure(&said);
    let line = |name: &str| said.lines().find(|line| line.contains(name)).with_context(|| said.clone());
    for (name, reason) in [
        ("by-path", "/other/"),
        ("by-method", "DELETE"),
        ("by-header", "x-canary"),
        ("by-query", "debug"),
        ("by-client", "192.0.2.0/24"),
        ("by-regex", "^/v[0-9]+/"),
    ] {
        let line = line(name)?;
        ensure!(line.contains("refused") && line.contains(reason), "{line}\n{said}");
    }
    ensure!(line("taken")?.contains("taken") && line("last")?.contains("outranked"), "{said}");
    Ok(())
}
