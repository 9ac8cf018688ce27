//! Limits of balanced listeners, kept by the kernel part: on real traffic.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::client::{Http, Udp};
use proxy_tests::config::{self, Listener, Protocol};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until};
use proxy_tests::world::{Family, World};
use serde_json::Value;

pub(crate) const FACTS: &[Fact] = facts![
    new_connections_of_a_client_are_limited_by_ipv4,
    new_connections_of_a_client_are_limited_by_ipv6,
    datagrams_of_a_client_are_limited_by_ipv4,
    datagrams_of_a_client_are_limited_by_ipv6,
    connections_at_a_time_are_counted_until_they_end,
    a_limit_that_comes_by_a_reload_holds_for_connections_that_are_there,
    what_is_only_observed_is_let_through,
    who_is_exempt_is_not_limited,
    packets_to_an_http_listener_are_limited_before_it_sees_them,
    what_is_used_up_outlives_the_daemon,
    a_syn_to_an_http_listener_is_refused_as_its_limit_says,
];

fn text(world: &World, protocol: Protocol, family: Family, limit: &str) -> String {
    config::text(world, &[Listener::of(world, protocol, family)]) + "\n[limit.per-client]\n" + limit
}

/// What `limit list` says of a measure.
fn listed(daemon: &Daemon<'_>, measure: &str) -> Result<Value> {
    let list = daemon.json(&["limit", "list"])?;
    let rows = list["limits"].as_array().context("no limits")?;
    rows.iter().find(|row| row["measure"] == measure).cloned().context("no such measure")
}

/// How many of so many connections come about and are answered.
fn served(world: &World, to: SocketAddr, tries: usize) -> usize {
    let one = || Http::connect(world.client(), to)?.who();
    (0..tries).filter(|_| one().is_ok()).count()
}

fn connections(family: Family) -> Result<()> {
    let world = World::routed().build()?;
    let limit = "connections = \"5/h burst 5\"\naction = \"reset\"\n";
    let daemon = Daemon::start(&world, &text(&world, Protocol::Tcp, family, limit))?;
    let to = world.service(family);
    let first = served(&world, to, 20);
    // What came before the client had proved to be alive was charged to its entry, too.
    ensure!(first == 5, "{first} of 5");
    let row = listed(&daemon, "connections")?;
    ensure!(row["refused"].as_u64() >= Some(15) && row["passed"].as_u64() >= Some(5), "{row}");
    daemon.cli(&["limit", "set", "per-client", "connections=1000/s", "burst=1000"])?;
    ensure!(served(&world, to, 20) == 20, "the next connections obey: {:?}", daemon.status()?.drops());
    daemon.cli(&["limit", "reset", "per-client"])?;
    let after = served(&world, to, 10);
    ensure!(after <= 5, "{after} after the reset");
    Ok(())
}

fn new_connections_of_a_client_are_limited_by_ipv4() -> Result<()> {
    connections(Family::V4)
}

fn new_connections_of_a_client_are_limited_by_ipv6() -> Result<()> {
    connections(Family::V6)
}

fn datagrams(family: Family) -> Result<()> {
    let world = World::routed().build()?;
    let limit = "packets = \"20/h burst 20\"\n";
    let daemon = Daemon::start(&world, &text(&world, Protocol::Udp, family, limit))?;
    let udp = Udp::connect(world.client(), world.service_udp(family))?;
    let mut answered = 0;
    while answered < 40 && udp.ask(b"?").is_ok() {
        answered += 1;
    }
    ensure!((20..=21).contains(&answered), "{answered} of 20");
    daemon.cli(&["limit", "set", "per-client", "packets=1000/s", "burst=1000"])?;
    udp.ask(b"?").context("the next packet obeys")?;
    Ok(())
}

fn datagrams_of_a_client_are_limited_by_ipv4() -> Result<()> {
    datagrams(Family::V4)
}

fn datagrams_of_a_client_are_limited_by_ipv6() -> Result<()> {
    datagrams(Family::V6)
}

fn connections_at_a_time_are_counted_until_they_end() -> Result<()> {
    let world = World::routed().build()?;
    let limit = "concurrent = 3\naction = \"reset\"\n";
    let daemon = Daemon::start(&world, &text(&world, Protocol::Tcp, Family::V4, limit))?;
    let to = world.service(Family::V4);
    let open = || -> Result<Http> {
        let mut http = Http::connect(world.client(), to)?;
        http.who()?;
        Ok(http)
    };
    let mut held = vec![open()?, open()?, open()?];
    ensure!(open().is_err(), "a fourth");
    held.pop();
    until("the place of one that has ended is free", SOON, || {
        held.push(open()?);
        Ok(())
    })?;
    ensure!(open().is_err(), "a fourth again");
    let row = listed(&daemon, "concurrent")?;
    ensure!(row["refused"].as_u64() >= Some(2), "{row}");
    Ok(())
}

fn a_limit_that_comes_by_a_reload_holds_for_connections_that_are_there() -> Result<()> {
    let world = World::routed().build()?;
    let plain = config::text(&world, &[Listener::of(&world, Protocol::Udp, Family::V4)]);
    let daemon = Daemon::start(&world, &plain)?;
    let udp = Udp::connect(world.client(), world.service_udp(Family::V4))?;
    udp.socket().set_read_timeout(Some(Duration::from_millis(300)))?;
    for _ in 0..5 {
        udp.ask(b"?")?;
    }
    daemon.write_config(&text(&world, Protocol::Udp, Family::V4, "packets = \"3/h burst 3\"\n"))?;
    daemon.cli(&["reload"])?;
    let answered = (0..10).filter(|_| udp.ask(b"?").is_ok()).count();
    ensure!((3..=4).contains(&answered), "{answered} of 3: {:?}", daemon.status()?.drops());
    Ok(())
}

