//! Connections that are steered by their ClientHello: passed through undecrypted, decrypted and relayed, refused.

/// Clients that are banned while they are there.
mod banned;
/// How soon.
mod banned_soon;
/// Real clients: browsers, PostgreSQL's, those of CAs.
mod clients;
/// A listener, and what stands before and behind it.
mod front;
/// Connections leave the daemon for the kernel part.
mod handoff;
/// Much goes by them.
mod handoff_bulk;
/// The daemon dies while connections leave.
mod handoff_faults;
/// They are flows.
mod handoff_flows;
/// Thousands that say nothing.
mod handoff_idle;
/// A thousand of them leave at once.
mod handoff_live;
/// Ways that are not the same there and back.
mod handoff_ways;
/// Who is kept out by its ClientHello before a socket exists.
mod peek;
/// QUIC.
mod quic;
/// Whoever runs it.
mod quic_run;
/// A listener whose connections leave.
mod spliced;
/// Clients that ask for TLS in the words of their protocol.
mod starttls;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_tests::facts;
use proxy_tests::hello::{Hello, records};
use proxy_tests::runner::{Fact, figure};
use proxy_tests::wait::{SOON, until};
use proxy_tests::web::curl;
use proxy_tests::world::{Family, World};

use self::front::{Front, PATIENCE, accept, exactly, hello, listen, metrics, nginx, passing, text};
use self::handoff::{
    a_kernel_part_that_comes_by_a_reload_takes_connections,
    connections_leave_at_their_first_pause_and_outlive_the_daemon,
};
use self::handoff_bulk::{
    bytes_without_end_leave_in_a_pause_that_is_made,
    much_goes_by_connections_that_have_left_and_half_closes_do, of_a_hundred_packets_one_is_lost_and_no_byte,
    peers_may_do_without_options_and_with_short_segments, segments_of_nine_thousand_bytes_are_no_hindrance,
};
use self::handoff_faults::whoever_kills_the_daemon_while_connections_leave_lets_none_hang;
use self::handoff_flows::connections_that_have_left_are_shown_and_explained_and_forgotten_when_they_are_over;
use self::quic::{
    first_flights_that_never_end_are_bounded_and_left,
    flows_of_http3_leave_for_the_kernel_part_and_outlive_the_daemon, http3_goes_to_the_backend_of_its_name,
    what_comes_to_nothing_by_quic_is_counted_with_its_reason,
};
use crate::issuer::{Ca, s_client};

/// All of them.
pub(crate) const ALL: &[&[Fact]] = &[
    FACTS,
    clients::FACTS,
    starttls::FACTS,
    peek::FACTS,
    quic_run::FACTS,
    banned::FACTS,
    banned_soon::FACTS,
    handoff_idle::FACTS,
    handoff_live::FACTS,
    handoff_ways::FACTS,
];

const FACTS: &[Fact] = facts![
    clients_see_the_certificate_of_their_backend_and_others_ours,
    a_client_hello_may_be_cut_anywhere,
    what_comes_to_nothing_is_counted_with_its_reason,
    clients_that_never_say_a_word_are_bounded_and_left,
    a_backend_that_never_reads_slows_its_client,
    bytes_and_half_closes_pass_either_way,
    resets_pass_either_way,
    backends_learn_the_name_by_the_proxy_protocol,
    routes_look_at_version_protocol_and_fingerprint,
    relayed_connections_outlive_a_reload_and_are_written_down,
    connections_leave_at_their_first_pause_and_outlive_the_daemon,
    http3_goes_to_the_backend_of_its_name,
    flows_of_http3_leave_for_the_kernel_part_and_outlive_the_daemon,
    what_comes_to_nothing_by_quic_is_counted_with_its_reason,
    first_flights_that_never_end_are_bounded_and_left,
    a_kernel_part_that_comes_by_a_reload_takes_connections,
    much_goes_by_connections_that_have_left_and_half_closes_do,
    of_a_hundred_packets_one_is_lost_and_no_byte,
    bytes_without_end_leave_in_a_pause_that_is_made,
    peers_may_do_without_options_and_with_short_segments,
    segments_of_nine_thousand_bytes_are_no_hindrance,
    whoever_kills_the_daemon_while_connections_leave_lets_none_hang,
    connections_that_have_left_are_shown_and_explained_and_forgotten_when_they_are_over,
];

