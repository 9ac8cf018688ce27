//! HTTP through the daemon: curl and h2load before it, nginx and our own servers behind it.

/// What is seen of requests from outside.
pub(crate) mod seen;

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::program::{self, Program};
use proxy_tests::runner::{Fact, figure};
use proxy_tests::server::{self, Server};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, Answer, curl};
use proxy_tests::world::{Family, World};
use proxy_tests::{facts, nginx};

pub(crate) const FACTS: &[Fact] = facts![
    nginx_behind_and_curl_before_see_each_other,
    what_nginx_says_of_a_file_arrives_as_it_is,
    large_bodies_arrive_whole_both_ways,
    a_client_that_waits_for_100_gets_it_from_the_backend,
    h2load_loses_no_request_by_http1_nor_http2,
    requests_go_where_their_route_says,
    middleware_does_what_it_says,
    unix_sockets_are_spoken_to_and_listened_at,
    the_proxy_protocol_tells_who_the_client_is,
    what_an_unknown_proxy_says_of_the_client_is_not_believed,
    a_dead_backend_costs_no_request,
    no_backend_is_said_with_503_or_502,
    bad_requests_get_the_status_that_the_rfc_names,
];

/// nginx in the namespace of backend 0, and where it listens.
fn nginx_in(world: &World, http: &str) -> Result<(Program, SocketAddr)> {
    let address = SocketAddr::new(world.backend_address(Family::V4, 0), 8090);
    let http = http.replace("@ADDRESS@", &address.to_string());
    let nginx = nginx::start(&world.backends[0].namespace, &world.folder(), "nginx", &http)?;
    Ok((nginx, address))
}

fn url(world: &World, path: &str) -> String {
    format!("http://{}{path}", world.service(Family::V4))
}

/// A world, its daemon's configuration with these routes and pools behind a listener `web` at the service's address.
fn config(world: &World, lines: &str) -> String {
    let bind = world.service(Family::V4);
    web::text(world, &format!("[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n{lines}"))
}

fn nginx_behind_and_curl_before_see_each_other() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let say = "server { listen @ADDRESS@; location / { add_header X-Seen \
        \"$request_method|$request_uri|$http_host|$http_x_forwarded_for|$http_x_forwarded_proto|$http_connection\"; \
        return 200 \"hello $server_protocol\\n\"; } }";
    let (_nginx, address) = nginx_in(&world, say)?;
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[address]))?;
    let client = world.client_address(Family::V4, 0);
    for version in ["--http1.1", "--http1.0", "--http2-prior-knowledge"] {
        let words = [version, "--header", "Host: app.test", "--header", "X-Forwarded-For: 9.9.9.9"];
        let answer = curl(world.client(), &[&words[..], &[&url(&world, "/a/b?c=d")]].concat())?;
        ensure!((answer.status, answer.text()) == (200, "hello HTTP/1.1\n".into()), "{version}: {answer:?}");
        let seen = answer.field("x-seen").context("no X-Seen")?;
        let wanted = format!("GET|/a/b?c=d|app.test|{client}|http|");
        ensure!(seen.starts_with(&wanted), "{version}: {seen} is not {wanted}");
        ensure!(answer.field("via").is_some(), "{version}: {}", answer.heads);
    }
    Ok(())
}

fn what_nginx_says_of_a_file_arrives_as_it_is() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    fs::create_dir_all(world.folder().join("nginx"))?;
    fs::write(world.folder().join("nginx/file"), server::pattern(100_000))?;
    let (_nginx, address) = nginx_in(
        &world,
        "server { listen @ADDRESS@; location / { root @DIR@; } location = /empty { return 204; } }",
    )?;
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[address]))?;
    let file = url(&world, "/file");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let ask = |words: &[&str]| curl(world.client(), &[&[version], words].concat());
        let whole = ask(&[&file])?;
        ensure!(whole.status == 200 && whole.body == server::pattern(100_000), "{version}: {}", whole.heads);
        let tag = whole.field("etag").context("no ETag")?;
        let part = ask(&["--range", "10-19", &file])?;
        ensure!(part.status == 206 && part.body == whole.body[10..20], "{version}: {part:?}");
        let head = ask(&["--head", &file])?;
        ensure!(head.status == 200 && head.body.is_empty(), "{version}: {head:?}");
        ensure!(head.field("content-length") == Some("100000"), "{version}: {}", head.heads);
        let same = ask(&["--header", &format!("If-None-Match: {tag}"), &file])?;
        ensure!(same.status == 304 && same.body.is_empty(), "{version}: {same:?}");
        let empty = ask(&[&url(&world, "/empty")])?;
        ensure!(empty.status == 204 && empty.body.is_empty(), "{version}: {empty:?}");
        let missing = ask(&[&url(&world, "/nothing")])?;
        ensure!(missing.status == 404 && missing.text().contains("nginx"), "{version}: {missing:?}");
    }
    Ok(())
}

