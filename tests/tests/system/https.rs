//! HTTPS: handshakes, what clients are told and backends are told, redirects, and the challenges of CAs.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::program::{self, Program};
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, Answer, curl};
use proxy_tests::world::{Family, World};

use crate::issuer::{Ca, s_client};

pub(crate) const FACTS: &[Fact] = facts![
    curl_is_served_by_both_versions_of_http_and_of_tls,
    bodies_of_many_records_arrive_whole_either_way,
    openssl_is_served_and_its_sessions_go_on,
    who_comes_without_tls_is_sent_to_https,
    a_connection_is_for_the_hosts_of_its_certificate,
    clients_show_certificates_where_they_are_asked_to,
    handshakes_are_counted_by_what_they_came_to,
    both_policies_are_what_mozilla_wants_them_to_be,
];

/// A listener for https at the service's address, and one for http beside it, before a server that says what it saw.
struct Front<'w> {
    world: &'w World,
    ca: Ca,
    secure: SocketAddr,
    plain: SocketAddr,
    _backend: Program,
    _daemon: Daemon<'w>,
}

const SECURE: u16 = 8443;

impl<'w> Front<'w> {
    /// `tls` stands in the https listener's table; `routes` come before the one that takes everything.
    fn start(world: &'w World, tls: &str, routes: &str) -> Result<Self> {
        let ca = Ca::new(&world.folder().join("certs"), "ca")?;
        ca.issue("a.test", &["a.test", "c.test"])?;
        ca.issue("b.test", &["b.test"])?;
        ca.issue("alice", &["alice.test"])?;
        let stranger = Ca::new(&world.folder().join("strangers"), "ca")?;
        stranger.issue("mallory", &["mallory.test"])?;
        let backend = SocketAddr::new(world.backend_address(Family::V4, 0), 8095);
        let http = format!(
            "server {{ listen {backend}; location / {{ default_type text/plain; return 200 \
             'proto=$http_x_forwarded_proto subject=$http_x_client_cert_subject cert=$http_client_cert'; }} \
             location /files/ {{ root @DIR@; dav_methods PUT; create_full_put_path on; client_max_body_size 0; }} }}"
        );
        let nginx = proxy_tests::nginx::start(&world.backends[0].namespace, &world.folder(), "nginx", &http)?;
        let plain = world.service(Family::V4);
        let secure = SocketAddr::new(plain.ip(), SECURE);
        let pairs: String = ["a.test", "b.test"]
            .iter()
            .map(|name| {
                let (cert, key) = (ca.path(&format!("{name}.crt")), ca.path(&format!("{name}.key")));
                format!("[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n\n")
            })
            .collect();
        let (routes, tls) =
            (routes.replace("@CA@", &ca.path("ca.pem")), tls.replace("@CA@", &ca.path("ca.pem")));
        let log = world.folder().join("requests.log");
        let lines = format!(
            "[access_log]\nto = {log:?}\n\n{pairs}[listener.plain]\nbind = [\"{plain}\"]\nprotocol = \"http\"\n\n\
             [listener.secure]\nbind = [\"{secure}\"]\nprotocol = \"https\"\n{tls}\n\n\
             {routes}[[route]]\nhost = [\"a.test\", \"b.test\", \"c.test\"]\ntls = \"files\"\npool = \"app\"\n\n\
             [pool.app]\nbackends = [\"{backend}\"]\n"
        );
        let daemon = Daemon::start(world, &web::text(world, &lines))?;
        Ok(Self { world, ca, secure, plain, _backend: nginx, _daemon: daemon })
    }

    /// Asks for a URL, whose host is at the service's address.
    fn ask(&self, url: &str, words: &[&str]) -> Result<Answer> {
        let ca = self.ca.path("ca.pem");
        let at = |host: &str| format!("{host}:{SECURE}:{}", self.secure.ip());
        let plain = |host: &str| format!("{host}:{}:{}", self.plain.port(), self.plain.ip());
        let resolved = ["a.test", "b.test", "c.test"].map(|host| (at(host), plain(host)));
        let mut all = vec!["--cacert", &ca];
        for (secure, plain) in &resolved {
            all.extend(["--resolve", secure, "--resolve", plain]);
        }
        all.extend(words);
        all.push(url);
        curl(self.world.client(), &all)
    }

    fn s_client(&self, words: &[&str], request: &str) -> Result<String> {
        let ca = self.ca.path("ca.pem");
        let words = [&["-CAfile", &ca, "-verify_return_error"], words].concat();
        s_client(self.world.client(), self.secure, &words, request)
    }
}

