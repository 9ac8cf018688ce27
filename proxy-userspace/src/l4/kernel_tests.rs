//! The kernel part on a real kernel, in a network namespace of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use proxy_common::flow::FlowKey;

use super::*;
use crate::config::{AttachMode, Forward, GuardConfig, KernelConfig, Protocol};

/// A place of one's own: a network namespace with a pair of devices, and a BPF file system.
pub(super) struct Place {
    name: String,
    mount: PathBuf,
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command has a program");
    let output = Command::new(program).args(words).output().expect(program);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Says so past the test runner, which keeps to itself what passing tests print.
fn skipped(reason: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {reason}");
}

/// Runs `test` in a place of its own, or says why it cannot.
pub(super) fn in_a_place(test: impl FnOnce(&Place) + Send) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    if !rustix::process::geteuid().is_root() {
        skipped("needs root for namespaces and BPF");
        return;
    }
    if object::BYTES.is_empty() {
        skipped("built without the BPF toolchain");
        return;
    }
    let name = format!("pn-l4-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let place = Place { mount: std::env::temp_dir().join(&name), name };
    std::fs::create_dir(&place.mount).unwrap();
    run(&format!("mount -t bpf bpf {}", place.mount.display()));
    run(&format!("ip netns add {}", place.name));
    for command in [
        "link set lo up",
        "link add out type veth peer name in",
        "addr add 10.80.0.1/24 dev out",
        "addr add fd80::1/64 dev out nodad",
        "link set out up",
        "link set in up",
    ] {
        run(&format!("ip -n {} {command}", place.name));
    }
    let namespace = std::fs::File::open(format!("/run/netns/{}", place.name)).unwrap();
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            let net = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), Some(net))
                .unwrap();
            test(&place);
        });
        if let Err(panic) = inside.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl Drop for Place {
    fn drop(&mut self) {
        for command in [
            format!("ip netns del {}", self.name),
            format!("umount {}", self.mount.display()),
            format!("rmdir {}", self.mount.display()),
        ] {
            let mut words = command.split_whitespace();
            drop(Command::new(words.next().unwrap_or("true")).args(words).output());
        }
    }
}

impl Place {
    pub(super) fn config(&self) -> KernelConfig {
        KernelConfig {
            interfaces: vec!["out".into()],
            attach: AttachMode::Auto,
            flows: 4096,
            limit_keys: 1024,
            nat_ports: None,
            nat_source: Vec::new(),
            hash_seed: None,
            tcp_idle: Duration::from_secs(3600),
            tcp_closing: Duration::from_secs(60),
            udp_idle: Duration::from_secs(120),
            icmp_limit: None,
            pin_dir: self.mount.join("proxy-now"),
        }
    }

    pub(super) fn desired(&self, backends: &[&str]) -> Desired {
        let listener = |name: &str, bind: &str, v6: bool| DesiredListener {
            name: name.into(),
            addresses: vec![bind.parse().unwrap()],
            protocol: Protocol::Tcp,
            forward: Forward::Nat,
            guard: GuardConfig::default(),
            backends: backends
                .iter()
                .map(|text| text.parse::<SocketAddr>().unwrap())
                .filter(|address| address.is_ipv6() == v6)
                .map(|address| DesiredBackend::ready(address, 1))
                .collect(),
        };
        let listeners =
            vec![listener("web.v4", "10.80.0.1:80", false), listener("web.v6", "[fd80::1]:80", true)];
        Desired { kernel: self.config(), listeners, local: Vec::new(), limits: Vec::new() }
    }

    fn pins(&self) -> Vec<String> {
        pins::entries(&self.config().pin_dir.join(format!("v{}", proxy_common::ABI_VERSION)))
    }
}

pub(super) const BACKENDS: [&str; 3] = ["10.80.0.11:8080", "10.80.0.12:8080", "[fd80::11]:8080"];

#[test]
fn the_embedded_object_says_its_layout() {
    if object::BYTES.is_empty() {
        return skipped("built without the BPF toolchain");
    }
    assert_eq!(object::abi_version(), Some(proxy_common::ABI_VERSION));
}