fn clients_see_the_certificate_of_their_backend_and_others_ours() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (ours, theirs) =
        (Ca::new(&world.folder().join("ours"), "ca")?, Ca::new(&world.folder().join("theirs"), "ca")?);
    ours.issue("b.test", &["b.test", "a.test"])?;
    theirs.issue("a.test", &["a.test"])?;
    theirs.issue("alice", &["alice.test"])?;
    let backend = SocketAddr::new(world.backend_address(Family::V4, 0), 8443);
    let nginx = nginx(&world, &theirs, backend)?;
    let (cert, key) = (ours.path("b.test.crt"), ours.path("b.test.key"));
    let front = Front::start(
        &world,
        &format!(
            "[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n\n@FRONT@\nprotocol = \"https\"\n\n\
             [[route]]\nhost = \"a.test\"\npassthrough = true\npool = \"raw\"\n\n\
             [[route]]\nhost = \"b.test\"\ntls = \"files\"\nrespond = {{ status = 200, body = \"ours\" }}\n\n\
             [pool.raw]\nbackends = [\"{backend}\"]\n"
        ),
    )?;
    let port = front.service.port();
    let ask = |host: &str, ca: &Ca, words: &[&str]| {
        let at = format!("{host}:{port}:{}", front.service.ip());
        let url = format!("https://{host}:{port}/");
        let ca = ca.path("ca.pem");
        curl(world.client(), &[&["--cacert", &ca, "--resolve", &at], words, &[&url]].concat())
    };
    for words in [&["--http1.1", "--tls-max", "1.2"][..], &["--http1.1"], &["--http2"]] {
        let passed = ask("a.test", &theirs, words)?;
        ensure!(passed.text() == "theirs client=\n", "{words:?}: {passed:?}");
        ensure!(ask("b.test", &ours, words)?.text() == "ours", "{words:?}");
    }
    let (cert, key) = (theirs.path("alice.crt"), theirs.path("alice.key"));
    let shown = ask("a.test", &theirs, &["--cert", &cert, "--key", &key])?;
    ensure!(shown.text() == "theirs client=CN=alice\n", "{shown:?}");
    // A session goes on where it began.
    let sessions = world.folder().join("session").display().to_string();
    let ca = theirs.path("ca.pem");
    for version in ["-tls1_2", "-tls1_3"] {
        for (words, new) in [(["-sess_out", &sessions], "New, "), (["-sess_in", &sessions], "Reused, ")] {
            // Who has shown a certificate is known by the session, too.
            let own = ["-cert", &cert, "-key", &key, "-CAfile", &ca, "-servername", "a.test", version];
            let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
            let said = s_client(world.client(), front.service, &[&own[..], &words].concat(), request)?;
            let (new, version) = (said.contains(new), version.replace("-tls1_", "TLSv1."));
            ensure!(
                new && said.contains(&version) && said.contains("theirs client=CN=alice"),
                "{words:?}: {said}"
            );
        }
    }
    // What a certificate of ours covers, and a route passes through, is not answered on a connection for another name.
    let url = format!("https://b.test:{port}/");
    let at = format!("b.test:{port}:{}", front.service.ip());
    let (ca, host) = (ours.path("ca.pem"), format!("Host: a.test:{port}"));
    let astray = curl(world.client(), &["--cacert", &ca, "--resolve", &at, "-H", &host, &url])?;
    ensure!(astray.status == 421, "{astray:?}");
    // Of a record that is longer than it may be no route learns what it asks for: it is not decrypted all the same.
    let mut long = front.connect()?;
    long.write_all(&[22, 3, 1, 0x40, 0x74, 1, 0, 0x40, 0x70])?;
    ensure!(exactly(&mut long, 7)? == [21, 3, 1, 0, 2, 2, 50], "it is not refused");
    drop(nginx);
    Ok(())
}

