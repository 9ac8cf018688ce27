//! Facts about the supervisor, with a kernel part that only writes down what it is told.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::dataplane::{Dataplane, DataplaneError, Known, Observed, Place, Seen};
use super::handover::Estate;
use super::order::Order;
use super::outside::Outside;
use super::run::{RunError, start};
use super::supervisor::{Events, Supervisor};
use crate::admin::api::{Drain, Interface, Refusal, RefusalKind, State, Status, Traffic};
use crate::admin::{Client, ClientError};
use crate::config::{Forward, KernelConfig};
use crate::l4::{Desired, DesiredBackend};
use crate::upstream::health::{CheckKey, Failure, Health, Report};

/// What a kernel part was told, and what it shall say.
#[derive(Default)]
struct Told {
    applied: Vec<Desired>,
    attached: Vec<Vec<String>>,
    refuse_apply: bool,
    refuse_attach: bool,
    kept: bool,
    known: HashMap<Place, Known>,
    observed: Observed,
}

#[derive(Clone, Default)]
struct Fake(Rc<RefCell<Told>>);

impl Fake {
    fn last(&self) -> Desired {
        self.0.borrow().applied.last().expect("nothing was applied").clone()
    }

    fn backend(&self, listener: &str, address: &str) -> DesiredBackend {
        let (last, address) = (self.last(), address.parse::<SocketAddr>().unwrap());
        let listener = last.listeners.iter().find(|l| l.name.as_str() == listener).unwrap();
        *listener.backends.iter().find(|b| b.address == address).unwrap()
    }

    fn times_applied(&self) -> usize {
        self.0.borrow().applied.len()
    }
}

impl Dataplane for Fake {
    fn known(&self) -> HashMap<Place, Known> {
        self.0.borrow().known.clone()
    }

    fn apply(&mut self, desired: &Desired) -> Result<Vec<String>, DataplaneError> {
        let mut told = self.0.borrow_mut();
        if told.refuse_apply {
            return Err("no space in a map".into());
        }
        told.applied.push(desired.clone());
        Ok(vec![])
    }

    fn attach(&mut self, config: &KernelConfig) -> Result<Vec<String>, DataplaneError> {
        let mut told = self.0.borrow_mut();
        if told.refuse_attach && config.interfaces != ["eth0"] {
            return Err("no such interface".into());
        }
        told.attached.push(config.interfaces.clone());
        told.observed.interfaces = config
            .interfaces
            .iter()
            .map(|name| Interface { name: name.clone(), mode: "native".into(), note: None })
            .collect();
        Ok(vec![])
    }

    fn keep(&mut self) {
        self.0.borrow_mut().kept = true;
    }

    fn follow(&mut self) -> Result<Vec<String>, DataplaneError> {
        Ok(vec![])
    }

    fn collect(&mut self) -> Result<(), DataplaneError> {
        Ok(())
    }

    fn observe(&self) -> Result<Observed, DataplaneError> {
        Ok(self.0.borrow().observed.clone())
    }

    fn explain(&self, tuple: &str) -> Result<serde_json::Value, DataplaneError> {
        Ok(format!("explained {tuple}").into())
    }
}

const CONFIG: &str = r#"
[kernel]
interfaces = ["eth0"]
[listener.web]
bind = ["10.0.0.1:80"]
protocol = "tcp"
pool = "app"
forward = "dsr"
[listener.dns]
bind = ["10.0.0.1:53"]
protocol = "udp"
pool = "app"
forward = "dsr"
[pool.app]
backends = ["10.1.0.1", { address = "10.1.0.2", weight = 3 }]
"#;

/// With checks, the first of which never ends: nothing runs them.
fn checked() -> String {
    CONFIG.replace("[pool.app]", "[pool.app]\nhealth = { tcp = true, port = 9, interval = \"1h\" }")
}

/// A daemon with a folder of its own; both go with the test.
struct World {
    folder: PathBuf,
    kernel: Fake,
    io: Runtime,
}