#[test]
fn a_start_that_is_not_finished_leaves_nothing() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        let attached = kernel.attach(&["out".into()], AttachMode::Auto).unwrap();
        assert_eq!(attached[0].mode, Mode::Native, "{attached:?}");
        assert!(place.pins().contains(&"link-out".into()), "{:?}", place.pins());
        let error = kernel.attach(&["absent".into()], AttachMode::Auto).unwrap_err().to_string();
        assert_eq!(error, "there is no interface absent; there are: lo, in, out");
        drop(kernel);
        assert!(!place.config().pin_dir.exists(), "{:?}", place.pins());
        let out = Command::new("ip").args(["-n", &place.name, "link", "show", "out"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&out.stdout).contains("xdp"));
    });
}

#[test]
fn a_second_daemon_takes_over_what_the_first_left() {
    in_a_place(|place| {
        let first = Kernel::open(&place.config()).unwrap();
        assert!(!first.adopted());
        assert!(first.apply(&place.desired(&BACKENDS)).unwrap().steps > 0);
        first.attach(&["out".into()], AttachMode::Auto).unwrap();
        first.keep();
        let busy = Kernel::open(&place.config()).unwrap_err();
        assert!(matches!(busy, OpenError::Busy(_)), "{busy}");
        let before = first.lock().present.clone();
        drop(first);
        let larger = KernelConfig { flows: 8192, ..place.config() };
        let second = Kernel::open(&larger).unwrap();
        assert!(second.adopted());
        assert_eq!(second.notes().len(), 2, "{:?}", second.notes());
        assert_eq!(second.lock().present.backends, before.backends);
        assert_eq!(second.apply(&place.desired(&BACKENDS)).unwrap().steps, 0);
        let attached = second.attach(&["out".into()], AttachMode::Auto).unwrap();
        assert!(attached[0].taken_over);
        second.keep();
        assert_eq!(second.lock().present.settings.hash_seed, before.settings.hash_seed);
        assert!(second.lock().present.settings.hop_epoch > before.settings.hop_epoch);
    });
}

#[test]
fn a_ring_is_in_the_kernel_as_it_was_filled() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        let found = reconcile::recover(&kernel.tables).unwrap();
        let present = kernel.lock().present.clone();
        assert_eq!((&found.backends, &found.listeners), (&present.backends, &present.listeners));
        assert_eq!((&found.names, &found.sources), (&present.names, &present.sources));
        assert_eq!(found.filter, present.filter);
        assert_eq!(found.settings, present.settings);
        let slots = kernel.tables.rings.get(0).unwrap().unwrap().slots;
        let share = slots.iter().filter(|slot| **slot == 0).count();
        assert!(share.abs_diff(slots.len() / 2) <= 1, "{share}");
    });
}

#[test]
fn the_clock_is_the_kernels() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        let (before, began) = (kernel.clock.now().unwrap(), Instant::now());
        std::thread::sleep(Duration::from_millis(200));
        let ticks = kernel.clock.now().unwrap().wrapping_sub(before);
        let expected = kernel.clock.ticks(began.elapsed());
        assert!(ticks.abs_diff(expected) <= 2, "{ticks} {expected}");
    });
}

#[test]
fn idle_flows_are_forgotten_and_others_counted() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        let now = kernel.clock.now().unwrap();
        for port in 0..3000u16 {
            let age = if port < 1000 { kernel.clock.ticks(Duration::from_secs(3601)) } else { 0 };
            let key = FlowKey {
                source: std::net::Ipv4Addr::new(10, 9, 0, 1).into(),
                source_port: proxy_common::addr::Be16::new(port),
                protocol: 6,
                ..FlowKey::default()
            };
            let activity = u64::from(now.wrapping_sub(age)) << 32;
            let mut flow = proxy_common::flow::Flow { activity, ..Default::default() };
            flow.rewrite.backend = 1;
            kernel.tables.v4.flows.put(&key, &flow).unwrap();
        }
        let mut forgotten = 0;
        loop {
            let collected = kernel.collect().unwrap();
            forgotten += collected.forgotten;
            if collected.finished {
                break;
            }
        }
        assert_eq!(forgotten, 1000);
        assert_eq!(kernel.tables.v4.flows.entries().unwrap().len(), 2000);
        assert_eq!(kernel.lock().collector.last.as_ref().unwrap().flows[&1], 2000);
    });
}