fn large_bodies_arrive_whole_both_ways() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let backend = world.backend(Family::V4, 0);
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[backend]))?;
    let body = server::pattern(20_000_000);
    let file = world.folder().join("body");
    fs::write(&file, &body)?;
    let data = format!("@{}", file.display());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(world.client(), &[version, "--data-binary", &data, &url(&world, "/echo")])?;
        ensure!(answer.status == 200 && answer.body == body, "{version}: {} bytes", answer.body.len());
        let answer = curl(world.client(), &[version, &url(&world, "/bytes/30000000")])?;
        ensure!(answer.body == server::pattern(30_000_000), "{version}: {} bytes", answer.body.len());
    }
    Ok(())
}

fn a_client_that_waits_for_100_gets_it_from_the_backend() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    // nginx says 100 when it begins to read a body, and 413 instead where it is too large.
    let (_nginx, address) = nginx_in(
        &world,
        "client_max_body_size 1m; server { listen @ADDRESS@; location / { proxy_pass http://127.0.0.1:8091; } } \
         server { listen 127.0.0.1:8091; location / { return 200 \"got $content_length\"; } }",
    )?;
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[address]))?;
    for (bytes, status) in [(100_000, 200), (2_000_000, 413)] {
        let file = world.folder().join("body");
        fs::write(&file, vec![b'x'; bytes])?;
        let data = format!("@{}", file.display());
        let words = ["--http1.1", "--header", "Expect: 100-continue", "--expect100-timeout", "20"];
        let to = url(&world, "/");
        let words = [&words[..], &["--data-binary", &data, &to]].concat();
        let answer = curl(world.client(), &words)?;
        ensure!(answer.status == status, "{bytes}: {answer:?}");
        ensure!(answer.heads.contains(" 100 ") == (status == 200), "{}", answer.heads);
    }
    Ok(())
}

fn h2load_loses_no_request_by_http1_nor_http2() -> Result<()> {
    let world = World::routed().backends(3).build()?;
    let backends: Vec<_> = (0..3).map(|number| world.backend(Family::V4, number)).collect();
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &backends))?;
    let to = url(&world, "/");
    let large = url(&world, "/bytes/50000");
    for words in [
        &["--h1", "-n", "10000", "-c", "50", &to][..],
        &["-n", "10000", "-c", "10", "-m", "20", &to],
        &["-n", "1000", "-c", "4", "-m", "50", &large],
        &["--h1", "-n", "1000", "-c", "20", &large],
    ] {
        let said = program::succeed(world.client(), program::command(&["h2load"]).args(words))?;
        let line = said.lines().find(|line| line.starts_with("requests:")).context("no requests")?;
        figure(&format!("{}: {line}", words.join(" ")));
        ensure!(line.contains(" 0 failed, 0 errored, 0 timeout"), "{said}");
        let statuses = said.lines().find(|line| line.starts_with("status codes:")).unwrap_or_default();
        ensure!(statuses.contains(" 0 3xx, 0 4xx, 0 5xx"), "{said}");
    }
    Ok(())
}

