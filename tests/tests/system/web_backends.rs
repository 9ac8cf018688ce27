//! How backends are reached: by TLS, by names that change, and from which worker.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::program::Program;
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, Answer, curl};
use proxy_tests::world::{Family, World};
use proxy_tests::{facts, nginx};

use crate::issuer::Ca;

pub(crate) const FACTS: &[Fact] = facts![
    a_backend_by_tls_is_who_its_certificate_says_or_is_not_spoken_to,
    a_backend_by_tls_chooses_what_is_spoken,
    a_backend_that_wants_our_certificate_gets_it,
    the_proxy_protocol_comes_before_tls_and_sessions_go_on,
    an_https_check_goes_by_its_pools_trust,
];

/// Where nginx waits, beside the daemon.
const BACKEND: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 17843);

/// nginx by TLS, and the CA that its certificate is of.
struct Secured<'w> {
    world: &'w World,
    ca: Ca,
    _nginx: Program,
}

impl<'w> Secured<'w> {
    /// `listen` and `lines` stand in its server.
    fn start(world: &'w World, listen: &str, lines: &str) -> Result<Self> {
        let ca = Ca::new(&world.folder().join("certs"), "ca")?;
        ca.issue("backend", &["backend.test", "127.0.0.1"])?;
        ca.issue("proxy", &["proxy.test"])?;
        Ca::new(&world.folder().join("strangers"), "ca")?;
        let server = format!(
            "server {{ listen {BACKEND} ssl {listen}; ssl_certificate {}; ssl_certificate_key {}; {} \
             location / {{ return 200 \"$server_protocol|$ssl_session_reused|$ssl_client_verify|\
             $proxy_protocol_addr|$ssl_server_name\"; }} }}",
            ca.path("backend.crt"),
            ca.path("backend.key"),
            lines.replace("@CA@", &ca.path("ca.pem"))
        );
        let nginx = nginx::start(&world.balancer, &world.folder(), "nginx", &server)?;
        Ok(Self { world, ca, _nginx: nginx })
    }

    /// A configuration whose pool has these lines.
    fn config(&self, pool: &str) -> String {
        let bind = self.world.service(Family::V4);
        let pool = pool
            .replace("@CA@", &self.ca.path("ca.pem"))
            .replace("@STRANGER@", &self.world.folder().join("strangers/ca.pem").display().to_string())
            .replace("@CERT@", &self.ca.path("proxy.crt"))
            .replace("@KEY@", &self.ca.path("proxy.key"));
        web::text(
            self.world,
            &format!(
                "[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n[[route]]\npool = \"app\"\n\
                 [pool.app]\nbackends = [\"{BACKEND}\"]\n{pool}\n"
            ),
        )
    }

    fn ask(&self) -> Result<Answer> {
        curl(self.world.client(), &[&format!("http://{}/", self.world.service(Family::V4))])
    }

    /// What nginx says of a request, part by part.
    fn seen(&self) -> Result<Vec<String>> {
        let answer = self.ask()?;
        ensure!(answer.status == 200, "{answer:?}");
        Ok(answer.text().split('|').map(str::to_owned).collect())
    }

    /// How often an answer of the daemon's own had this cause.
    fn refusals(&self, cause: &str) -> Result<u64> {
        let socket = self.world.folder().join("admin.sock").display().to_string();
        let metrics =
            curl(&self.world.balancer, &["--unix-socket", &socket, "http://localhost/metrics"])?.text();
        let line = format!("proxy_now_refusals_total{{cause=\"{cause}\"}} ");
        let value = metrics.lines().find_map(|one| one.strip_prefix(&line)).context("no such metric")?;
        Ok(value.parse()?)
    }
}