fn a_client_hello_may_be_cut_anywhere() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let front = Front::start(&world, &passing(backend))?;
    // As it is, in records of a few bytes, post-quantum, with 16 KB of something unknown.
    let large = Hello::asking_for("a.test").after(0xfe77, vec![7; 16_000]).record();
    let quantum = Hello::asking_for("a.test").after(0xfe78, vec![7; 1216]).record();
    let small = records(&Hello::asking_for("a.test").message(), 11);
    let whole = hello();
    let mut cases: Vec<(Vec<u8>, Vec<usize>)> =
        [&large, &quantum, &small].map(|bytes| (bytes.clone(), vec![bytes.len() / 2])).into();
    // Whatever comes first of its extensions.
    let mut turned = Hello::asking_for("a.test");
    for _ in 0..turned.extensions.as_ref().map_or(0, Vec::len) {
        turned.extensions.get_or_insert_default().rotate_left(1);
        cases.push((turned.record(), vec![turned.record().len() / 2]));
    }
    cases.extend((1..whole.len()).map(|at| (whole.clone(), vec![at])));
    let tenths = |bytes: &[u8]| (1..10).map(|part| bytes.len() * part / 10).collect::<Vec<_>>();
    cases.extend([&whole, &large, &quantum, &small].map(|bytes| (bytes.clone(), tenths(bytes))));
    for (bytes, cuts) in cases {
        let mut client = front.connect()?;
        let mut sent = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            client.write_all(&bytes[sent..cut])?;
            sent = cut;
        }
        let mut server = accept(&listener)?;
        ensure!(exactly(&mut server, bytes.len())? == bytes, "{cuts:?}");
        server.write_all(b"heard")?;
        ensure!(exactly(&mut client, 5)? == b"heard", "{cuts:?}");
    }
    // Pieces that are certainly read one by one.
    let mut client = front.connect()?;
    for (at, byte) in whole.iter().enumerate().take(40) {
        client.write_all(&[*byte])?;
        if at == 0 || at == 5 {
            until("the first flight is being read", SOON, || {
                ensure!(front.metric("proxy_now_steered_reading{listener=\"front\"}")? == 1, "nobody reads");
                Ok(())
            })?;
        }
    }
    client.write_all(&whole[40..])?;
    ensure!(exactly(&mut accept(&listener)?, whole.len())? == whole, "byte by byte");
    Ok(())
}

fn what_comes_to_nothing_is_counted_with_its_reason() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let lines = format!(
        "{}\n[[route]]\nlistener = \"front\"\nhost = \"bad.test\"\nrefuse = \"alert\"\n\n\
         [[route]]\nlistener = \"front\"\nhost = \"worse.test\"\nrefuse = \"reset\"\n\n\
         [[route]]\nlistener = \"front\"\nhost = \"old.test\"\nclient_hello = {{ max_version = \"1.1\" }}\npool = \"raw\"\npassthrough = true\n",
        passing(backend)
    );
    let front = Front::start(&world, &lines)?;
    let mut malformed = hello();
    // The length of the session id.
    malformed[43] = 33;
    let nameless = Hello { extensions: None, ..Hello::asking_for("") }.record();
    let alert = |number: u8| Some(vec![21, 3, 1, 0, 2, 2, number]);
    let asking = |name: &str| Hello::asking_for(name).record();
    for (reason, sent, heard) in [
        ("not_tls", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec(), Some(Vec::new())),
        ("not_tls", b"\x80\x2e\x01\x00\x02".to_vec(), Some(Vec::new())),
        ("malformed", malformed, alert(50)),
        ("too_long", vec![22, 3, 1, 0, 4, 1, 2, 0, 0], alert(50)),
        ("no_sni", nameless, alert(112)),
        ("unknown_sni", asking("other.test"), alert(112)),
        ("no_route", asking("old.test"), alert(49)),
        ("rule", asking("bad.test"), alert(49)),
        ("rule", asking("worse.test"), None),
    ] {
        let before = front.refused(reason)?;
        let mut client = front.connect()?;
        client.write_all(&sent)?;
        let mut said = Vec::new();
        match (client.read_to_end(&mut said), heard) {
            (Err(error), None) => ensure!(error.kind() == ErrorKind::ConnectionReset, "{reason}: {error}"),
            (Ok(_), Some(heard)) => ensure!(said == heard, "{reason}: {said:?}"),
            // Closed with something unread: the kernel resets.
            (Err(error), Some(heard)) => ensure!(heard.is_empty(), "{reason}: {error}"),
            (Ok(_), None) => anyhow::bail!("{reason}: no reset, {said:?}"),
        }
        until("it is counted", SOON, || {
            ensure!(front.refused(reason)? == before + 1, "{reason}");
            Ok(())
        })?;
    }
    let mut gone = front.connect()?;
    gone.write_all(&hello()[..50])?;
    drop(gone);
    // Nobody listens any more.
    drop(listener);
    let mut client = front.connect()?;
    client.write_all(&hello())?;
    ensure!(Some(exactly(&mut client, 7)?) == alert(80), "no backend");
    until("both are counted", SOON, || {
        ensure!(
            front.refused("closed")? == 1 && front.refused("no_backend")? == 1,
            "{}",
            metrics(&front.daemon)?
        );
        Ok(())
    })
}

