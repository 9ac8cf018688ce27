//! Facts about limits, against requests and connections that tests make.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use ipnet::IpNet;

use super::bandwidth::Bandwidth;
use super::compile::{Limits, RequestRules};
use super::connections::TurnedAway;
use super::live::Counts;
use super::registry::Registry;
use super::requests::{Asking, charge};
use crate::config::{Amount, Config, LimitAction, LimitConfig, Measure, Measures, Per, Rate, parse};
use crate::l7::body::Body;
use crate::l7::cause::Cause;
use crate::l7::cut::BodyError;
use crate::l7::hang_up::HangUp;
use crate::l7::request::{Request, Response};
use crate::l7::testing::{collected, from, request, with};
use crate::l7::tunnel::Tunnel;
use crate::limit::{Heap, Table};

const ONE: &str = "192.0.2.1:1000";
const OTHER: &str = "192.0.2.200:1000";

fn rate(count: u64, seconds: u64, burst: u64) -> Option<Rate> {
    Some(Rate { count, period: Duration::from_secs(seconds), burst })
}

fn limit(name: &str, per: Per, measures: Measures) -> LimitConfig {
    LimitConfig {
        name: name.into(),
        listeners: vec!["web".into()],
        routes: Vec::new(),
        per,
        measures,
        action: LimitAction::Auto,
        exempt: Vec::new(),
        line: 1,
    }
}

/// Requests of a client, five an hour.
fn hourly(per: Per) -> LimitConfig {
    limit("hourly", per, Measures { requests: rate(5, 3600, 5), ..Measures::default() })
}

/// A configuration with a listener `web` and routes `a` and `b`, under these limits.
fn config(limits: Vec<LimitConfig>) -> Config {
    let text = "[listener.web]\nbind = \"127.0.0.1:1\"\nprotocol = \"http\"\n\
                [[route]]\nname = \"a\"\npath = \"/a\"\nrespond = 200\n[[route]]\nname = \"b\"\npath = \"/b\"\nrespond = 200\n";
    Config { limits, ..parse(text, "proxy.toml").unwrap() }
}

struct World {
    registry: Registry,
    limits: Limits,
}

impl World {
    fn new(limits: Vec<LimitConfig>) -> Self {
        let registry = Registry::default();
        let limits = Limits::compile(&config(limits), &registry);
        limits.apply(&registry);
        Self { registry, limits }
    }

    fn rules(&self, route: Option<u32>) -> &RequestRules {
        self.limits.of_route(route).unwrap()
    }

    fn ask(&self, request: &Request, route: u32) -> Result<(), Cause> {
        let name = ["a", "b"][route as usize];
        let asking = Asking { request, route: name, backend: None, worker: 0 };
        charge(&self.rules(Some(route)).requests, asking)
    }

    /// How many of ten requests pass.
    fn passing(&self, request: impl Fn() -> Request) -> usize {
        (0..10).filter(|_| self.ask(&request(), 0).is_ok()).count()
    }

    fn counts(&self, name: &str) -> Counts {
        self.registry.in_force().iter().find(|limit| limit.name == name.into()).unwrap().counts
    }
}

fn field<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn told(request: &Request) -> Response {
    let mut response = Response::new(Body::empty());
    request.record.limits.take().unwrap().put(&mut response);
    response
}

#[test]
fn a_client_gets_its_burst_and_another_is_not_concerned() {
    let world = World::new(vec![hourly(Per::Ip)]);
    assert_eq!(world.passing(|| from(ONE, &[], "/")), 5);
    assert_eq!(world.passing(|| from(OTHER, &[], "/")), 5);
    assert_eq!(world.counts("hourly"), Counts { passed: 10, refused: 10, ..Counts::default() });
}