impl World {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("pn-control-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let io = Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder, kernel: Fake::default(), io }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("proxy.toml")
    }

    /// Writes a configuration with the folder's admin socket, as editors do: by renaming another file over it.
    fn write(&self, config: &str) {
        let text = format!("{config}\n[admin]\nsocket = \"{}\"\n", self.socket().display());
        std::fs::write(self.folder.join("new"), text).unwrap();
        std::fs::rename(self.folder.join("new"), self.file()).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    fn start(&self) -> Result<(Supervisor, Events, mpsc::Sender<Order>), RunError> {
        let kernel = self.kernel.clone();
        let open = move |_: &KernelConfig| Ok(Box::new(kernel.clone()) as Box<dyn Dataplane>);
        let outside = Outside { load: Box::new(crate::config::load), open: Box::new(open), give_back: || () };
        let (orders, ordered) = mpsc::channel(8);
        let (supervisor, events) =
            start(&self.file(), outside, self.io.handle().clone(), ordered, Estate::default())?;
        Ok((supervisor, events, orders))
    }

    fn started(name: &str, config: &str) -> (Self, Supervisor) {
        let world = Self::new(name);
        world.write(config);
        let (supervisor, ..) = world.start().unwrap();
        (world, supervisor)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn drain(backend: &str) -> Drain {
    Drain { backend: backend.into(), pool: None }
}

fn key(backend: &str) -> CheckKey {
    CheckKey { pool: "app".into(), backend: backend.parse().unwrap() }
}

fn report(backend: &str, health: Health) -> Report {
    Report { key: key(backend), health, changed: true, took: Duration::from_millis(3) }
}

fn down() -> Health {
    Health::Down(Arc::new(Failure::Status(503)))
}

#[test]
fn a_configuration_becomes_what_the_kernel_part_is_told() {
    let (world, supervisor) = World::started("compile", CONFIG);
    assert_eq!(world.kernel.0.borrow().attached, [["eth0"]]);
    let desired = world.kernel.last();
    let names: Vec<_> = desired.listeners.iter().map(|l| (l.name.as_str(), l.forward)).collect();
    assert_eq!(names, [("web", Forward::Dsr), ("dns", Forward::Dsr)]);
    // A backend without a port answers on the listener's.
    assert_eq!(world.kernel.backend("dns", "10.1.0.2:53").weight, 3);
    assert_eq!(
        world.kernel.backend("dns", "10.1.0.1:53"),
        DesiredBackend::ready("10.1.0.1:53".parse().unwrap(), 1)
    );
    assert_eq!(supervisor.status().daemon.unwrap().reloads, 1);
}

#[test]
fn a_start_that_fails_keeps_nothing_in_the_kernel() {
    let world = World::new("start-fails");
    world.write(&CONFIG.replace("eth0", "eth1"));
    world.kernel.0.borrow_mut().refuse_attach = true;
    assert!(matches!(world.start(), Err(RunError::Kernel(_))));
    assert!(!world.kernel.0.borrow().kept);
    assert!(!world.socket().exists());
    world.kernel.0.borrow_mut().refuse_attach = false;
    let _started = world.start().unwrap();
    assert!(world.kernel.0.borrow().kept);
}

#[test]
fn a_reload_says_what_changed_and_keeps_what_did_not() {
    let (world, mut supervisor) = World::started("reload", CONFIG);
    world.write(&CONFIG.replace("weight = 3", "weight = 5").replace("\"10.1.0.1\", ", ""));
    let changes: Vec<_> = supervisor
        .reload("test")
        .unwrap()
        .changes
        .into_iter()
        .map(|c| format!("{} {} {}", c.what, c.name, c.how))
        .collect();
    assert_eq!(changes, ["backend app/10.1.0.1 removed", "backend app/10.1.0.2 weight 3 -> 5"]);
    assert_eq!(world.kernel.backend("dns", "10.1.0.2:53").weight, 5);
    assert_eq!(supervisor.reload("again").unwrap().changes, []);
    assert_eq!(world.kernel.0.borrow().attached.len(), 1, "the interfaces stay, so nothing is attached anew");
}

fn refused(supervisor: &mut Supervisor) -> Refusal {
    let before = (supervisor.config.listeners.clone(), supervisor.applied.clone());
    let refusal = supervisor.reload("test").unwrap_err();
    assert_eq!(before.0, supervisor.config.listeners);
    assert_eq!(before.1, supervisor.applied);
    refusal
}

#[test]
fn a_bad_configuration_replaces_nothing_and_every_mistake_is_told() {
    let (world, mut supervisor) = World::started("bad", CONFIG);
    world.write(&CONFIG.replace("[kernel]", "[kernel]\nflows = 1\nflosw = 2"));
    let refusal = refused(&mut supervisor);
    assert_eq!(refusal.kind, RefusalKind::BadConfig);
    assert_eq!(refusal.mistakes.iter().filter(|m| m.severity == "error").count(), 2, "{refusal:?}");
    assert_eq!(world.kernel.times_applied(), 1);
    let daemon = supervisor.status().daemon.unwrap();
    assert_eq!((daemon.reloads, daemon.reloads_refused), (1, 1));
    assert!(daemon.refused.is_some());

    world.write(CONFIG);
    supervisor.reload("test").unwrap();
    assert_eq!(supervisor.status().daemon.unwrap().refused, None);
}

#[test]
fn what_the_kernel_part_refuses_leaves_the_old_configuration() {
    let (world, mut supervisor) = World::started("kernel-refuses", CONFIG);
    world.write(&CONFIG.replace("weight = 3", "weight = 5"));
    world.kernel.0.borrow_mut().refuse_apply = true;
    assert!(refused(&mut supervisor).error.contains("no space in a map"));
    world.kernel.0.borrow_mut().refuse_apply = false;
    supervisor.reload("test").unwrap();
}

#[test]
fn an_interface_that_cannot_be_attached_to_leaves_the_old_ones_and_the_old_tables() {
    let (world, mut supervisor) = World::started("attach-refuses", CONFIG);
    world.write(&CONFIG.replace("eth0", "eth1").replace("weight = 3", "weight = 5"));
    world.kernel.0.borrow_mut().refuse_attach = true;
    assert!(refused(&mut supervisor).error.contains("no such interface"));
    assert_eq!(world.kernel.backend("dns", "10.1.0.2:53").weight, 3, "the tables were put back");
    assert_eq!(world.kernel.0.borrow().attached.last().unwrap(), &["eth0"]);
}

#[test]
fn a_secret_that_cannot_be_read_leaves_the_kernel_part_alone() {
    let (world, mut supervisor) = World::started("tickets", CONFIG);
    let told = || (world.kernel.times_applied(), world.kernel.0.borrow().attached.len());
    let before = told();
    let tickets = "[tls]\ntickets = { key_file = \"/nowhere/tickets.key\" }\n";
    world.write(&(CONFIG.replace("eth0", "eth1") + tickets));
    let refusal = refused(&mut supervisor);
    assert!(refusal.error.contains("/nowhere/tickets.key"), "{}", refusal.error);
    assert_eq!(told(), before);
}

#[test]
fn what_needs_a_restart_is_refused_and_says_so() {
    let (world, mut supervisor) = World::started("restart", CONFIG);
    world.write(&CONFIG.replace("[kernel]", "[kernel]\nflows = 4096"));
    assert!(refused(&mut supervisor).error.contains("restart the daemon"));
}

#[test]
fn a_drained_backend_stays_drained_through_reloads_until_it_is_gone() {
    let (world, mut supervisor) = World::started("drain", CONFIG);
    let drained = supervisor.drain(&drain("10.1.0.1"), true, None).unwrap();
    assert_eq!(drained.backends.len(), 1);
    assert_eq!(drained.backends[0].state, State::Draining);
    assert!(world.kernel.backend("web", "10.1.0.1:80").drained_by_hand);
    assert!(!world.kernel.backend("web", "10.1.0.2:80").drained_by_hand);
    world.write(&CONFIG.replace("weight = 3", "weight = 5"));
    supervisor.reload("test").unwrap();
    assert!(world.kernel.backend("dns", "10.1.0.1:53").drained_by_hand);

    world.write(&CONFIG.replace("\"10.1.0.1\", ", ""));
    supervisor.reload("test").unwrap();
    world.write(CONFIG);
    supervisor.reload("test").unwrap();
    assert!(!world.kernel.backend("web", "10.1.0.1:80").drained_by_hand, "who comes back is not drained");
}

#[test]
fn undrain_ends_it_and_a_refusal_changes_nothing() {
    let (world, mut supervisor) = World::started("undrain", CONFIG);
    supervisor.drain(&drain("10.1.0.1"), true, None).unwrap();
    world.kernel.0.borrow_mut().refuse_apply = true;
    assert_eq!(supervisor.drain(&drain("10.1.0.1"), false, None).unwrap_err().kind, RefusalKind::Failed);
    assert_eq!(supervisor.status().pools[0].backends[0].state, State::Draining);
    world.kernel.0.borrow_mut().refuse_apply = false;
    supervisor.drain(&drain("10.1.0.1"), false, None).unwrap();
    assert_eq!(supervisor.status().pools[0].backends[0].state, State::Ready);
}

#[test]
fn draining_what_is_not_there_says_what_is() {
    let (_world, mut supervisor) = World::started("drain-unknown", CONFIG);
    let mut say = |backend: &str, pool: Option<&str>| {
        let which = Drain { backend: backend.into(), pool: pool.map(Into::into) };
        supervisor.drain(&which, true, None).unwrap_err()
    };
    assert_eq!(say("10.9.9.9", None).kind, RefusalKind::NotFound);
    assert!(say("10.1.0.1", Some("nope")).error.contains("there are app"));
    assert_eq!(say("elsewhere", None).kind, RefusalKind::BadRequest);
}

#[test]
fn a_restart_takes_over_who_was_drained_and_who_was_down() {
    let world = World::new("adopt");
    world.write(
        &CONFIG.replace("[pool.app]", "[pool.app]\nhealth = { tcp = true, port = 9, interval = \"1h\" }"),
    );
    let place = |address: &str| Place { listener: "web".into(), address: address.parse().unwrap() };
    world.kernel.0.borrow_mut().known = HashMap::from([
        (place("10.1.0.1:80"), Known { drained_by_hand: true, down: false }),
        (place("10.1.0.2:80"), Known { drained_by_hand: false, down: true }),
    ]);
    let (supervisor, ..) = world.start().unwrap();
    assert!(world.kernel.backend("web", "10.1.0.1:80").drained_by_hand);
    assert!(world.kernel.backend("web", "10.1.0.2:80").down, "until a check says otherwise");
    assert_eq!(supervisor.status().pools[0].backends[1].state, State::Down);
}

#[test]
fn health_takes_backends_out_and_many_changes_cost_one() {
    let (world, mut supervisor) = World::started("health", &checked());
    let (sender, mut reports) = mpsc::unbounded_channel();
    for _ in 0..100 {
        sender.send(report("10.1.0.1", Health::Up)).unwrap();
        sender.send(report("10.1.0.1", down())).unwrap();
    }
    supervisor.reported(report("10.1.0.2", down()), &mut reports);
    assert_eq!(world.kernel.times_applied(), 2, "one at the start, one for all reports");
    assert!(world.kernel.backend("web", "10.1.0.1:80").down);
    assert!(world.kernel.backend("dns", "10.1.0.2:53").down);
    supervisor.reported(report("10.1.0.2", Health::Up), &mut reports);
    assert!(!world.kernel.backend("dns", "10.1.0.2:53").down);
}

#[test]
fn a_late_report_of_a_check_that_was_ended_is_not_believed() {
    let (world, mut supervisor) = World::started("late", &checked());
    world.write(CONFIG);
    supervisor.reload("test").unwrap();
    supervisor.reported(report("10.1.0.1", down()), &mut mpsc::unbounded_channel().1);
    assert!(!world.kernel.backend("web", "10.1.0.1:80").down);
    assert_eq!(supervisor.status().pools[0].backends[0].state, State::Ready);
}

#[test]
fn what_could_not_be_applied_is_applied_later() {
    let (world, mut supervisor) = World::started("later", &checked());
    world.kernel.0.borrow_mut().refuse_apply = true;
    supervisor.reported(report("10.1.0.1", down()), &mut mpsc::unbounded_channel().1);
    world.kernel.0.borrow_mut().refuse_apply = false;
    assert_eq!(world.kernel.times_applied(), 1);
    supervisor.refresh();
    assert!(world.kernel.backend("web", "10.1.0.1:80").down);
}

#[test]
fn a_backend_without_a_route_is_down_and_status_says_why() {
    let (world, supervisor) = World::started("no-route", CONFIG);
    let place = Place { listener: "web".into(), address: "10.1.0.1:80".parse().unwrap() };
    world.kernel.0.borrow_mut().observed.backends =
        HashMap::from([(place, Seen { down: true, ..Seen::default() })]);
    let backend = supervisor.status().pools[0].backends[0].clone();
    assert_eq!(backend.state, State::Down);
    assert_eq!(backend.health.why.as_deref(), Some("no route to it"));
}

#[test]
fn status_sums_over_listeners_and_measures_rates() {
    let (world, mut supervisor) = World::started("status", CONFIG);
    let see = |listener: &str, address: &str, packets: u64| {
        let place = Place { listener: listener.into(), address: address.parse().unwrap() };
        let traffic = Traffic { packets, ..Traffic::default() };
        (place, Seen { flows: 2, traffic, down: false })
    };
    let observe = |factor: u64| {
        world.kernel.0.borrow_mut().observed.backends = HashMap::from([
            see("web", "10.1.0.1:80", 100 * factor),
            see("web", "10.1.0.2:80", 10 * factor),
            see("dns", "10.1.0.1:53", factor),
        ]);
        world.kernel.0.borrow().observed.clone()
    };
    let begin = Instant::now();
    supervisor.rates.measure(&observe(1), begin);
    supervisor.rates.measure(&observe(3), begin + Duration::from_secs(2));
    let Status { listeners, pools, .. } = supervisor.status();
    assert_eq!(listeners[0].use_.traffic.packets, 330);
    assert_eq!(listeners[0].use_.rate.packets, 110.0);
    let first = &pools[0].backends[0];
    assert_eq!((first.use_.traffic.packets, first.use_.flows), (303, 4));
    assert_eq!(first.use_.rate.packets, 101.0);
    assert_eq!(first.health.word, "unchecked");
}

#[test]
fn every_metric_is_in_the_documents() {
    let (_world, supervisor) = World::started("metrics", CONFIG);
    let text = super::metrics::text(
        &supervisor.status(),
        &supervisor.limit_rows(),
        &supervisor.web,
        &supervisor.certs,
        &supervisor.compared,
    );
    let documents = include_str!("../../../docs/operations.md");
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, _) = line.split_once(' ').unwrap();
        assert!(documents.contains(&format!("`{name}`")), "{name} is not in docs/operations.md");
    }
    assert!(text.contains("proxy_now_interface_attached{interface=\"eth0\",mode=\"native\"} 1\n"));
}

/// Runs the loop, its admin socket and its watch of the file beside what a test does; then it must end.
fn serving_loop(world: &World, test: impl Future<Output = ()>) {
    let (mut supervisor, events, orders) = world.start().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let known = std::fs::read(world.file()).ok();
    let io = world.io.handle();
    let watch = io.spawn(super::watch::watch(world.file(), known, orders.clone()));
    std::thread::scope(|threads| {
        let io = &world.io;
        threads.spawn(move || io.block_on(async { drop(stopped.await) }));
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let test = async {
                test.await;
                orders.send(Order::Stop("test")).await.unwrap();
            };
            let (who, ()) = tokio::join!(supervisor.run(events), test);
            assert_eq!(who, "test");
        });
        watch.abort();
        drop(stop);
    });
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("in five seconds, never: {what}");
}