fn clients_that_never_say_a_word_are_bounded_and_left() -> Result<()> {
    const MANY: u64 = 10_000;
    let files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: files.maximum, ..files };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all)?;
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let lines = passing(backend).replace(
        "protocol = \"tls\"",
        "protocol = \"tls\"\nlimits = { header_timeout = \"10s\", connections = 8000, connections_per_client = 100_000 }",
    );
    let front = Front::start(&world, &lines)?;
    let before = front.daemon.anonymous_kib()?;
    let silent: Vec<TcpStream> = (0..MANY).map(|_| front.connect()).collect::<Result<_>>()?;
    until("they are in", PATIENCE, || {
        let refused = "proxy_now_connections_refused_total{listener=\"front\",reason=\"listener_full\"}";
        ensure!(front.metric(refused)? >= MANY - 8000, "{}", front.metric(refused)?);
        Ok(())
    })?;
    let grown = front.daemon.anonymous_kib()?.saturating_sub(before);
    figure(&format!("{grown} KiB for 8,000 that say nothing"));
    ensure!(grown < 8000 * 24, "{grown} KiB for 8,000 that say nothing");
    until("their time is over", PATIENCE, || {
        let refused = front.refused("timeout")?;
        ensure!(refused >= 8000, "{refused}");
        ensure!(
            front.metric("proxy_now_steered_reading{listener=\"front\"}")? == 0,
            "somebody is read still"
        );
        Ok(())
    })?;
    // Others are served.
    let mut client = front.connect()?;
    client.write_all(&hello())?;
    ensure!(exactly(&mut accept(&listener)?, hello().len())? == hello(), "another one");
    drop(silent);
    Ok(())
}

fn a_backend_that_never_reads_slows_its_client() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let front = Front::start(&world, &passing(backend))?;
    let mut client = front.connect()?;
    client.write_all(&hello())?;
    let mut server = accept(&listener)?;
    exactly(&mut server, hello().len())?;
    let before = front.daemon.anonymous_kib()?;
    client.set_write_timeout(Some(Duration::from_secs(3)))?;
    let piece = vec![7; 64 << 10];
    let mut taken = 0;
    // Until nothing has been taken for three seconds; what the kernels of all three keep is not ours.
    while let Ok(count) = client.write(&piece) {
        taken += count;
        ensure!(taken < 64 << 20, "{taken} bytes were taken, and none was read");
    }
    let grown = front.daemon.anonymous_kib()?.saturating_sub(before);
    ensure!(grown < 1 << 10, "the daemon has grown by {grown} KiB");
    // Others are served meanwhile, and what was taken arrives.
    let mut other = front.connect()?;
    other.write_all(&hello())?;
    exactly(&mut accept(&listener)?, hello().len())?;
    client.shutdown(Shutdown::Write)?;
    let mut read = Vec::new();
    server.read_to_end(&mut read)?;
    ensure!(read.len() == taken && read.iter().all(|byte| *byte == 7), "{} of {taken}", read.len());
    Ok(())
}