#[test]
fn every_walk_makes_the_set_of_known_flows_anew() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        let key = |port| FlowKey {
            source: std::net::Ipv4Addr::new(10, 9, 0, 1).into(),
            source_port: proxy_common::addr::Be16::new(port),
            protocol: 6,
            ..FlowKey::default()
        };
        let enter = |port| {
            let now = kernel.clock.now().unwrap();
            let flow = proxy_common::flow::Flow { activity: u64::from(now) << 32, ..Default::default() };
            kernel.tables.v4.flows.put(&key(port), &flow).unwrap();
        };
        let walk = || {
            kernel.lock().collector.rest_until = None;
            while !kernel.collect().unwrap().finished {}
        };
        let known = |port| kernel.tables.known.may_have(&key(port));
        (0..2000).for_each(enter);
        assert!(!known(7), "what a walk has not found, and no packet has made, is not known");
        walk();
        assert!((0..2000).all(known));
        kernel.tables.v4.flows.remove(&key(7)).unwrap();
        assert!(known(7), "until the next walk");
        walk();
        assert!(!known(7));
        assert!((8..2000).all(known));
        (2000..2100).for_each(enter);
        walk();
        assert!((8..2100).all(known), "both copies take their turn");
    });
}

#[test]
fn somebody_elses_program_is_named_and_left_alone() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        let clock = kernel.pins.object(object::PROGRAM_CLOCK);
        run(&format!("ip -n {} link set in xdp pinned {}", place.name, clock.display()));
        let error = kernel.attach(&["out".into(), "in".into()], AttachMode::Auto).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, AttachError::Occupied { .. }), "{text}");
        assert!(text.contains("in carries") && text.contains("proxy_clock"), "{text}");
        assert!(!place.pins().contains(&"link-out".into()), "what this call attached is taken back");
    });
}

#[test]
fn a_folder_that_is_on_no_bpf_file_system_is_refused_with_the_command_that_helps() {
    in_a_place(|place| {
        let config = KernelConfig { pin_dir: "/tmp/proxy-now-nowhere".into(), ..place.config() };
        let error = Kernel::open(&config).unwrap_err().to_string();
        assert!(error.contains("mount -t bpf bpf"), "{error}");
        assert!(!config.pin_dir.exists());
    });
}

#[test]
fn an_interface_that_returns_is_attached_again() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        kernel.attach(&["out".into()], AttachMode::Auto).unwrap();
        run(&format!("ip -n {} link del out", place.name));
        let said = kernel.follow().unwrap();
        assert!(matches!(&said[..], [Followed::Gone(name), ..] if name == "out"), "{said:?}");
        assert_eq!(kernel.status().unwrap().interfaces[0].mode, None);
        run(&format!("ip -n {} link add out type veth peer name in", place.name));
        let said = kernel.follow().unwrap();
        assert!(matches!(&said[..], [Followed::Returned(_), ..]), "{said:?}");
        assert_eq!(kernel.status().unwrap().interfaces[0].mode, Some(Mode::Native));
    });
}

#[test]
fn neighbours_of_backends_are_kept_resolved_and_changes_raise_the_epoch() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        kernel.follow().unwrap();
        let shown = || {
            let output = Command::new("ip").args(["-n", &place.name, "neigh"]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert_eq!(shown().matches("managed").count(), 3, "{}", shown());
        std::thread::sleep(Duration::from_millis(120));
        kernel.follow().unwrap();
        let epoch = || kernel.tables.settings.get(&0).unwrap().unwrap().hop_epoch;
        let before = epoch();
        run(&format!("ip -n {} route add 10.99.0.0/16 via 10.80.0.11", place.name));
        std::thread::sleep(Duration::from_millis(120));
        kernel.follow().unwrap();
        assert_eq!(epoch(), before + 1);
        kernel.follow().unwrap();
        assert_eq!(epoch(), before + 1, "nothing changed since");
    });
}

#[test]
fn vlan_devices_are_in_their_table() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        let add =
            ["-n", &place.name, "link", "add", "link", "out", "name", "out.7", "type", "vlan", "id", "7"];
        if !Command::new("ip").args(add).output().unwrap().status.success() {
            skipped("this kernel has no VLAN devices");
            return;
        }
        kernel.follow().unwrap();
        let devices = kernel.tables.vlan_devices.entries().unwrap();
        assert_eq!(devices.len(), 1);
        assert_eq!(devices[0].1.vlan_id, 7);
        kernel.attach(&["out.7".into()], AttachMode::Auto).unwrap();
    });
}