fn requests_go_where_their_route_says() -> Result<()> {
    let world = World::routed().build()?;
    let pools: String = (0..3)
        .map(|number| format!("[pool.p{number}]\nbackends = [\"{}\"]\n", world.backend(Family::V4, number)))
        .collect();
    let routes = [
        "host = \"a.test\"\npool = \"p0\"",
        "host = \"*.a.test\"\npool = \"p1\"",
        "host = \"a.test\"\npath = \"/api/\"\npool = \"p1\"",
        "host = \"a.test\"\npath_exact = \"/api/exact\"\npool = \"p2\"",
        "host = \"a.test\"\nmethod = \"DELETE\"\npool = \"p2\"",
        "host = \"a.test\"\nheader = { x-canary = \"yes\" }\npool = \"p2\"",
        "host = \"r.test\"\nredirect = \"https://{host}{uri}\"",
        "host = \"s.test\"\nrespond = { status = 418, body = \"short and stout\\n\" }",
    ];
    let routes: String = routes.iter().map(|route| format!("[[route]]\n{route}\n")).collect();
    let _daemon = Daemon::start(&world, &config(&world, &format!("{routes}{pools}")))?;
    let ask = |host: &str, path: &str, words: &[&str]| -> Result<Answer> {
        let host = format!("Host: {host}");
        curl(world.client(), &[&["--path-as-is", "--header", &host, &url(&world, path)], words].concat())
    };
    for (host, path, words, server) in [
        ("a.test", "/", &[][..], "b0"),
        ("A.TEST:80", "/", &[], "b0"),
        ("x.a.test", "/", &[], "b1"),
        ("a.test", "/api/x", &[], "b1"),
        ("a.test", "/x/../api/./x", &[], "b1"),
        ("a.test", "/%61pi/x", &[], "b1"),
        ("a.test", "/api/exact", &[], "b2"),
        ("a.test", "/", &["--request", "DELETE"], "b2"),
        ("a.test", "/", &["--header", "X-Canary: yes"], "b2"),
    ] {
        let answer = ask(host, path, words)?;
        ensure!(answer.field("server-name") == Some(server), "{host} {path} {words:?}: {answer:?}");
    }
    let answer = ask("r.test", "/x?y=z", &[])?;
    ensure!((answer.status, answer.field("location")) == (308, Some("https://r.test/x?y=z")), "{answer:?}");
    let answer = ask("s.test", "/", &[])?;
    ensure!((answer.status, answer.text().as_str()) == (418, "short and stout\n"), "{answer:?}");
    ensure!(ask("nobody.test", "/", &[])?.status == 404);
    Ok(())
}

fn middleware_does_what_it_says() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (_nginx, address) = nginx_in(
        &world,
        "server { listen @ADDRESS@; default_type text/plain; location / { \
            add_header X-Got \"$request_uri|$http_x_set|$http_x_gone\"; return 200 \"$request_uri @LONG@\"; } }"
            .replace("@LONG@", &"abcdefgh ".repeat(400))
            .as_str(),
    )?;
    let lines = format!(
        "[[route]]\nhost = \"h.test\"\nrequest_headers = {{ set = {{ x-set = \"{{client_ip}}\" }}, remove = [\"x-gone\"] }}\n\
         response_headers = {{ add = {{ x-added = \"yes\" }} }}\npool = \"app\"\n\
         [[route]]\nhost = \"p.test\"\nstrip_prefix = \"/old\"\npool = \"app\"\n\
         [[route]]\nhost = \"c.test\"\ncompress = [\"gzip\", \"br\", \"zstd\"]\npool = \"app\"\n\
         [[route]]\nhost = \"d.test\"\ndeny = [\"192.0.2.0/24\"]\npool = \"app\"\n\
         [[route]]\nhost = \"m.test\"\nmax_body = 1000\npool = \"app\"\n\
         [pool.app]\nbackends = [\"{address}\"]\n"
    );
    let _daemon = Daemon::start(&world, &config(&world, &lines))?;
    let ask = |host: &str, path: &str, words: &[&str]| -> Result<Answer> {
        let host = format!("Host: {host}");
        curl(world.client(), &[&["--header", &host, &url(&world, path)], words].concat())
    };
    let answer = ask("h.test", "/", &["--header", "X-Gone: here", "--header", "X-Set: 6.6.6.6"])?;
    let client = world.client_address(Family::V4, 0);
    ensure!(answer.field("x-got") == Some(format!("/|{client}|").as_str()), "{answer:?}");
    ensure!(answer.field("x-added") == Some("yes"), "{answer:?}");
    let answer = ask("p.test", "/old/x?y", &[])?;
    ensure!(answer.field("x-got") == Some("/x?y||"), "{answer:?}");
    let plain = ask("c.test", "/", &[])?;
    ensure!(plain.field("content-encoding").is_none(), "{}", plain.heads);
    for coding in ["gzip", "br"] {
        // curl undoes what it knows; that it was done is said by the field.
        let answer =
            ask("c.test", "/", &["--compressed", "--header", &format!("Accept-Encoding: {coding}")])?;
        ensure!(answer.field("content-encoding") == Some(coding), "{}", answer.heads);
        ensure!(answer.body == plain.body, "{coding}: {} bytes", answer.body.len());
    }
    ensure!(ask("d.test", "/", &[])?.status == 403);
    ensure!(ask("m.test", "/", &["--data", &"x".repeat(1000)])?.status == 200);
    ensure!(ask("m.test", "/", &["--data", &"x".repeat(1001)])?.status == 413);
    Ok(())
}