fn what_is_only_observed_is_let_through() -> Result<()> {
    let world = World::routed().build()?;
    let limit = "connections = \"1/h burst 1\"\naction = \"observe\"\n";
    let daemon = Daemon::start(&world, &text(&world, Protocol::Tcp, Family::V4, limit))?;
    ensure!(served(&world, world.service(Family::V4), 5) == 5);
    let row = listed(&daemon, "connections")?;
    ensure!(row["observed"].as_u64() >= Some(4) && row["refused"] == 0, "{row}");
    Ok(())
}

fn who_is_exempt_is_not_limited() -> Result<()> {
    let world = World::routed().build()?;
    let client = world.client_address(Family::V4, 0);
    let limit = format!("connections = \"1/h burst 1\"\naction = \"reset\"\nexempt = [\"{client}/32\"]\n");
    let daemon = Daemon::start(&world, &text(&world, Protocol::Tcp, Family::V4, &limit))?;
    ensure!(served(&world, world.service(Family::V4), 5) == 5);
    let row = listed(&daemon, "connections")?;
    ensure!(row["exempt"].as_u64() >= Some(4) && row["refused"] == 0, "{row}");
    Ok(())
}

fn packets_to_an_http_listener_are_limited_before_it_sees_them() -> Result<()> {
    let world = World::routed().build()?;
    let to = world.service(Family::V4);
    world.balancer.ip(&format!("addr add {}/32 dev front", to.ip()))?;
    let listener =
        format!("[listener.web]\nbind = [\"{to}\"]\nprotocol = \"http\"\n[[route]]\nrespond = 204\n");
    let limit = "[limit.per-client]\npackets = \"40/h burst 40\"\n";
    let daemon = Daemon::start(&world, &format!("{}\n{listener}\n{limit}", config::text(&world, &[])))?;
    let mut http = Http::connect(world.client(), to)?;
    http.stream().set_read_timeout(Some(Duration::from_millis(500)))?;
    let answered = (0..60).take_while(|_| http.get("/").is_ok_and(|answer| answer.status == 204)).count();
    ensure!((10..40).contains(&answered), "{answered} requests of 40 packets");
    ensure!(daemon.status()?.dropped("limit") > 0, "{:?}", daemon.status()?.drops());
    daemon.cli(&["limit", "set", "per-client", "packets=10000/s", "burst=10000"])?;
    ensure!(Http::connect(world.client(), to)?.get("/")?.status == 204, "the next packet obeys");
    Ok(())
}

fn what_is_used_up_outlives_the_daemon() -> Result<()> {
    let world = World::routed().build()?;
    let limit = "connections = \"5/h burst 5\"\naction = \"reset\"\n";
    let mut daemon = Daemon::start(&world, &text(&world, Protocol::Tcp, Family::V4, limit))?;
    let to = world.service(Family::V4);
    ensure!(served(&world, to, 10) == 5);
    daemon.kill()?;
    ensure!(served(&world, to, 3) == 0, "the kernel part keeps it alone");
    daemon.run()?;
    ensure!(served(&world, to, 3) == 0, "after a restart");
    daemon.cli(&["limit", "set", "per-client", "connections=1000/s", "burst=1000"])?;
    daemon.kill()?;
    daemon.run()?;
    let row = listed(&daemon, "connections")?;
    ensure!(row["amount"] == "1000/s burst 1000", "what was set is remembered: {row}");
    ensure!(served(&world, to, 10) == 10);
    Ok(())
}

fn a_syn_to_an_http_listener_is_refused_as_its_limit_says() -> Result<()> {
    for family in Family::BOTH {
        let world = World::routed().build()?;
        let mut text = config::text(&world, &[]);
        let bits = if family == Family::V4 { "32" } else { "128 nodad" };
        // The service's own address may be there already.
        drop(world.balancer.ip(&format!("addr add {}/{bits} dev front", world.service(family).ip())));
        let bind = |number: u16| SocketAddr::new(world.service(family).ip(), 8000 + number);
        for (number, action) in (0..).zip(["reset", "drop", "close"]) {
            text += &format!(
                "\n[listener.w{number}]\nbind = [\"{}\"]\nprotocol = \"http\"\n[[route]]\nlistener = \"w{number}\"\n\
                 respond = 204\n[limit.l{number}]\nlistener = \"w{number}\"\nconnections = \"1/h burst 1\"\n\
                 action = {action:?}\n",
                bind(number)
            );
        }
        let daemon = Daemon::start(&world, &text)?;
        let connect = |number| {
            let patience = Duration::from_millis(700);
            world.client().enter(|| TcpStream::connect_timeout(&bind(number), patience).map(drop))
        };
        for (number, kind) in
            [(0, ErrorKind::ConnectionRefused), (1, ErrorKind::TimedOut), (2, ErrorKind::TimedOut)]
        {
            ensure!(Http::connect(world.client(), bind(number))?.get("/")?.status == 204);
            let before = daemon.status()?.dropped("limit");
            let refused = connect(number)?;
            let seen = refused.as_ref().err().map(std::io::Error::kind);
            ensure!(seen == Some(kind), "w{number}: {refused:?}, not {kind:?}");
            let dropped = daemon.status()?.dropped("limit") > before;
            ensure!(dropped || number == 0, "w{number}: {:?}", daemon.status()?.drops());
        }
    }
    Ok(())
}
