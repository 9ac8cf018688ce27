//! How backends are reached: by TLS, by names that change, and from which worker.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::program::{self, Program};
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
    requests_follow_a_name_to_its_new_address,
    a_client_is_served_by_the_worker_of_its_packets_cpu,
    clients_are_steered_to_the_workers_of_the_daemon_that_took_over,
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

/// A name server that gives each name this address, for a second.
fn name_server(world: &World, address: &Arc<AtomicU32>) -> Result<()> {
    let socket = world.balancer.enter(|| UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)))??;
    let address = Arc::clone(address);
    // It ends with the process of the facts: nobody asks it once its world is gone.
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let answer = name_answer(&question[..length], address.load(Ordering::SeqCst));
            if answer.is_none_or(|answer| socket.send_to(&answer, from).is_err()) {
                return;
            }
        }
    });
    Ok(())
}

/// RFC 1035 §4.1: one address for a question of type A, none for others.
fn name_answer(question: &[u8], address: u32) -> Option<Vec<u8>> {
    let name = question.get(12..)?.iter().position(|&byte| byte == 0)? + 13;
    let wants_a = question.get(name..name + 2)? == [0, 1];
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(wants_a), 0, 0, 0, 0]);
    answer.extend(question.get(12..name + 4)?);
    if wants_a {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        answer.extend(address.to_be_bytes());
    }
    Some(answer)
}

fn requests_follow_a_name_to_its_new_address() -> Result<()> {
    let world = World::routed().backends(2).build()?;
    let at = |number| match world.backend_address(Family::V4, number) {
        IpAddr::V4(address) => Ok(u32::from(address)),
        IpAddr::V6(address) => bail!("{address} is no IPv4"),
    };
    let address = Arc::new(AtomicU32::new(at(0)?));
    name_server(&world, &address)?;
    let (bind, port) = (world.service(Family::V4), world.backend(Family::V4, 0).port());
    let lines = format!(
        "[listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\n[[route]]\npool = \"app\"\n\
         [pool.app]\nbackends = [\"app.test:{port}\"]\n"
    );
    let mut daemon = Daemon::prepare(&world, &web::text(&world, &lines))?;
    daemon.set_name_server(Ipv4Addr::LOCALHOST.into())?;
    daemon.run()?;
    for (number, name) in [(0, "b0"), (1, "b1"), (0, "b0")] {
        address.store(at(number)?, Ordering::SeqCst);
        until("requests go to where the name is now", SOON, || {
            let answer = curl(world.client(), &[&format!("http://{bind}/")])?;
            ensure!(answer.status == 200, "{answer:?}");
            ensure!(answer.field("server-name") == Some(name), "{answer:?}");
            Ok(())
        })?;
    }
    Ok(())
}

/// How often each worker has waited, by its number.
fn waits(pid: u32) -> Result<BTreeMap<usize, u64>> {
    let mut all = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let worker = field("Name:").and_then(|name| name.strip_prefix("worker-"));
        if let (Some(worker), Some(waits)) = (worker, field("voluntary_ctxt_switches:")) {
            all.insert(worker.parse()?, waits.parse()?);
        }
    }
    Ok(all)
}

fn a_client_is_served_by_the_worker_of_its_packets_cpu() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (bind, backend) = (world.service(Family::V4), world.backend(Family::V4, 0));
    let daemon = Daemon::start(&world, &web::simple(&world, bind, &[backend]))?;
    are_steered(&world, daemon.pid()?)
}

fn clients_are_steered_to_the_workers_of_the_daemon_that_took_over() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (bind, backend) = (world.service(Family::V4), world.backend(Family::V4, 0));
    let text = web::simple(&world, bind, &[backend]);
    // One worker, and so nothing to choose; then more of them; then more that others have chosen among before.
    let daemon = Daemon::start(&world, &format!("[server]\nworkers = 1\n{text}"))?;
    daemon.write_config(&text)?;
    let mut before = daemon.pid()?;
    for _ in 0..2 {
        daemon.cli(&["upgrade"])?;
        before = until("the new daemon answers", SOON, || {
            let status = daemon.json(&["status"])?;
            let pid = status["daemon"]["pid"].as_u64().context("no pid in the status")? as u32;
            ensure!(pid != before, "it is the old one");
            Ok(pid)
        })?;
        // The one before takes clients until it has heard of that.
        until("clients are steered", SOON * 3, || are_steered(&world, before))?;
    }
    Ok(())
}

/// Requests from each CPU reach the worker of that CPU.
fn are_steered(world: &World, pid: u32) -> Result<()> {
    let url = format!("http://{}/", world.service(Family::V4));
    let workers = waits(pid)?.len();
    ensure!(workers > 1, "one worker has no choice");
    for cpu in 0..workers {
        let before = waits(pid)?;
        for _ in 0..20 {
            // Over veth a packet comes in on the CPU of who sends it.
            let mut curl = program::command(&["taskset", "--cpu-list", &cpu.to_string(), "curl", "--silent"]);
            curl.args(["--fail", "--output", "/dev/null", &url]);
            program::succeed(world.client(), &mut curl)?;
        }
        let more: Vec<u64> = waits(pid)?.iter().map(|(worker, now)| now - before[worker]).collect();
        let others = more.iter().enumerate().filter(|(worker, _)| *worker != cpu).map(|(_, more)| more);
        ensure!(more[cpu] >= 20 && others.max() < Some(&(more[cpu] / 4)), "on CPU {cpu}: {more:?}");
    }
    Ok(())
}