#[test]
fn the_admin_socket_is_answered_and_the_file_is_watched() {
    let world = World::new("loop");
    world.write(CONFIG);
    let client = Client::new(world.socket());
    let weights = async || -> Vec<u32> {
        client.status().await.unwrap().pools[0].backends.iter().filter_map(|b| b.weight).collect()
    };
    serving_loop(&world, async {
        assert_eq!(weights().await, [1, 3]);
        assert_eq!(client.explain("tcp a -> b").await.unwrap(), "explained tcp a -> b");
        assert!(
            client
                .metrics()
                .await
                .unwrap()
                .contains("proxy_now_backend_weight{pool=\"app\",backend=\"10.1.0.2\"} 3\n")
        );
        let reloads = async || client.health().await.unwrap().reloads;
        let before = reloads().await;
        world.write(&CONFIG.replace("weight = 3", "weight = 7"));
        until("a renamed file is seen", async || weights().await == [1, 7]).await;
        assert_eq!(reloads().await, before + 1, "once is enough");

        // Written in place.
        let text = std::fs::read_to_string(world.file()).unwrap();
        std::fs::write(world.file(), text.replace("weight = 7", "weight = 8")).unwrap();
        until("a written file is seen", async || weights().await == [1, 8]).await;

        world.write("[kernel\n");
        until("a bad file is refused", async || client.health().await.unwrap().refused.is_some()).await;
        assert_eq!(weights().await, [1, 8]);
        match client.reload().await {
            Err(ClientError::Refused(refusal)) => assert_eq!(refusal.kind, RefusalKind::BadConfig),
            other => panic!("{other:?}"),
        }
    });
}