#[test]
fn a_driver_without_native_xdp_gets_generic_and_it_is_said() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.attach(&["out".into()], AttachMode::Generic).unwrap();
        let refused = kernel.attach(&["lo".into()], AttachMode::Native).unwrap_err();
        assert!(matches!(refused, AttachError::NotNative { .. }), "{refused}");
        let attached = kernel.attach(&["lo".into()], AttachMode::Auto).unwrap();
        assert_eq!(attached[0].mode, Mode::Generic);
        assert!(attached[0].native_refused.is_some());
        assert!(!place.pins().contains(&"link-out".into()), "{:?}", place.pins());
    });
}

#[test]
fn a_new_packet_is_explained_down_to_the_neighbour() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        kernel.keep();
        let tuple: Tuple = "tcp 10.80.0.99:5555 10.80.0.1:80".parse().unwrap();
        let said = kernel.explain(&tuple).unwrap();
        assert_eq!((said.verdict, said.listener.as_deref()), (Verdict::Forward, Some("web.v4")));
        let slots = kernel.tables.rings.get(0).unwrap().unwrap().slots;
        let backend = said.backend.clone().unwrap();
        assert_eq!(slots[said.slot.unwrap() as usize], backend.id);
        assert_eq!(said.way.clone().unwrap().interface, "out");
        let view = View::open(&place.config().pin_dir).unwrap().unwrap();
        assert_eq!(view.explain(&tuple).unwrap().backend, said.backend);
        assert_eq!(view.status().unwrap().listeners.len(), 2);

        let elsewhere = kernel.explain(&"tcp 10.80.0.99:5555 10.80.0.1:81".parse().unwrap()).unwrap();
        assert_eq!((elsewhere.verdict, elsewhere.listener), (Verdict::Pass, None));
        let mut down = place.desired(&BACKENDS);
        down.listeners[0].backends.iter_mut().for_each(|backend| backend.down = true);
        kernel.apply(&down).unwrap();
        let dropped = kernel.explain(&tuple).unwrap();
        assert_eq!((dropped.verdict, dropped.reason), (Verdict::Drop, Some("no_backend")));
        assert!(dropped.why.last().unwrap().contains("10.80.0.11:8080 (down)"), "{:?}", dropped.why);
    });
}

#[test]
fn detach_takes_everything_out_but_not_from_under_a_daemon() {
    in_a_place(|place| {
        let pin_dir = place.config().pin_dir;
        let kernel = Kernel::open(&place.config()).unwrap();
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        kernel.attach(&["out".into()], AttachMode::Auto).unwrap();
        kernel.follow().unwrap();
        kernel.keep();
        assert!(matches!(detach_all(&pin_dir), Err(DetachError::Busy(_))));
        drop(kernel);
        // A child that another test has just forked holds the lock until it runs its own program.
        let detached = loop {
            match detach_all(&pin_dir) {
                Err(DetachError::Busy(_)) => std::thread::sleep(Duration::from_millis(10)),
                result => break result.unwrap(),
            }
        };
        assert_eq!(detached.interfaces, ["out"]);
        assert!(!pin_dir.exists());
        for what in ["link show out", "neigh"] {
            let mut args = vec!["-n", &place.name];
            args.extend(what.split(' '));
            let shown = String::from_utf8(Command::new("ip").args(args).output().unwrap().stdout).unwrap();
            assert!(!shown.contains("xdp") && !shown.contains("managed"), "{shown}");
        }
        assert_eq!(detach_all(&pin_dir).unwrap(), Detached::default());
    });
}

#[test]
fn the_link_of_another_version_is_taken_over_and_its_tables_go() {
    in_a_place(|place| {
        let root = place.config().pin_dir;
        let first = Kernel::open(&place.config()).unwrap();
        first.attach(&["out".into()], AttachMode::Auto).unwrap();
        first.keep();
        drop(first);
        std::fs::create_dir(root.join("v0")).unwrap();
        for pin in place.pins() {
            std::fs::rename(
                root.join(format!("v{}", proxy_common::ABI_VERSION)).join(&pin),
                root.join("v0").join(&pin),
            )
            .unwrap();
        }
        let second = Kernel::open(&place.config()).unwrap();
        assert!(matches!(second.notes(), [OpenNote::OtherVersion(_)]), "{:?}", second.notes());
        let attached = second.attach(&["out".into()], AttachMode::Auto).unwrap();
        assert!(attached[0].taken_over);
        second.keep();
        assert!(!root.join("v0").exists());
        assert!(place.pins().contains(&"link-out".into()));
    });
}