/// Bytes that are not the same at any two places near each other.
fn pattern(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
}

fn bytes_and_half_closes_pass_either_way() -> Result<()> {
    const BYTES: usize = 48 << 20;
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let front = Front::start(&world, &passing(backend))?;
    // Who ends first: the client, or the backend.
    for client_first in [true, false] {
        let mut client = front.connect()?;
        client.write_all(&hello())?;
        let mut server = accept(&listener)?;
        exactly(&mut server, hello().len())?;
        let (first, second) = if client_first { (client, server) } else { (server, client) };
        // One talks to its end, and hears the whole answer after that.
        let speak = |mut stream: TcpStream, seed: u64| -> Result<()> {
            let bytes: Vec<u8> = pattern(seed).take(BYTES).collect();
            stream.write_all(&bytes)?;
            stream.shutdown(Shutdown::Write)?;
            Ok(())
        };
        let hear = |mut stream: TcpStream, seed: u64| -> Result<()> {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes)?;
            ensure!(bytes.len() == BYTES, "{} bytes", bytes.len());
            ensure!(bytes.into_iter().eq(pattern(seed).take(BYTES)), "bytes have changed");
            Ok(())
        };
        let (to, from) = (first.try_clone()?, second.try_clone()?);
        let speaker = thread::spawn(move || speak(to, 3));
        hear(from, 3)?;
        speaker.join().map_err(|_| anyhow::anyhow!("who speaks panics"))??;
        let answer = thread::spawn(move || speak(second, 5));
        hear(first, 5)?;
        answer.join().map_err(|_| anyhow::anyhow!("who answers panics"))??;
    }
    until("all is counted", SOON, || {
        let labels = "{listener=\"front\",route=\"pass\"}";
        let received = front.metric(&format!("proxy_now_relay_received_bytes_total{labels}"))?;
        let sent = front.metric(&format!("proxy_now_relay_sent_bytes_total{labels}"))?;
        let hellos = 2 * hello().len() as u64;
        ensure!((received, sent) == (2 * BYTES as u64 + hellos, 2 * BYTES as u64), "{received} {sent}");
        ensure!(front.metric(&format!("proxy_now_relay_connections{labels}"))? == 0, "open");
        Ok(())
    })
}

fn resets_pass_either_way() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let front = Front::start(&world, &passing(backend))?;
    for half_closed in [false, true] {
        for by_client in [true, false] {
            let mut client = front.connect()?;
            client.write_all(&hello())?;
            let mut server = accept(&listener)?;
            exactly(&mut server, hello().len())?;
            server.write_all(b"x")?;
            exactly(&mut client, 1)?;
            let (resets, mut hears) = if by_client { (client, server) } else { (server, client) };
            if half_closed {
                resets.shutdown(Shutdown::Write)?;
                ensure!(hears.read(&mut [0])? == 0, "no end");
            }
            rustix::net::sockopt::set_socket_linger(&resets, Some(Duration::ZERO))?;
            drop(resets);
            if half_closed {
                // Its end was heard before: what is said now is answered by the reset.
                until("the reset has come", PATIENCE, || {
                    ensure!(hears.write(b"x").is_err(), "it is written");
                    Ok(())
                })?;
            } else {
                let error = hears.read(&mut [0]).err().context("an end, and no reset")?;
                ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}");
            }
        }
    }
    Ok(())
}

fn backends_learn_the_name_by_the_proxy_protocol() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let front = Front::start(&world, &format!("{}send_proxy_protocol = \"v2\"\n", passing(backend)))?;
    let mut client = front.connect()?;
    client.write_all(&hello())?;
    let mut server = accept(&listener)?;
    let head = exactly(&mut server, 16)?;
    ensure!(head[..14] == *b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "{head:?}");
    let block = exactly(&mut server, usize::from(u16::from_be_bytes([head[14], head[15]])))?;
    let (SocketAddr::V4(from), SocketAddr::V4(to)) = (client.local_addr()?, front.service) else {
        anyhow::bail!("IPv4 was meant")
    };
    let mut wanted = [from.ip().octets(), to.ip().octets()].concat();
    wanted.extend([from.port().to_be_bytes(), to.port().to_be_bytes()].concat());
    wanted.extend(b"\x01\0\x02h2\x02\0\x06a.test");
    ensure!(block == wanted, "{block:?}");
    ensure!(exactly(&mut server, hello().len())? == hello(), "the hello");
    Ok(())
}