#[test]
fn a_subnet_is_counted_together_and_a_listener_as_a_whole() {
    for per in [Per::Subnet { v4: 24, v6: 64 }, Per::Listener] {
        let world = World::new(vec![hourly(per)]);
        assert_eq!(world.passing(|| from(ONE, &[], "/")) + world.passing(|| from(OTHER, &[], "/")), 5);
    }
}

#[test]
fn a_header_a_cookie_or_a_text_tells_clients_apart() {
    let user = |name: &str| with(request("/"), "x-user", name);
    let world = World::new(vec![hourly(Per::Header("x-user".parse().unwrap()))]);
    assert_eq!((world.passing(|| user("a")), world.passing(|| user("b"))), (5, 5));
    assert_eq!(world.passing(|| request("/")), 5);

    let session = |name: &str| with(request("/"), "cookie", &format!("x=1; session={name}"));
    let world = World::new(vec![hourly(Per::Cookie("session".into()))]);
    assert_eq!((world.passing(|| session("a")), world.passing(|| session("b"))), (5, 5));
}

#[test]
fn a_route_has_its_own_bucket_and_one_without_limits_none() {
    let world = World::new(vec![hourly(Per::Route)]);
    assert_eq!(world.passing(|| request("/")), 5);
    assert!(world.ask(&request("/"), 1).is_ok());
    let mut only = hourly(Per::Ip);
    only.routes = vec!["b".into()];
    let world = World::new(vec![only]);
    assert!(world.limits.of_route(Some(0)).is_none() && world.limits.of_route(None).is_none());
    assert!(world.limits.of_route(Some(1)).is_some());
    assert!(World::new(Vec::new()).limits.of_route(Some(1)).is_none());
}

#[test]
fn requests_that_no_route_wants_count_too() {
    let world = World::new(vec![hourly(Per::Ip)]);
    assert_eq!(world.rules(None).requests.len(), 1);
}

#[test]
fn the_client_is_told_what_is_left_and_when_to_come_again() {
    let world = World::new(vec![hourly(Per::Ip)]);
    let first = from(ONE, &[], "/");
    world.ask(&first, 0).unwrap();
    let answer = told(&first);
    assert_eq!(field(&answer, "ratelimit-policy"), "\"hourly\";q=5;w=3600");
    assert_eq!(field(&answer, "ratelimit"), "\"hourly\";r=4;t=720");
    assert_eq!(field(&answer, "retry-after"), "");
    for _ in 0..4 {
        world.ask(&from(ONE, &[], "/"), 0).unwrap();
    }
    let refused = from(ONE, &[], "/");
    assert_eq!(world.ask(&refused, 0), Err(Cause::Limited));
    let answer = told(&refused);
    assert_eq!(field(&answer, "ratelimit"), "\"hourly\";r=0;t=720");
    assert_eq!(field(&answer, "retry-after"), "720");
    assert!(refused.record.hang_up.get().is_none());
}

#[test]
fn actions_end_a_request_without_an_answer_and_tell_nothing() {
    for (action, end) in [
        (LimitAction::Drop, HangUp::Drop),
        (LimitAction::Close, HangUp::Close),
        (LimitAction::Reset, HangUp::Reset),
    ] {
        let world = World::new(vec![LimitConfig { action, ..hourly(Per::Ip) }]);
        assert_eq!(world.passing(|| from(ONE, &[], "/")), 5);
        let refused = from(ONE, &[], "/");
        assert_eq!(world.ask(&refused, 0), Err(Cause::Limited));
        assert_eq!(refused.record.hang_up.get(), Some(end));
        assert!(refused.record.limits.take().is_none());
    }
}

#[test]
fn a_limit_that_observes_lets_through_and_counts() {
    let world = World::new(vec![LimitConfig { action: LimitAction::Observe, ..hourly(Per::Ip) }]);
    assert_eq!(world.passing(|| from(ONE, &[], "/")), 10);
    assert_eq!(world.counts("hourly"), Counts { passed: 5, observed: 5, ..Counts::default() });
}

