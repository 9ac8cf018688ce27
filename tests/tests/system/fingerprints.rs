//! Clients are known by their ClientHello: to templates, and in the access log.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::{self, Answer, curl};
use proxy_tests::world::{Family, World};

use crate::issuer::{Ca, s_client};

pub(crate) const FACTS: &[Fact] = facts![
    a_client_is_known_by_its_hello_whatever_it_speaks,
    a_hello_in_many_pieces_has_the_same_fingerprint,
    a_reload_asks_new_connections_for_a_fingerprint,
];

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
/// The answer's field that says who asks.
const SEEN: &str = "response_headers = { set = { x-seen = \"<{sni}> <{ja4}>\" } }";

/// A listener for https that answers by itself.
struct Front<'w> {
    world: &'w World,
    ca: Ca,
    secure: SocketAddr,
    daemon: Daemon<'w>,
}

impl<'w> Front<'w> {
    fn start(world: &'w World, route: &str) -> Result<Self> {
        let ca = Ca::new(&world.folder().join("certs"), "ca")?;
        ca.issue("a.test", &["a.test"])?;
        let secure = world.service(Family::V4);
        let daemon = Daemon::start(world, &lines(world, &ca, secure, "json", route))?;
        Ok(Self { world, ca, secure, daemon })
    }

    fn curl(&self, words: &[&str]) -> Result<Answer> {
        let at = format!("a.test:{}:{}", self.secure.port(), self.secure.ip());
        curl(self.world.client(), &[&["--insecure", "--resolve", &at], words].concat())
    }

    /// What the listener knows of a client that asks in this way: name and fingerprint.
    fn seen(&self, words: &[&str]) -> Result<(String, String)> {
        let url = format!("https://a.test:{}/", self.secure.port());
        named(self.curl(&[words, &[&url]].concat())?.field("x-seen").context("no x-seen")?)
    }

    fn s_client(&self, words: &[&str]) -> Result<(String, String)> {
        let said = s_client(self.world.client(), self.secure, words, REQUEST)?;
        named(said.lines().find_map(|line| line.strip_prefix("x-seen: ")).with_context(|| said.clone())?)
    }
}

fn lines(world: &World, ca: &Ca, secure: SocketAddr, format: &str, route: &str) -> String {
    let (cert, key) = (ca.path("a.test.crt"), ca.path("a.test.key"));
    let log = world.folder().join("requests.log");
    let lines = format!(
        "[access_log]\nto = {log:?}\nformat = \"{format}\"\n\n[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n\n\
         [listener.secure]\nbind = [\"{secure}\"]\nprotocol = \"https\"\n\n\
         [[route]]\nhost = \"a.test\"\ntls = \"files\"\nrespond = {{ status = 200, body = \"a\" }}\n{route}\n\n\
         [[route]]\nrespond = {{ status = 200, body = \"other\" }}\n{route}\n"
    );
    web::text(world, &lines)
}

/// `<name> <fingerprint>`.
fn named(seen: &str) -> Result<(String, String)> {
    let seen =
        seen.trim().strip_prefix('<').and_then(|seen| seen.strip_suffix('>')).context("no brackets")?;
    let (name, ja4) = seen.split_once("> <").with_context(|| seen.to_owned())?;
    ensure!(ja4.is_empty() || ja4.len() == 36 && ja4.split('_').count() == 3, "{ja4}");
    Ok((name.to_owned(), ja4.to_owned()))
}

fn a_client_is_known_by_its_hello_whatever_it_speaks() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, SEEN)?;
    let (name, http1) = front.seen(&["--http1.1"])?;
    ensure!(name == "a.test" && http1.starts_with("t13d") && &http1[8..11] == "h1_", "{name} {http1}");
    let (_, http2) = front.seen(&["--http2"])?;
    ensure!(http2 == http1.replace("h1_", "h2_"), "{http1} {http2}");
    // Another time it is the same; with other ciphers only their part is not.
    ensure!(front.seen(&["--http2"])?.1 == http2, "{http2}");
    let (_, fewer) = front.seen(&["--http2", "--tls13-ciphers", "TLS_AES_128_GCM_SHA256"])?;
    let part = |ja4: &str, number: usize| ja4.split('_').nth(number).map(str::to_owned);
    ensure!(part(&fewer, 1) != part(&http2, 1) && part(&fewer, 2) == part(&http2, 2), "{http2} {fewer}");
    let (_, old) = front.seen(&["--tls-max", "1.2"])?;
    ensure!(old.starts_with("t12d") && part(&old, 2) != part(&http2, 2), "{old}");
    // Who names no host.
    let answer = front.curl(&[&format!("https://{}/", front.secure)])?;
    let (name, ja4) = named(answer.field("x-seen").context("no x-seen")?)?;
    ensure!(name.is_empty() && ja4.starts_with("t13i"), "{name} {ja4}");
    until("the requests are written down", SOON, || {
        let log = std::fs::read_to_string(world.folder().join("requests.log"))?;
        ensure!(log.contains(&format!(r#""sni":"a.test","ja4":"{http2}""#)), "{log}");
        ensure!(log.contains(&format!(r#""tls":"1.3","ja4":"{ja4}""#)), "{log}");
        Ok(())
    })
}

fn a_hello_in_many_pieces_has_the_same_fingerprint() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, SEEN)?;
    // More than a segment holds.
    let alpn = format!("x{}", ",http/1.1,spdy".repeat(120));
    let name = ["-servername", "A.test", "-alpn", alpn.as_str()];
    let (asked, whole) = front.s_client(&name)?;
    ensure!(asked == "a.test" && &whole[8..11] == "xx_", "{asked} {whole}");
    let (_, split) =
        front.s_client(&[&name[..], &["-max_send_frag", "512", "-split_send_frag", "512"]].concat())?;
    ensure!(split == whole, "{whole} {split}");
    // One name, however it is written.
    ensure!(front.s_client(&["-servername", "a.TEST."])?.0 == "a.test", "a dot at the end");
    Ok(())
}

fn a_reload_asks_new_connections_for_a_fingerprint() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let front = Front::start(&world, "")?;
    ensure!(front.seen(&[]).is_err(), "nobody has asked");
    front.daemon.write_config(&lines(&world, &front.ca, front.secure, "combined", SEEN))?;
    front.daemon.cli(&["reload"])?;
    ensure!(front.seen(&[])?.1.starts_with("t13d"), "no fingerprint");
    let name = SEEN.replace(" <{ja4}>", " <>");
    front.daemon.write_config(&lines(&world, &front.ca, front.secure, "combined", &name))?;
    front.daemon.cli(&["reload"])?;
    ensure!(front.seen(&[])? == ("a.test".into(), String::new()), "a name is no fingerprint");
    Ok(())
}
