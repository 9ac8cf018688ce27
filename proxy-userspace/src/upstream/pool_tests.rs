//! Facts about pools: who is chosen, who is left out, who waits.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::registry::Registry;
use super::*;
use crate::config::{BackendConfig, EjectConfig, HashKey};

const SECOND: Duration = Duration::from_secs(1);

fn config(weights: &[u32], web: WebPoolConfig) -> PoolConfig {
    let backend = |(port, weight): (u16, &u32)| BackendConfig {
        endpoint: SocketAddr::from(([127, 0, 0, 1], port)).into(),
        weight: *weight,
        drain: false,
    };
    PoolConfig {
        name: PoolName::from("test"),
        backends: (1..).zip(weights).map(backend).collect(),
        health: None,
        web,
    }
}

fn pool(weights: &[u32], balance: Balance) -> Arc<Pool> {
    let web = WebPoolConfig { balance, ..WebPoolConfig::default() };
    Registry::new(1).pool(&config(weights, web)).unwrap()
}

fn ask() -> Ask {
    Ask { now: Instant::now(), key: 0 }
}

fn port(backend: &Backend) -> u16 {
    let Target::Tcp(address) = &backend.target else { panic!("tcp") };
    address.port()
}

fn enter(pool: &Pool) -> Permit {
    pool.enter(&ask(), &[]).unwrap().unwrap()
}

/// How often each was chosen, of this many requests that end at once.
fn chosen(pool: &Pool, requests: usize) -> HashMap<u16, usize> {
    let mut counts = HashMap::new();
    for _ in 0..requests {
        *counts.entry(port(enter(pool).backend())).or_default() += 1;
    }
    counts
}

#[test]
fn each_policy_serves_all_by_their_weights() {
    let policies = [
        (Balance::RoundRobin, 0),
        (Balance::Random, 700),
        (Balance::LeastConnections, 4_000),
        (Balance::P2c, 4_000),
    ];
    for (balance, off) in policies {
        let pool = pool(&[1, 2, 1], balance.clone());
        let counts = chosen(&pool, 8_000);
        for (port, share) in [(1, 2_000usize), (2, 4_000), (3, 2_000)] {
            let count = counts.get(&port).copied().unwrap_or_default();
            assert!(count.abs_diff(share) <= off, "{balance:?}: {counts:?}");
        }
    }
}

#[test]
fn least_and_p2c_spread_requests_in_flight_by_weight() {
    for balance in [Balance::LeastConnections, Balance::P2c] {
        let pool = pool(&[1, 2, 1], balance.clone());
        let permits: Vec<_> = (0..400).map(|_| enter(&pool)).collect();
        let counts: Vec<_> = pool.view(Instant::now()).iter().map(|backend| backend.busy).collect();
        assert!(counts[0].abs_diff(100) < 20 && counts[1].abs_diff(200) < 20, "{balance:?}: {counts:?}");
        drop(permits);
        assert!(pool.view(Instant::now()).iter().all(|backend| backend.busy == 0));
    }
}

#[test]
fn p2c_avoids_who_is_slow_and_who_fails_fast() {
    let pool = pool(&[1, 1, 1], Balance::P2c);
    let now = Instant::now();
    for _ in 0..300 {
        let backend = Arc::clone(enter(&pool).backend());
        match port(&backend) {
            1 => pool.answered(&backend, Duration::from_millis(200), now),
            2 => backend.answered(Duration::from_millis(1), now),
            _ => drop(backend.failed(now)),
        }
    }
    let counts = chosen(&pool, 3_000);
    assert!(counts[&2] > 1_900, "{counts:?}");
    assert!(counts.get(&3).copied().unwrap_or_default() < 10, "{counts:?}");
}

#[test]
fn the_same_key_gets_the_same_backend() {
    let pool = pool(&[1, 1, 1], Balance::Maglev(HashKey::ClientIp));
    let of = |key| {
        let ask = Ask { key, ..ask() };
        port(pool.enter(&ask, &[]).unwrap().unwrap().backend())
    };
    let first: Vec<_> = (0..100).map(of).collect();
    assert_eq!(first, (0..100).map(of).collect::<Vec<_>>());
    pool.set_up(&Target::Tcp(([127, 0, 0, 1], 2).into()), false);
    for (before, after) in first.iter().zip((0..100).map(of)) {
        assert!(after != 2 && (*before == 2 || *before == after));
    }
    pool.set_up(&Target::Tcp(([127, 0, 0, 1], 2).into()), true);
    assert_eq!(first, (0..100).map(of).collect::<Vec<_>>());
}

