//! One form of a path, for rules and for backends; and which route a request takes.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::runner::Fact;
use proxy_tests::web::{self, Answer, curl};
use proxy_tests::world::{Family, World};
use proxy_tests::{facts, nginx};

pub(crate) const FACTS: &[Fact] = facts![
    no_spelling_of_a_path_passes_by_a_rule,
    a_backend_sees_the_path_that_was_matched,
    explanations_say_what_happens,
    a_check_warns_of_routes_that_can_never_match,
];

/// HTTP/1.1 and HTTP/2.
const VERSIONS: [&str; 2] = ["--http1.1", "--http2-prior-knowledge"];

fn config(world: &World, lines: &str) -> String {
    let bind = world.service(Family::V4);
    web::text(world, &format!("[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n{lines}"))
}

fn ask(world: &World, version: &str, path: &str) -> Result<Answer> {
    let url = format!("http://{}{path}", world.service(Family::V4));
    curl(world.client(), &[version, "--path-as-is", "--globoff", &url])
}

fn no_spelling_of_a_path_passes_by_a_rule() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let routes = "[[route]]\nname = \"open\"\npath = \"/\"\nrespond = { status = 200, body = \"open\" }\n\
        [[route]]\nname = \"closed\"\npath = \"/admin\"\nrespond = { status = 403, body = \"closed\" }\n";
    let _daemon = Daemon::start(&world, &config(&world, routes))?;
    for (path, status) in [
        ("/", 200),
        ("/public", 200),
        ("/administrator", 200),
        ("/group%2Fproject", 200),
        ("/a%252F..%252Fadmin", 200),
        ("/admin", 403),
        ("/admin/", 403),
        ("/admin?x", 403),
        ("/admin/x%2Fy", 403),
        ("//admin", 403),
        ("/./admin", 403),
        ("/public/../admin/x", 403),
        ("/public/%2e%2E/admin", 403),
        ("/public//..//admin", 403),
        ("/%61dmin", 403),
        ("/ad%6Din/x", 403),
        // A server may read these as /admin.
        ("/admin%2Fx", 404),
        ("/admin%5cx", 404),
        ("/%2Fadmin", 404),
        ("/public%2f..%2fadmin", 400),
        ("/public/..%2Fadmin", 400),
        ("/public/..%5Cadmin", 400),
        ("/public/..;/admin", 400),
        ("/public/..;x=y/admin", 400),
        ("/%c0%ae%c0%ae/admin", 400),
        ("/../admin", 400),
        ("/public/%2e%2e/%2e%2e/admin", 400),
        ("/admin%00", 400),
        ("/admin%0d%0aX:y", 400),
        ("/admin%", 400),
        ("/admin%zz", 400),
        ("/public\\..\\admin", 400),
    ] {
        for version in VERSIONS {
            let answer = ask(&world, version, path)?;
            ensure!(answer.status == status, "{version} {path}: {} is not {status}", answer.status);
        }
    }
    Ok(())
}

fn a_backend_sees_the_path_that_was_matched() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let address = SocketAddr::new(world.backend_address(Family::V4, 0), 8090);
    let server = format!("server {{ listen {address}; location / {{ return 200 \"$request_uri\"; }} }}");
    let _nginx = nginx::start(&world.backends[0].namespace, &world.folder(), "nginx", &server)?;
    let _daemon = Daemon::start(&world, &web::simple(&world, world.service(Family::V4), &[address]))?;
    for (path, seen) in [
        ("/a//b/./c/../d?e=//./%zz", "/a/b/d?e=//./%zz"),
        ("/%7Euser/%c3%a4%2fx", "/~user/%C3%A4%2Fx"),
        ("/a|b[c]", "/a%7Cb%5Bc%5D"),
        ("/a/b/..", "/a/"),
        ("/a;b=c,d+e@f:g", "/a;b=c,d+e@f:g"),
        ("/?", "/?"),
    ] {
        for version in VERSIONS {
            let answer = ask(&world, version, path)?;
            ensure!((answer.status, answer.text().as_str()) == (200, seen), "{version} {path}: {answer:?}");
        }
    }
    Ok(())
}

fn explanations_say_what_happens() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let rules = [
        "host = \"a.test\"\npath = \"/api\"",
        "host = \"a.test\"\npath_exact = \"/api/x\"\nmethod = \"POST\"",
        "host = [\"*.test\", \"*.a.test\"]\nheader = { x-canary = true }",
        "host = \"a.test\"\npath_regex = '^/v[0-9]+/'",
        "path = \"/api/x\"\nquery = { debug = \"1\" }",
        "client_ip = \"192.0.2.0/24\"",
        "",
    ];
    let routes: String = (0..)
        .zip(rules)
        .map(|(number, rule)| {
            format!("[[route]]\nname = \"r{number}\"\nrespond = {{ status = 200, body = \"r{number}\" }}\n{rule}\n")
        })
        .collect();
    let daemon = Daemon::start(&world, &config(&world, &routes))?;
    let service = world.service(Family::V4);
    for (host, path, field, method) in [
        ("a.test", "/api", "x: y", "GET"),
        ("A.test:80", "//api/./x?a", "x: y", "POST"),
        ("b.a.test", "/api/x", "x-canary: no", "GET"),
        ("a.test", "/v12/x", "x: y", "GET"),
        ("a.test", "/v12", "x: y", "GET"),
        ("c.example", "/api/x?debug=%31", "x: y", "PUT"),
        ("c.example", "/api/x?debug=2", "x: y", "GET"),
        ("c.example", "/api%2Fx?debug=1", "x: y", "GET"),
    ] {
        let url = format!("http://{service}{path}");
        let host = format!("host: {host}");
        let words = ["--path-as-is", "--request", method, "--header", &host, "--header", field, &url];
        let answer = curl(world.client(), &words)?;
        let client = world.client_address(Family::V4, 0).to_string();
        let asked =
            ["explain", &url, "--method", method, "--header", &host, "--header", field, "--client", &client];
        let said = daemon.json(&asked)?;
        let happened = if answer.status == 404 { None } else { Some(answer.text()) };
        ensure!(said["route"].as_str() == happened.as_deref(), "{words:?}: {answer:?}, and said was {said}");
        let taken = said["considered"].as_array().context("nothing was considered")?;
        let taken = taken.iter().filter(|one| one["verdict"] == "taken").count();
        ensure!(taken == usize::from(happened.is_some()), "{said}");
    }
    Ok(())
}

fn a_check_warns_of_routes_that_can_never_match() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let daemon = Daemon::prepare(
        &world,
        &config(
            &world,
            "[[route]]\npath = \"/a\"\nrespond = { status = 200 }\n\
             [[route]]\nname = \"dead\"\npath_regex = '^/a/b'\nrespond = { status = 200 }\n",
        ),
    )?;
    let file = daemon.config_path().display().to_string();
    let said = daemon.json(&["check", &file])?;
    let message = said["diagnostics"][0]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("route dead can never match"), "{said}");
    Ok(())
}