fn a_backend_by_tls_is_who_its_certificate_says_or_is_not_spoken_to() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let secured = Secured::start(&world, "", "")?;
    let daemon = Daemon::start(&world, &secured.config("tls = { ca = \"@CA@\" }"))?;
    ensure!(secured.seen()?[0] == "HTTP/1.1");
    for (number, tls) in
        ["tls = true", "tls = { ca = \"@STRANGER@\" }", "tls = { ca = \"@CA@\", sni = \"other.test\" }"]
            .iter()
            .enumerate()
    {
        daemon.write_config(&secured.config(tls))?;
        daemon.cli(&["reload"])?;
        let answer = secured.ask()?;
        ensure!(answer.status == 502, "{tls}: {answer:?}");
        let refused = secured.refusals("backend_certificate")?;
        ensure!(refused == number as u64 + 1, "{tls}: {refused}");
    }
    for tls in ["tls = { verify = false }", "tls = { ca = \"@CA@\", sni = \"backend.test\" }"] {
        daemon.write_config(&secured.config(tls))?;
        daemon.cli(&["reload"])?;
        let seen = secured.seen()?;
        ensure!((seen[4] == "backend.test") == tls.contains("sni"), "{tls}: {seen:?}");
    }
    Ok(())
}

fn a_backend_by_tls_chooses_what_is_spoken() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let secured = Secured::start(&world, "http2", "")?;
    let daemon = Daemon::start(&world, &secured.config("tls = { ca = \"@CA@\" }"))?;
    for _ in 0..3 {
        ensure!(secured.seen()?[0] == "HTTP/2.0", "{:?}", secured.seen()?);
    }
    daemon.write_config(&secured.config("protocol = \"http1\"\ntls = { ca = \"@CA@\" }"))?;
    daemon.cli(&["reload"])?;
    ensure!(secured.seen()?[0] == "HTTP/1.1", "{:?}", secured.seen()?);
    Ok(())
}

fn a_backend_that_wants_our_certificate_gets_it() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let wants = "ssl_client_certificate @CA@; ssl_verify_client on;";
    let secured = Secured::start(&world, "", wants)?;
    let without = secured.config("tls = { ca = \"@CA@\" }");
    let daemon = Daemon::start(&world, &without)?;
    // nginx does not break the handshake off: it answers.
    let answer = secured.ask()?;
    ensure!(answer.status == 400 && answer.text().contains("No required SSL certificate"), "{answer:?}");
    let with = "tls = { ca = \"@CA@\", client_cert = \"@CERT@\", client_key = \"@KEY@\" }";
    daemon.write_config(&secured.config(with))?;
    daemon.cli(&["reload"])?;
    ensure!(secured.seen()?[2] == "SUCCESS", "{:?}", secured.seen()?);
    Ok(())
}

fn the_proxy_protocol_comes_before_tls_and_sessions_go_on() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let secured = Secured::start(&world, "proxy_protocol", "ssl_session_cache shared:s:1m;")?;
    let pool = "send_proxy_protocol = \"v2\"\ntls = { ca = \"@CA@\" }";
    let _daemon = Daemon::start(&world, &secured.config(pool))?;
    let client = world.client_address(Family::V4, 0).to_string();
    for reused in [".", "r", "r"] {
        // Each request has a connection of its own.
        let seen = secured.seen()?;
        ensure!(seen[3] == client && seen[1] == reused, "{seen:?}");
    }
    Ok(())
}

fn an_https_check_goes_by_its_pools_trust() -> Result<()> {
    let world = World::routed().backends(0).build()?;
    let secured = Secured::start(&world, "", "")?;
    let pool = |ca: &str| {
        secured.config(&format!(
            "tls = {{ ca = \"{ca}\" }}\nhealth = {{ https = \"/\", interval = \"100ms\", rise = 1, fall = 1 }}"
        ))
    };
    let daemon = Daemon::start(&world, &pool("@CA@"))?;
    let health = || -> Result<serde_json::Value> {
        let status = daemon.json(&["status"])?;
        Ok(status["pools"][0]["backends"][0]["health"].clone())
    };
    let checked = |wanted: &str| {
        until("the check has seen it", SOON, || {
            let health = health()?;
            ensure!(health["word"] == wanted, "{health}");
            Ok(())
        })
    };
    checked("up")?;
    ensure!(secured.ask()?.status == 200);
    daemon.write_config(&pool("@STRANGER@"))?;
    daemon.cli(&["reload"])?;
    checked("down")?;
    ensure!(secured.ask()?.status == 503, "{:?}", secured.ask()?);
    daemon.write_config(&pool("@CA@"))?;
    daemon.cli(&["reload"])?;
    checked("up")?;
    Ok(())
}