#[test]
fn who_is_down_or_drained_gets_nothing_new() {
    for balance in [Balance::RoundRobin, Balance::LeastConnections, Balance::P2c, Balance::Random] {
        let pool = pool(&[1, 1, 1, 0], balance);
        pool.set_up(&Target::Tcp(([127, 0, 0, 1], 1).into()), false);
        let drained = SocketAddr::from(([127, 0, 0, 1], 2)).into();
        pool.set_drained(&drained, true);
        assert_eq!(chosen(&pool, 100), HashMap::from([(3, 100)]));
        pool.set_drained(&drained, false);
        assert!(chosen(&pool, 100).contains_key(&2));
    }
}

#[test]
fn a_pool_of_which_nobody_serves_says_so() {
    let pool = pool(&[1], Balance::RoundRobin);
    pool.set_up(&Target::Tcp(([127, 0, 0, 1], 1).into()), false);
    assert_eq!(pool.enter(&ask(), &[]).unwrap_err(), NoPlace::NoBackend);
}

#[test]
fn a_retry_goes_elsewhere_if_there_is_an_elsewhere() {
    for balance in [Balance::RoundRobin, Balance::P2c, Balance::Maglev(HashKey::Uri)] {
        let pool = pool(&[1, 1], balance);
        for _ in 0..20 {
            let first = Arc::clone(enter(&pool).backend());
            let second =
                Arc::clone(pool.enter(&ask(), std::slice::from_ref(&first)).unwrap().unwrap().backend());
            assert_ne!(first.id, second.id);
            assert!(pool.enter(&ask(), &[first, second]).unwrap().is_some());
        }
    }
}

#[test]
fn who_fails_in_a_row_is_left_alone_for_a_while_but_not_all_are() {
    let eject = EjectConfig { failures: 3, duration: 10 * SECOND, max_share: 0.5 };
    let web = WebPoolConfig { eject: Some(eject), ..WebPoolConfig::default() };
    let pool = Registry::new(1).pool(&config(&[1, 1, 1], web)).unwrap();
    let now = Instant::now();
    let backends: Vec<_> = pool.members().backends().cloned().collect();
    for backend in &backends[..2] {
        pool.failed(backend, now);
        pool.failed(backend, now);
        assert!(chosen(&pool, 30).contains_key(&port(backend)));
        pool.failed(backend, now);
    }
    let counts = chosen(&pool, 30);
    assert!(!counts.contains_key(&1) && counts.contains_key(&2) && counts.contains_key(&3), "{counts:?}");
    assert_eq!(pool.view(now)[0].ejected, Some(10 * SECOND));
    // Its time over, it is tried again.
    let later = Ask { now: now + 11 * SECOND, key: 0 };
    let ports: Vec<_> = (0..3).map(|_| port(pool.enter(&later, &[]).unwrap().unwrap().backend())).collect();
    assert!(ports.contains(&1), "{ports:?}");
}

#[test]
fn one_backend_alone_is_never_left_alone() {
    let pool = pool(&[1], Balance::RoundRobin);
    let backend = pool.members().backends().next().cloned().unwrap();
    for _ in 0..100 {
        pool.failed(&backend, Instant::now());
    }
    assert_eq!(chosen(&pool, 1)[&1], 1);
}

fn small(most: u32, queue: u32) -> WebPoolConfig {
    WebPoolConfig {
        max_connections: most,
        max_queue: queue,
        queue_timeout: Duration::from_millis(20),
        ..WebPoolConfig::default()
    }
}

#[tokio::test]
async fn who_finds_all_full_waits_in_line_and_is_handed_the_next_place() {
    let pool = Registry::new(1).pool(&config(&[1, 1], small(1, 2))).unwrap();
    let permits = [enter(&pool), enter(&pool)];
    assert!(pool.enter(&ask(), &[]).unwrap().is_none());
    let (first, second) = (ask(), ask());
    let mut first = Box::pin(pool.wait(&first));
    let mut second = Box::pin(pool.wait(&second));
    assert!(futures_pending(&mut first).await && futures_pending(&mut second).await);
    assert_eq!(pool.wait(&ask()).await.unwrap_err(), NoPlace::QueueFull);
    drop(permits);
    // Who comes now stands behind them.
    assert!(pool.enter(&ask(), &[]).unwrap().is_none() || pool.waiting() == 0);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_ne!(first.backend().id, second.backend().id);
    drop((first, second));
    assert_eq!(chosen(&pool, 2).len(), 2);
}

