//! What a look-up among routes costs, by how many there are.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hyper::body::Bytes;
use hyper::{HeaderMap, Method};
use proxy_userspace::config::{
    HelloCondition, HostPattern, MiddlewareConfig, PathPattern, RouteAction, RouteConfig,
};
use proxy_userspace::route::{Query, RequestTarget, Router};

use crate::say::say;

/// How many routes: the first and the last are compared.
const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// A look-up among the most routes costs at most so many times one among the fewest.
const MOST_TIMES: f64 = 2.0;
/// The scenes, and how many routes a host has in them.
const SCENES: [(&str, usize); 4] =
    [("4 routes a host", 4), ("10 routes a host", 10), ("100 routes a host", 100), ("one host", usize::MAX)];
/// Each size is measured so often, in turn with the others.
const ROUNDS: usize = 15;
/// Look-ups of a round.
const LOOKUPS: usize = 100_000;
/// So many follow each other; before them their texts are read, as a parser would have done.
const BATCH: usize = 32;

/// A request, and the route that it must find.
struct Asked {
    host: String,
    target: RequestTarget,
    route: u32,
}

/// So many routes, compiled, and what is looked up among them.
struct Scene {
    routes: usize,
    compiled_in: Duration,
    router: Router,
    asked: Vec<Asked>,
    /// What each batch took: when another process gets the CPU, few of them show it.
    batches: Vec<Duration>,
}

/// Measures, prints, and says whether the promise is kept.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut kept = true;
    say(
        "ns a look-up, median of all batches of rounds in turn; every look-up asks for a route drawn at random",
    );
    say(&format!("{:<20}{:>12}{:>12}{:>12}{:>8}  compiled (ms)", "", "1,000", "10,000", "100,000", "times"));
    for (name, per_host) in SCENES {
        let mut scenes: Vec<Scene> =
            SIZES.iter().map(|&routes| Scene::new(routes, per_host)).collect::<Result<_, _>>()?;
        for _ in 0..ROUNDS {
            scenes.iter_mut().try_for_each(Scene::measure)?;
        }
        let times = scenes[SIZES.len() - 1].cost() / scenes[0].cost();
        kept &= times <= MOST_TIMES;
        let cost: String = scenes.iter().map(|scene| format!("{:>12.0}", scene.cost())).collect();
        let compiled: Vec<String> =
            scenes.iter().map(|scene| format!("{:.1}", scene.compiled_in.as_secs_f64() * 1e3)).collect();
        let missed = if times <= MOST_TIMES { "" } else { "  MISSED" };
        say(&format!("{name:<20}{cost}{times:>8.2}  {}{missed}", compiled.join(" / ")));
    }
    say(&format!("to reach: 100,000 routes at most {MOST_TIMES} times 1,000"));
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Scene {
    fn new(routes: usize, per_host: usize) -> anyhow::Result<Self> {
        let configs: Vec<RouteConfig> = (0..routes).map(|index| route(index, per_host)).collect();
        let begin = Instant::now();
        let router = Router::compile(&configs)?;
        let compiled_in = begin.elapsed();
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        let mut draw = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % routes as u64) as usize
        };
        let asked = (0..LOOKUPS).map(|_| Asked::of(draw(), per_host)).collect::<Result<_, _>>()?;
        Ok(Self { routes, compiled_in, router, asked, batches: Vec::new() })
    }

    fn measure(&mut self) -> anyhow::Result<()> {
        let headers = HeaderMap::new();
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let mut wrong = 0;
        for batch in self.asked.chunks(BATCH) {
            for asked in batch {
                black_box(asked.host.bytes().chain(asked.target.path().bytes()).fold(0, u8::wrapping_add));
            }
            let begin = Instant::now();
            for Asked { host, target, route } in batch {
                let query = Query {
                    listener: "web",
                    host,
                    target,
                    method: &Method::GET,
                    headers: &headers,
                    client,
                    hello: None,
                };
                let found = self.router.find(black_box(&query));
                wrong += usize::from(found.map(|found| found.route) != Some(*route));
            }
            self.batches.push(begin.elapsed());
        }
        ensure!(wrong == 0, "{wrong} of {LOOKUPS} look-ups among {} routes went wrong", self.routes);
        Ok(())
    }

    /// Nanoseconds a look-up.
    fn cost(&self) -> f64 {
        let mut batches = self.batches.clone();
        batches.sort_unstable();
        batches.get(batches.len() / 2).map_or(f64::NAN, |batch| batch.as_nanos() as f64 / BATCH as f64)
    }
}

impl Asked {
    /// A request of the route `index`.
    fn of(index: usize, per_host: usize) -> anyhow::Result<Self> {
        let RouteConfig { hosts, path, .. } = route(index, per_host);
        let host = match hosts.into_iter().next().context("every route has a host")? {
            HostPattern::Exact(name) => name.into(),
            HostPattern::Wildcard(suffix) => format!("www.{suffix}"),
        };
        let path = match path {
            PathPattern::Exact(path) => path.into(),
            PathPattern::Prefix(path) => format!("{path}/some/thing"),
            PathPattern::Any | PathPattern::Regex(_) => "/".to_owned(),
        };
        Ok(Self { host, target: RequestTarget::parse(Bytes::from(path))?, route: index as u32 })
    }
}

/// A host of four is a wildcard, a path of four is exact, the others are prefixes.
fn route(index: usize, per_host: usize) -> RouteConfig {
    const WORDS: [&str; 8] = ["users", "orders", "static", "images", "v1", "items", "search", "admin"];
    let (number, at) = (index / per_host, index % per_host);
    let word = |number: usize| format!("{}{number}", WORDS[number % WORDS.len()]);
    let host: Box<str> = format!("service-{number}.example.com").into();
    let path: Box<str> = format!("/{}/{}", word(at / 8), word(at)).into();
    RouteConfig {
        name: format!("route-{index}").into(),
        listeners: vec!["web".into()],
        hosts: vec![if number % 4 == 3 { HostPattern::Wildcard(host) } else { HostPattern::Exact(host) }],
        path: if at % 4 == 3 { PathPattern::Exact(path) } else { PathPattern::Prefix(path) },
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        client_ip: Vec::new(),
        client_hello: HelloCondition::default(),
        passthrough: false,
        action: RouteAction::Pool("pool".into()),
        middleware: MiddlewareConfig::default(),
        request_timeout: None,
        line: index,
    }
}