/// As configuration managers do it: the file is a link through a folder that is swapped whole.
#[test]
fn a_link_that_leads_elsewhere_is_seen() {
    use std::os::unix::fs::symlink;
    let world = World::new("link");
    let version = |name: &str, config: &str| {
        world.write(config);
        std::fs::create_dir(world.folder.join(name)).unwrap();
        std::fs::rename(world.file(), world.folder.join(name).join("proxy.toml")).unwrap();
    };
    let point_to = |name: &str| {
        symlink(name, world.folder.join("next")).unwrap();
        std::fs::rename(world.folder.join("next"), world.folder.join("data")).unwrap();
    };
    version("v1", CONFIG);
    version("v2", &CONFIG.replace("weight = 3", "weight = 7"));
    version("v3", &CONFIG.replace("weight = 3", "weight = 9"));
    point_to("v1");
    symlink("data/proxy.toml", world.file()).unwrap();
    let client = Client::new(world.socket());
    let weight = async || client.status().await.unwrap().pools[0].backends[1].weight;
    serving_loop(&world, async {
        assert_eq!(weight().await, Some(3));
        point_to("v2");
        until("the first swap is seen", async || weight().await == Some(7)).await;
        point_to("v3");
        until("the second swap is seen", async || weight().await == Some(9)).await;
        // The file behind the links, written in place.
        let file = world.folder.join("v3/proxy.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("weight = 9", "weight = 2")).unwrap();
        until("the file behind the links is seen", async || weight().await == Some(2)).await;
    });
}

#[test]
fn a_second_daemon_touches_nothing() {
    let world = World::new("second");
    world.write(CONFIG);
    serving_loop(&world, async {
        let before = world.kernel.times_applied();
        assert!(matches!(world.start(), Err(RunError::Admin(_))));
        assert_eq!(world.kernel.times_applied(), before);
    });
}