fn routes_look_at_version_protocol_and_fingerprint() -> Result<()> {
    let world = World::routed().backends(3).build()?;
    let at = |number: usize| SocketAddr::new(world.backend_address(Family::V4, number), 8097);
    let listeners: Vec<TcpListener> = (0..3)
        .map(|number| Ok(world.backends[number].namespace.enter(|| TcpListener::bind(at(number)))??))
        .collect::<Result<_>>()?;
    let pools: String =
        (0..3).map(|number| format!("[pool.p{number}]\nbackends = [\"{}\"]\n", at(number))).collect();
    let route = |condition: &str, pool: usize| {
        format!("[[route]]\n{condition}\npassthrough = true\npool = \"p{pool}\"\n\n")
    };
    let lines = format!(
        "@FRONT@\nprotocol = \"tls\"\n\n{}{}{}[[route]]\nclient_hello = {{ cipher = \"0x000a\" }}\nrefuse = \"reset\"\n\n{pools}",
        route("client_hello = { max_version = \"1.2\" }", 0),
        route("client_hello = { alpn = \"h2\", group = \"x25519\" }", 1),
        route("", 2),
    );
    let front = Front::start(&world, &lines)?;
    let new = Hello::asking_for("a.test");
    let mut old = new.clone();
    old.extensions.get_or_insert_default().retain(|(number, _)| *number != 43 && *number != 16);
    let mut plain = new.clone();
    plain.extensions.get_or_insert_default().retain(|(number, _)| *number != 16);
    for (hello, backend) in [(&old, 0), (&new, 1), (&plain, 2)] {
        let mut client = front.connect()?;
        client.write_all(&hello.record())?;
        exactly(&mut accept(&listeners[backend])?, hello.record().len())?;
    }
    let mut weak = plain.clone();
    weak.suites.push(0x000a);
    let mut client = front.connect()?;
    client.write_all(&weak.record())?;
    let error = client.read(&mut [0]).err().context("no reset")?;
    ensure!(error.kind() == ErrorKind::ConnectionReset, "{error}");
    Ok(())
}

fn relayed_connections_outlive_a_reload_and_are_written_down() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let (listener, backend) = listen(&world)?;
    let log = world.folder().join("requests.log");
    let lines = format!("[access_log]\nto = {log:?}\n\n{}", passing(backend));
    let front = Front::start(&world, &lines)?;
    let mut client = front.connect()?;
    client.write_all(&hello())?;
    let mut server = accept(&listener)?;
    exactly(&mut server, hello().len())?;
    // The name goes to nobody now.
    front.daemon.write_config(&text(&world, &lines.replace("a.test", "b.test")))?;
    front.daemon.cli(&["reload"])?;
    server.write_all(b"still here")?;
    ensure!(exactly(&mut client, 10)? == b"still here", "it is gone");
    let mut other = front.connect()?;
    other.write_all(&hello())?;
    ensure!(exactly(&mut other, 7)?[6] == 112, "an alert");
    drop((client, server));
    until("both are written down", SOON, || {
        let log = std::fs::read_to_string(&log)?;
        let passed = log.lines().find(|line| line.contains("\"decision\":\"passed\"")).context("passed")?;
        for part in [
            "\"route\":\"pass\"",
            "\"pool\":\"raw\"",
            "\"sni\":\"a.test\"",
            "\"ja4\":\"t13d0306h2_",
            "\"sent\":10",
        ] {
            ensure!(passed.contains(part), "{part}: {passed}");
        }
        ensure!(
            log.contains("\"decision\":\"refused\"") && log.contains("\"cause\":\"unknown_sni\""),
            "{log}"
        );
        Ok(())
    })
}