#[tokio::test]
async fn who_waits_too_long_is_told_so_and_takes_no_place() {
    let pool = Registry::new(1).pool(&config(&[1], small(1, 2))).unwrap();
    let permit = enter(&pool);
    assert_eq!(pool.wait(&ask()).await.unwrap_err(), NoPlace::QueueTimeout);
    drop(permit);
    // The first finds the line of those who have gone, and is served through it.
    drop(pool.wait(&ask()).await.unwrap());
    drop(enter(&pool));
}

#[tokio::test]
async fn a_backend_that_comes_up_serves_those_who_wait() {
    let pool = Registry::new(1).pool(&config(&[1, 1], small(1, 2))).unwrap();
    let second = Target::Tcp(([127, 0, 0, 1], 2).into());
    pool.set_up(&second, false);
    let _permit = enter(&pool);
    let ask = ask();
    let mut waiting = Box::pin(pool.wait(&ask));
    assert!(futures_pending(&mut waiting).await);
    pool.set_up(&second, true);
    assert_eq!(port(waiting.await.unwrap().backend()), 2);
}

async fn futures_pending<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

#[test]
fn a_reload_loses_nothing_of_what_is_known() {
    let registry = Registry::new(1);
    let old = registry.pool(&config(&[1, 1], WebPoolConfig::default())).unwrap();
    let target = Target::Tcp(([127, 0, 0, 1], 1).into());
    old.set_up(&target, false);
    let permit = enter(&old);
    let new = registry.pool(&config(&[5, 5, 5], small(1, 1))).unwrap();
    let view = new.view(Instant::now());
    assert_eq!((view[0].up, view[1].busy, view[2].busy), (false, 1, 0));
    // What the new one learns, the old one's requests obey too.
    new.set_up(&target, true);
    assert!(chosen(&old, 4).contains_key(&1));
    drop(permit);
    assert_eq!(new.view(Instant::now())[1].busy, 0);
}

#[tokio::test]
async fn requests_wait_for_a_name_that_is_being_resolved() {
    let mut named = config(&[], small(1, 2));
    let endpoint = Endpoint::Name { host: "app.test".into(), port: 80 };
    named.backends = vec![BackendConfig { endpoint, weight: 1, drain: false }];
    let pool = Registry::new(1).pool(&named).unwrap();
    let ask = ask();
    let mut waiting = Box::pin(pool.wait(&ask));
    assert!(futures_pending(&mut waiting).await);
    pool.set_addresses("app.test", &["10.0.0.1".parse().unwrap()]);
    assert_eq!(waiting.await.unwrap().backend().target.to_string(), "10.0.0.1:80");
}

#[test]
fn a_name_has_the_addresses_that_were_resolved_last() {
    let mut named = config(&[], WebPoolConfig::default());
    let endpoint = Endpoint::Name { host: "app.test".into(), port: 80 };
    named.backends = vec![BackendConfig { endpoint, weight: 1, drain: false }];
    let registry = Registry::new(1);
    let pool = registry.pool(&named).unwrap();
    // Not known yet is not unknown.
    assert!(pool.enter(&ask(), &[]).unwrap().is_none());
    pool.set_addresses("app.test", &[]);
    assert_eq!(pool.enter(&ask(), &[]).unwrap_err(), NoPlace::NoBackend);
    let addresses: Vec<IpAddr> = ["10.0.0.1", "2001:db8::1"].map(|ip| ip.parse().unwrap()).into();
    registry.set_addresses("app.test", &addresses);
    pool.set_addresses("app.test", &addresses);
    let reloaded = registry.pool(&named).unwrap();
    for pool in [&pool, &reloaded] {
        let targets: Vec<_> = pool.view(Instant::now()).iter().map(|b| b.target.to_string()).collect();
        assert_eq!(targets, ["10.0.0.1:80", "[2001:db8::1]:80"]);
    }
    let first = enter(&pool);
    pool.set_addresses("app.test", &addresses[1..]);
    assert_eq!(pool.view(Instant::now()).len(), 1);
    drop(first);
}