#[test]
fn the_exempt_are_not_counted() {
    let exempt: Vec<IpNet> = vec!["192.0.2.0/25".parse().unwrap()];
    let world = World::new(vec![LimitConfig { exempt, ..hourly(Per::Listener) }]);
    assert_eq!(world.passing(|| from(ONE, &[], "/")), 10);
    assert_eq!(world.passing(|| from(OTHER, &[], "/")), 5);
    assert_eq!(world.counts("hourly"), Counts { passed: 5, refused: 5, exempt: 10, observed: 0 });
}

#[test]
fn of_several_limits_the_strictest_answers_and_others_are_not_charged() {
    let daily = limit("daily", Per::Ip, Measures { requests: rate(100, 86_400, 2), ..Measures::default() });
    let world = World::new(vec![hourly(Per::Listener), daily]);
    assert_eq!(world.passing(|| from(ONE, &[], "/")), 2);
    // Had those that were refused been charged, nothing would be left for another client.
    assert_eq!(world.passing(|| from(OTHER, &[], "/")), 2);
    let last = from(OTHER, &[], "/");
    assert_eq!(world.ask(&last, 0), Err(Cause::Limited));
    let answer = told(&last);
    assert_eq!(field(&answer, "retry-after"), "864");
    assert_eq!(field(&answer, "ratelimit"), "\"daily\";r=0;t=864");
    assert_eq!(world.counts("hourly").passed, 4);
}