fn unix_sockets_are_spoken_to_and_listened_at() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let (theirs, ours) = (world.folder().join("backend.sock"), world.folder().join("web.sock"));
    let http = format!(
        "server {{ listen unix:{}; location / {{ return 200 \"by a socket\\n\"; }} }}",
        theirs.display()
    );
    let _nginx = nginx::start(&world.balancer, &world.folder(), "nginx", &http)?;
    let lines = format!(
        "[listener.web]\nbind = [\"unix:{}\"]\nprotocol = \"http\"\n\
         [[route]]\npool = \"app\"\n[pool.app]\nbackends = [\"unix:{}\"]\n",
        ours.display(),
        theirs.display()
    );
    let _daemon = Daemon::start(&world, &web::text(&world, &lines))?;
    let socket = ours.display().to_string();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(&world.balancer, &[version, "--unix-socket", &socket, "http://app.test/"])?;
        ensure!((answer.status, answer.text().as_str()) == (200, "by a socket\n"), "{version}: {answer:?}");
    }
    Ok(())
}

/// curl → HAProxy (adds a header of the PROXY protocol) → the daemon (adds another) → nginx.
fn the_proxy_protocol_tells_who_the_client_is() -> Result<()> {
    for (haproxy, ours) in [("send-proxy", "v1"), ("send-proxy-v2", "v2")] {
        let world = World::routed().backends(1).build()?;
        let (_nginx, address) = nginx_in(
            &world,
            "server { listen @ADDRESS@ proxy_protocol; location / { \
             return 200 \"$proxy_protocol_addr|$http_x_forwarded_for\"; } }",
        )?;
        let lines = format!(
            "proxy_protocol = true\ntrusted_proxies = [\"{}\"]\n\
             [[route]]\npool = \"app\"\n[pool.app]\nbackends = [\"{address}\"]\nsend_proxy_protocol = \"{ours}\"\n",
            world.balancer_address(Family::V4)
        );
        let _daemon = Daemon::start(&world, &config(&world, &lines))?;
        let before = SocketAddr::new(world.balancer_address(Family::V4), 8088);
        let text = format!(
            "defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\n\
             listen before\n    bind {before}\n    server one {} {haproxy}\n",
            world.service(Family::V4)
        );
        let file = world.folder().join("haproxy.cfg");
        fs::write(&file, text)?;
        let command = program::command(&["haproxy", "-db", "-f", &file.display().to_string()]);
        let mut running = Program::start(&world.balancer, &world.folder(), "haproxy", command)?;
        running.wait_for(&world.balancer, before)?;
        let client = world.client_address(Family::V4, 0);
        for version in ["--http1.1", "--http2-prior-knowledge"] {
            let answer = curl(world.client(), &[version, &format!("http://{before}/")])?;
            ensure!(answer.text() == format!("{client}|{client}"), "{haproxy} {version}: {answer:?}");
        }
        // Who does not begin with the header is not served.
        let direct = curl(world.client(), &[&url(&world, "/")]);
        ensure!(direct.as_ref().map_or(true, |answer| answer.status == 400), "{direct:?}");
    }
    Ok(())
}

fn what_an_unknown_proxy_says_of_the_client_is_not_believed() -> Result<()> {
    let world = World::routed().backends(1).clients(2).build()?;
    let (_nginx, address) = nginx_in(
        &world,
        "server { listen @ADDRESS@; location / { return 200 \"$http_x_forwarded_for|$http_x_forwarded_proto\"; } }",
    )?;
    let trusted = world.client_address(Family::V4, 0);
    let lines = format!(
        "trusted_proxies = [\"{trusted}\"]\n[[route]]\npool = \"app\"\n[pool.app]\nbackends = [\"{address}\"]\n"
    );
    let _daemon = Daemon::start(&world, &config(&world, &lines))?;
    let words = ["--header", "X-Forwarded-For: 198.51.100.7", "--header", "X-Forwarded-Proto: https"];
    let to = url(&world, "/");
    let words = [&words[..], &[&to]].concat();
    let answer = curl(&world.clients[0], &words)?;
    ensure!(answer.text() == format!("198.51.100.7, {trusted}|https"), "{answer:?}");
    let answer = curl(&world.clients[1], &words)?;
    let unknown = world.client_address(Family::V4, 1);
    ensure!(answer.text() == format!("{unknown}|http"), "{answer:?}");
    Ok(())
}