const A: &str = "https://a.test:8443/";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

fn curl_is_served_by_both_versions_of_http_and_of_tls() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, "hsts = true", "")?;
    for http in ["--http1.1", "--http2"] {
        for tls in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
            let answer = front.ask(A, &[&[http], tls].concat())?;
            let version = if http == "--http2" { "HTTP/2" } else { "HTTP/1.1" };
            ensure!(answer.status == 200 && answer.heads.starts_with(version), "{http} {tls:?}: {answer:?}");
            ensure!(answer.text().contains("proto=https"), "{}", answer.text());
            let hsts = answer.field("strict-transport-security");
            ensure!(hsts.is_some_and(|hsts| hsts.starts_with("max-age=")), "{answer:?}");
        }
    }
    Ok(())
}

fn bodies_of_many_records_arrive_whole_either_way() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, "", "")?;
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(|number| number.to_le_bytes()).collect();
    let file = world.folder().join("large");
    std::fs::write(&file, &bytes)?;
    for http in ["--http1.1", "--http2"] {
        for tls in ["1.2", "1.3"] {
            let url = format!("{A}files/{}-{tls}", &http[2..]);
            let words = [http, "--tls-max", tls];
            let put =
                front.ask(&url, &[&words[..], &["--upload-file", &file.display().to_string()]].concat())?;
            ensure!(put.status == 201, "{http} {tls}: {}", put.heads);
            let got = front.ask(&url, &words)?;
            ensure!(got.status == 200 && got.body == bytes, "{http} {tls}: {} bytes", got.body.len());
        }
    }
    Ok(())
}

fn openssl_is_served_and_its_sessions_go_on() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, "", "")?;
    let session = front.world.folder().join("session").display().to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let name = ["-servername", "a.test", version];
        let said = front.s_client(&[&name[..], &["-sess_out", &session]].concat(), REQUEST)?;
        ensure!(said.contains("HTTP/1.1 200") && said.contains("New, TLS"), "{said}");
        let said = front.s_client(&[&name[..], &["-sess_in", &session]].concat(), REQUEST)?;
        ensure!(said.contains("HTTP/1.1 200") && said.contains("Reused, TLS"), "{version}: {said}");
    }
    // A ClientHello in many records.
    let name = ["-servername", "a.test", "-max_send_frag", "512", "-split_send_frag", "512"];
    let alpn = format!("x{}", ",http/1.1,spdy".repeat(60));
    let said = front.s_client(&[&name[..], &["-alpn", &alpn]].concat(), REQUEST)?;
    ensure!(said.contains("ALPN protocol: http/1.1") && said.contains("HTTP/1.1 200"), "{said}");
    let said = front.s_client(&["-servername", "a.test", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], "")?;
    ensure!(said.contains("alert handshake failure") || said.contains("alert protocol version"), "{said}");
    Ok(())
}

fn who_comes_without_tls_is_sent_to_https() -> Result<()> {
    let alone = "[[route]]\nlistener = \"plain\"\nhost = \"a.test\"\npath = \"/plain\"\n\
                 respond = { status = 200, body = \"plain\" }\n\n";
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, "", alone)?;
    let port = front.plain.port();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let answer = front.ask(&format!("http://a.test:{port}/x%20y?z=1"), &[version])?;
        ensure!(answer.status == 308, "{answer:?}");
        let to = answer.field("location");
        ensure!(to == Some("https://a.test:8443/x%20y?z=1"), "{answer:?}");
        ensure!(answer.field("strict-transport-security").is_none(), "{answer:?}");
        // What is meant to be served without TLS is.
        let answer = front.ask(&format!("http://a.test:{port}/plain"), &[version])?;
        ensure!(answer.status == 200 && answer.text() == "plain", "{answer:?}");
    }
    let answer = front.ask(&format!("http://{}/", front.plain), &[])?;
    ensure!(answer.status == 404, "{answer:?}");
    // HTTP at the port of HTTPS.
    let answer = front.ask(&format!("http://a.test:{SECURE}/"), &[])?;
    ensure!(answer.status == 400 && answer.text().contains("https://"), "{answer:?}");
    Ok(())
}