#[test]
fn two_threads_together_get_the_burst_and_no_more() {
    let world = World::new(vec![limit(
        "busy",
        Per::Listener,
        Measures { requests: rate(1000, 3600, 1000), ..Measures::default() },
    )]);
    let through: usize = thread::scope(|scope| {
        let ask = |worker| {
            let request = request("/");
            let asking = Asking { request: &request, route: "a", backend: None, worker };
            let rules = &world.rules(Some(0)).requests;
            (0..5000).filter(|_| charge(rules, asking).is_ok()).count()
        };
        let threads: Vec<_> = (0..2).map(|worker| scope.spawn(move || ask(worker))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!((1000..=1001).contains(&through), "{through}");
}

#[test]
fn a_rate_that_an_operator_changes_holds_at_once_until_the_file_says_something_new() {
    let mut world = World::new(vec![hourly(Per::Ip)]);
    let name = "hourly".into();
    assert_eq!(world.passing(|| from(ONE, &[], "/")), 5);
    let more = Amount::Rate(rate(10, 3600, 10).unwrap());
    let before = world.registry.set(&name, Measure::Requests, more);
    assert_eq!(before, rate(5, 3600, 5).map(Amount::Rate));
    assert_eq!(world.passing(|| from(OTHER, &[], "/")), 10);
    assert_eq!(world.registry.set(&name, Measure::Handshakes, more), None);

    let reload = |world: &mut World, limit: LimitConfig| {
        world.limits = Limits::compile(&config(vec![limit]), &world.registry);
        world.limits.apply(&world.registry);
    };
    reload(&mut world, hourly(Per::Ip));
    assert_eq!(world.registry.in_force()[0].amount, more, "the file says what it said");
    assert_eq!(world.passing(|| from(ONE, &[], "/")), 0, "what is used up stays so");
    let new = rate(7, 3600, 7);
    reload(
        &mut world,
        LimitConfig { measures: Measures { requests: new, ..Measures::default() }, ..hourly(Per::Ip) },
    );
    assert_eq!(world.registry.in_force()[0].amount, new.map(Amount::Rate).unwrap());
    assert_eq!(world.passing(|| from("192.0.2.3:1", &[], "/")), 7);

    world.registry.set(&name, Measure::Requests, more);
    assert_eq!(world.registry.reset(&name), [(Measure::Requests, new.map(Amount::Rate).unwrap())]);
    assert_eq!(world.registry.reset(&name), []);
}

#[test]
fn what_is_compiled_and_not_applied_changes_nothing() {
    let world = World::new(vec![hourly(Per::Ip)]);
    let before = world.registry.in_force();
    let other = Measures { requests: rate(9, 1, 9), concurrent: Some(1), ..Measures::default() };
    drop(Limits::compile(&config(vec![limit("hourly", Per::Ip, other)]), &world.registry));
    assert_eq!(world.registry.in_force(), before);
}

#[test]
fn a_limit_that_comes_after_another_has_gone_begins_anew() {
    let mut world = World::new(vec![hourly(Per::Ip)]);
    assert_eq!(world.passing(|| from(ONE, &[], "/")), 5);
    for name in ["new", "hourly"] {
        world.limits = Limits::compile(
            &config(vec![LimitConfig { name: name.into(), ..hourly(Per::Ip) }]),
            &world.registry,
        );
        world.limits.apply(&world.registry);
        assert_eq!(world.passing(|| from(ONE, &[], "/")), 5, "{name}");
    }
}

#[test]
fn two_registries_on_one_table_charge_the_same_keys() {
    let table = Table::new(Arc::new(Heap::new(1024)), 7, Arc::default());
    let started = || {
        let registry = Registry::sharing(table.clone(), Arc::default());
        let limits = Limits::compile(&config(vec![hourly(Per::Ip)]), &registry);
        limits.apply(&registry);
        World { registry, limits }
    };
    assert_eq!(started().passing(|| from(ONE, &[], "/")), 5);
    assert_eq!(started().passing(|| from(ONE, &[], "/")), 0, "as after a restart");
}

#[test]
fn connections_at_a_time_are_counted_until_they_end() {
    let world =
        World::new(vec![limit("few", Per::Ip, Measures { concurrent: Some(2), ..Measures::default() })]);
    let rules = Arc::clone(&world.limits.listeners["web"]);
    let [one, other] = [ONE, OTHER].map(|text| text.parse::<std::net::SocketAddr>().unwrap().ip());
    let first = rules.connect(one, 0).unwrap();
    let _second = rules.connect(one, 1).unwrap();
    assert_eq!(rules.connect(one, 0).unwrap_err(), TurnedAway::Close);
    assert!(rules.connect(other, 0).is_ok());
    drop(first);
    assert!(rules.connect(one, 0).is_ok());
}

#[test]
fn connections_and_handshakes_are_turned_away_as_configured() {
    let one: IpAddr = "192.0.2.1".parse().unwrap();
    for (action, how) in [
        (LimitAction::Auto, TurnedAway::Close),
        (LimitAction::Reset, TurnedAway::Reset),
        (LimitAction::Drop, TurnedAway::Close),
    ] {
        let once =
            Measures { connections: rate(1, 3600, 1), handshakes: rate(1, 3600, 1), ..Measures::default() };
        let world = World::new(vec![LimitConfig { action, ..limit("once", Per::Ip, once) }]);
        let rules = &world.limits.listeners["web"];
        assert!(rules.connect(one, 0).is_ok() && rules.handshake(one, 0).is_ok());
        assert_eq!(rules.connect(one, 0).unwrap_err(), how);
        assert_eq!(rules.handshake(one, 0).unwrap_err(), how);
        assert!(rules.hellos().is_none());
    }
}

#[test]
fn a_name_and_a_kind_of_client_are_limited_by_what_the_client_hello_says() {
    let one: IpAddr = "192.0.2.1".parse().unwrap();
    let once = Measures { handshakes: rate(1, 3600, 1), ..Measures::default() };
    for (per, same, other) in [
        (Per::Sni, (Some("a.test"), Some("y")), (Some("b.test"), Some("x"))),
        (Per::Ja4, (Some("b.test"), Some("x")), (Some("a.test"), Some("y"))),
    ] {
        let world = World::new(vec![limit("once", per, once.clone())]);
        let rules = world.limits.listeners["web"].hellos().unwrap();
        assert!(rules.admit(one, (Some("a.test"), Some("x")), 0).is_ok());
        assert!(rules.admit(one, same, 0).is_err());
        assert!(rules.admit(one, other, 0).is_ok());
    }
}

#[tokio::test]
async fn bodies_wait_share_a_limit_and_arrive_whole() {
    let megabyte = Measures { bandwidth: rate(1_000_000, 1, 20_000), ..Measures::default() };
    let world = World::new(vec![limit("slow", Per::Ip, megabyte)]);
    let rules = &world.rules(Some(0)).bandwidth;
    let started = Instant::now();
    let body = |length: usize| {
        let mut asked = request("/");
        asked.body = Body::full(vec![7; length]);
        let bandwidth =
            Bandwidth::of(rules, Asking { request: &asked, route: "a", backend: None, worker: 0 });
        let bandwidth = bandwidth.unwrap();
        bandwidth.slow_request(&mut asked);
        let mut response = Response::new(Body::full(vec![8; length]));
        bandwidth.slow_answer(&mut response);
        (asked.body, response.into_body())
    };
    let (up, down) = body(150_000);
    assert_eq!(http_body::Body::size_hint(&up).exact(), Some(150_000));
    let (up, down) = tokio::join!(collected(up), collected(down));
    assert_eq!((up.unwrap().0, down.unwrap().0), (vec![7; 150_000], vec![8; 150_000]));
    // 300 kB at 1 MB/s, of which 20 at once.
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(270), "{took:?}");
    let counts = world.counts("slow");
    assert_eq!(counts.passed, 300_000);
    assert!(counts.refused > 0);
    let empty = body(0);
    assert!(http_body::Body::is_end_stream(&empty.0) && empty.1.collect().await.is_ok());
}

/// A far end that gives bytes, and takes some at a time.
#[derive(Debug)]
struct FarEnd {
    gives: Bytes,
    taken: Rc<Cell<usize>>,
}

impl Tunnel for FarEnd {
    fn poll_receive(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let most = self.gives.len().min(16 << 10);
        let piece = self.gives.split_to(most);
        Poll::Ready((most > 0).then_some(Ok(piece)))
    }

    fn poll_send(&mut self, _: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), BodyError>> {
        let taken = bytes.len().min(1000);
        *bytes = bytes.slice(taken..);
        self.taken.set(self.taken.get() + taken);
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_still(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

#[tokio::test]
async fn a_tunnel_waits_both_ways_and_loses_nothing() {
    const LENGTH: usize = 150_000;
    let megabyte = Measures { bandwidth: rate(1_000_000, 1, 20_000), ..Measures::default() };
    let world = World::new(vec![limit("slow", Per::Ip, megabyte)]);
    let asked = request("/");
    let asking = Asking { request: &asked, route: "a", backend: None, worker: 0 };
    let bandwidth = Bandwidth::of(&world.rules(Some(0)).bandwidth, asking).unwrap();
    let taken = Rc::new(Cell::new(0));
    let far = FarEnd { gives: vec![7; LENGTH].into(), taken: Rc::clone(&taken) };
    let mut response = Response::new(Body::tunnel(Box::new(far)));
    bandwidth.slow_answer(&mut response);
    let mut tunnel = response.into_body().into_tunnel().unwrap();
    let started = Instant::now();
    let mut up = Bytes::from(vec![8; LENGTH]);
    while !up.is_empty() {
        poll_fn(|context| tunnel.poll_send(context, &mut up)).await.unwrap();
    }
    let mut down = 0;
    while let Some(piece) = poll_fn(|context| tunnel.poll_receive(context)).await {
        down += piece.unwrap().len();
    }
    assert_eq!((taken.get(), down), (LENGTH, LENGTH));
    assert_eq!(world.counts("slow").passed, 2 * LENGTH as u64);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(270), "{took:?}");
}