/// A server of our own that says `name`, in the namespace of backend 0.
fn server_at(world: &World, name: &str, port: u16) -> Result<(Server, SocketAddr)> {
    let address = SocketAddr::new(world.backend_address(Family::V4, 0), port);
    let mut server = Server::new(name);
    server.http(&world.backends[0].namespace, address)?;
    Ok((server, address))
}

fn a_dead_backend_costs_no_request() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (_a, first) = server_at(&world, "a", 8101)?;
    let (mut b, second) = server_at(&world, "b", 8102)?;
    let (_c, third) = server_at(&world, "c", 8103)?;
    let backends = [first, second, third];
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &backends))?;
    let who = || -> Result<BTreeSet<String>> {
        let ask = |_| {
            let answer = curl(world.client(), &[&url(&world, "/")])?;
            ensure!(answer.status == 200, "{answer:?}");
            Ok(answer.field("server-name").unwrap_or_default().to_owned())
        };
        (0..12).map(ask).collect()
    };
    ensure!(who()?.len() == 3);
    b.stop();
    for _ in 0..3 {
        let answering = who()?;
        ensure!(!answering.contains("b") && answering.len() == 2, "{answering:?}");
    }
    let (_again, _) = server_at(&world, "b", 8102)?;
    until("the one that came back is asked again", SOON * 3, || {
        let answering = who()?;
        ensure!(answering.contains("b"), "{answering:?}");
        Ok(())
    })
}

fn no_backend_is_said_with_503_or_502() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let nobody = SocketAddr::new(world.backend_address(Family::V4, 0), 8101);
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[nobody]))?;
    let to = url(&world, "/");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = curl(world.client(), &[version, &to])?;
        ensure!([502, 503].contains(&answer.status), "{version}: {answer:?}");
        // Without a body: curl takes it ill when its stream is over before it has sent one.
        let grpc = [version, "--header", "Content-Type: application/grpc", "--request", "POST", &to];
        let answer = curl(world.client(), &grpc)?;
        ensure!((answer.status, answer.field("grpc-status")) == (200, Some("14")), "{version}: {answer:?}");
    }
    Ok(())
}

fn bad_requests_get_the_status_that_the_rfc_names() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let backend = world.backend(Family::V4, 0);
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[backend]))?;
    let long = format!("X-Long: {}", "x".repeat(70_000));
    let fields: Vec<String> = (0..120).map(|number| format!("X-{number}: y")).collect();
    let fields: Vec<&str> = fields.iter().flat_map(|field| ["--header", field.as_str()]).collect();
    let path = url(&world, &format!("/{}", "x".repeat(20_000)));
    let to = url(&world, "/");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        // curl itself sends no larger list by HTTP/2.
        let long = if version == "--http1.1" { long.as_str() } else { "X-Short: x" };
        let too_long = if version == "--http1.1" { 431 } else { 200 };
        for (status, words) in [
            (too_long, [&["--header", long, &to][..], &[]].concat()),
            (431, [&fields[..], &[&to]].concat()),
            (414, vec![path.as_str()]),
            (400, vec!["--header", "Host: a b", &to]),
            (400, vec!["--path-as-is", &url(&world, "/%00")]),
            (400, vec!["--path-as-is", &url(&world, "/%zz")]),
        ] {
            let answer = curl(world.client(), &[&[version], &words[..]].concat());
            let shown = words.join(" ").chars().take(60).collect::<String>();
            // HTTP/2 may refuse a malformed request by resetting its stream (RFC 9113 §8.1.1).
            let reset = version != "--http1.1" && status == 400 && answer.is_err();
            ensure!(
                reset || answer.as_ref().is_ok_and(|answer| answer.status == status),
                "{version} {shown}: {answer:?}"
            );
        }
    }
    Ok(())
}