fn a_connection_is_for_the_hosts_of_its_certificate() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, "", "")?;
    for version in ["--http1.1", "--http2"] {
        // The same certificate.
        let answer = front.ask(A, &[version, "--header", "Host: c.test"])?;
        ensure!(answer.status == 200, "{answer:?}");
        // Another's.
        let answer = front.ask(A, &[version, "--header", "Host: b.test"])?;
        ensure!(answer.status == 421, "{answer:?}");
    }
    Ok(())
}

fn clients_show_certificates_where_they_are_asked_to() -> Result<()> {
    let route = "[[route]]\nhost = \"b.test\"\npool = \"app\"\n[route.tls]\nfrom = \"files\"\n\
                 client_auth = { ca = \"@CA@\", mode = \"required\", headers = true }\n\n";
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, "", &route.replace("b.test", "c.test"))?;
    let (cert, key) = (front.ca.path("alice.crt"), front.ca.path("alice.key"));
    let alice = ["--cert", cert.as_str(), "--key", key.as_str()];
    let c = "https://c.test:8443/";
    for http in ["--http1.1", "--http2"] {
        let lie = ["--header", "X-Client-Cert-Subject: CN=root", "--header", "Client_Cert: :AAAA:"];
        let answer = front.ask(c, &[&[http], &alice[..], &lie[..]].concat())?;
        let text = answer.text();
        ensure!(answer.status == 200 && text.contains("subject=CN=alice"), "{answer:?}");
        ensure!(text.contains("cert=:MII") && !text.contains("AAAA:"), "{text}");
        until("the request is written down", SOON, || {
            let log = std::fs::read_to_string(world.folder().join("requests.log"))?;
            ensure!(log.contains(r#""tls":"1.3","client_certificate":""#), "{log}");
            Ok(())
        })?;
        // Of others nothing is believed.
        let text = front.ask(A, &[&[http], &lie[..]].concat())?.text();
        ensure!(text.contains("subject= cert=") || text.ends_with("subject= cert="), "{text}");
        // Without one there is no handshake; with a stranger's neither.
        ensure!(front.ask(c, &[http]).is_err(), "a client without a certificate was served");
        let strangers = front.world.folder().join("strangers");
        let file = |name: &str| strangers.join(name).display().to_string();
        let mallory = ["--cert", &file("mallory.crt"), "--key", &file("mallory.key")];
        ensure!(front.ask(c, &[&[http], &mallory[..]].concat()).is_err(), "a stranger was served");
        // The certificate covers the host, but nobody was asked for one on this connection.
        let answer = front.ask(A, &[http, "--header", "Host: c.test"])?;
        ensure!(answer.status == 421, "{answer:?}");
    }
    Ok(())
}

fn handshakes_are_counted_by_what_they_came_to() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, "", "")?;
    front.ask(A, &["--http2", "--tlsv1.3"])?;
    front.ask(A, &["--http1.1", "--tls-max", "1.2"])?;
    front.ask(&format!("http://a.test:{SECURE}/"), &[])?;
    let socket = front.world.folder().join("admin.sock").display().to_string();
    let metrics =
        curl(&front.world.balancer, &["--unix-socket", &socket, "http://localhost/metrics"])?.text();
    let line = |words: &[&str]| {
        let has = |line: &&str| words.iter().all(|word| line.contains(word)) && line.ends_with(" 1");
        metrics.lines().find(has).map(|_| ()).with_context(|| format!("{words:?} in {metrics}"))
    };
    line(&["proxy_now_tls_handshakes_total", "version=\"1.3\"", "alpn=\"h2\"", "resumed=\"no\""])?;
    line(&["proxy_now_tls_handshakes_total", "version=\"1.2\"", "alpn=\"http/1.1\""])?;
    line(&["proxy_now_tls_handshake_failures_total", "reason=\"plain_http\""])?;
    Ok(())
}

fn both_policies_are_what_mozilla_wants_them_to_be() -> Result<()> {
    let python = program::python()?;
    for policy in ["intermediate", "modern"] {
        let world = World::routed().backends(1).build()?;
        let tls = format!("hsts = true\n[listener.secure.tls]\npolicy = \"{policy}\"");
        let front = Front::start(&world, &tls, "")?;
        let (ca, to) = (front.ca.path("ca.pem"), format!("a.test:{SECURE}{{{}}}", front.secure.ip()));
        let profile = format!("--mozilla_config={policy}");
        let words = ["-m", "sslyze", "--certinfo_ca_file", &ca, &profile, &to];
        let output = program::run(world.client(), Command::new(&python).args(words))?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success() && said.contains("OK - Compliant"), "{policy}: {said}");
    }
    Ok(())
}