#[test]
fn tables_of_another_layout_are_not_touched() {
    in_a_place(|place| {
        let first = Kernel::open(&place.config()).unwrap();
        first.apply(&place.desired(&BACKENDS)).unwrap();
        first.keep();
        let mut settings = first.tables.settings.get(&0).unwrap().unwrap();
        settings.abi_version = 77;
        first.tables.settings.put(&0, &settings).unwrap();
        drop(first);
        let error = Kernel::open(&place.config()).unwrap_err();
        assert!(matches!(error, OpenError::Layout(_)), "{error}");
        assert!(place.pins().contains(&"FLOWS4".into()), "what was there is still there");
    });
}

#[test]
fn before_links_a_filter_stands_on_the_way_in_and_is_replaced_in_place() {
    use crate::net::{link, netlink::Socket, tc};
    use std::os::fd::AsFd;
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        let index = link::by_name(&mut Socket::open().unwrap(), "out").unwrap().unwrap().index;
        assert!(!tc::has_filter(index).unwrap());
        for _ in 0..2 {
            tc::replace_filter(index, kernel.programs.tc.as_fd(), "proxy_tc").unwrap();
            let args = ["-n", &place.name, "filter", "show", "dev", "out", "ingress"];
            let shown = String::from_utf8(Command::new("tc").args(args).output().unwrap().stdout).unwrap();
            assert_eq!(shown.matches("handle").count(), 1, "{shown}");
            assert!(shown.contains("proxy_tc direct-action"), "{shown}");
        }
        assert!(tc::has_filter(index).unwrap());
        tc::remove_filter(index).unwrap();
        assert!(!tc::has_filter(index).unwrap());
    });
}

#[test]
fn a_backend_gets_its_share_when_a_route_to_it_comes() {
    in_a_place(|place| {
        let kernel = Kernel::open(&place.config()).unwrap();
        let applied = kernel.apply(&place.desired(&["10.80.0.11:80", "10.99.0.5:80"])).unwrap();
        assert_eq!(applied.unroutable.len(), 1, "{applied:?}");
        let states = || {
            let status = kernel.status().unwrap();
            status.listeners[0].backends.iter().map(|backend| backend.state).collect::<Vec<_>>()
        };
        assert_eq!(states(), [BackendState::Ready, BackendState::Down]);
        kernel.follow().unwrap();
        std::thread::sleep(Duration::from_millis(510));
        run(&format!("ip -n {} route add 10.99.0.0/16 via 10.80.0.11", place.name));
        let said = kernel.follow().unwrap();
        assert!(
            matches!(&said[..], [Followed::Rerouted { unroutable, .. }] if unroutable.is_empty()),
            "{said:?}"
        );
        assert_eq!(states(), [BackendState::Ready, BackendState::Ready]);
    });
}

#[test]
fn the_doctor_names_the_command_that_mends_it() {
    in_a_place(|place| {
        let text = format!(
            r#"
            [kernel]
            interfaces = ["out", "absent"]
            pin_dir = "{}"
            [listener.web]
            bind = ["10.80.0.1:80"]
            protocol = "tcp"
            pool = "web"
            [pool.web]
            backends = ["10.80.0.11:8080", "10.99.0.5:8080", "10.80.0.1:8080"]
            "#,
            place.config().pin_dir.display()
        );
        let config = crate::config::parse(&text, "proxy.toml").unwrap();
        run(&format!("ip netns exec {} sysctl -qw net.ipv4.ip_forward=0", place.name));
        let findings = doctor(Some(&config));
        let bad = |check: Check, subject: &str| {
            let found = findings.iter().find(|f| f.check == check && f.subject == subject);
            let found = found.unwrap_or_else(|| panic!("{check:?} {subject}: {findings:#?}"));
            (found.severity, found.fix.clone().unwrap_or_default())
        };
        let error = |fix: &str| (Severity::Error, fix.to_owned());
        assert_eq!(bad(Check::Forwarding, "out"), error("sysctl -w net.ipv4.ip_forward=1"));
        assert_eq!(bad(Check::Route, "10.99.0.5:8080"), error("ip route add 10.99.0.5 via GATEWAY"));
        assert_eq!(bad(Check::Route, "10.80.0.1:8080").0, Severity::Error);
        assert_eq!(bad(Check::Link, "absent").0, Severity::Error);
        run(&format!("ip netns exec {} sysctl -qw net.ipv4.ip_forward=1", place.name));
        let mended = doctor(Some(&config));
        let forwarding = mended.iter().find(|f| f.check == Check::Forwarding).unwrap();
        assert_eq!(forwarding.severity, Severity::Good);
    });
}
