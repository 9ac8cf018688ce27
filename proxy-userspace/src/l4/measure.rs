//! What a million flows and many changes cost, printed: run by hand, in release:
//! `cargo test --release -p proxy-userspace --lib -- --ignored --nocapture measure`.

use std::io::Write as _;
use std::time::{Duration, Instant};

use proxy_common::addr::{Be16, Ip4};
use proxy_common::flow::{Flow, FlowKey, FlowKind};

use super::kernel_tests::{BACKENDS, Place, in_a_place};
use super::{Desired, Kernel};
use crate::config::KernelConfig;

fn say(what: &str, time: Duration) {
    let _ = writeln!(std::io::stderr(), "{what}: {time:?}");
}

/// One direction of the `n`th flow, and its key.
fn flow(n: u32, kind: FlowKind, seen: u32) -> (FlowKey<Ip4>, Flow<Ip4>) {
    let client = FlowKey {
        source: std::net::Ipv4Addr::from(0x0a09_0000 + n / 50_000).into(),
        source_port: Be16::new((n % 50_000) as u16),
        destination: std::net::Ipv4Addr::new(10, 80, 0, 1).into(),
        protocol: 6,
        ..FlowKey::default()
    };
    let key = if kind == FlowKind::NatReturn { client.reversed() } else { client };
    let mut flow = Flow { activity: u64::from(seen) << 32, ..Flow::default() };
    let other = key.reversed();
    flow.rewrite.kind = kind as u8;
    flow.rewrite.backend = (n % 2) as u16;
    (flow.rewrite.new_destination, flow.rewrite.new_source) = (other.source, other.destination);
    flow.rewrite.new_destination_port = other.source_port;
    flow.rewrite.new_source_port = other.destination_port;
    (key, flow)
}

fn fill(kernel: &Kernel, flows: u32) {
    let now = kernel.clock.now().unwrap();
    let old = now.wrapping_sub(kernel.clock.ticks(Duration::from_secs(3700)));
    let began = Instant::now();
    for n in 0..flows {
        for kind in [FlowKind::NatForward, FlowKind::NatReturn] {
            let (key, flow) = flow(n, kind, if n % 10 == 0 { old } else { now });
            kernel.tables.v4.flows.put(&key, &flow).unwrap();
        }
    }
    say(&format!("fill with {flows} nat flows, two entries each, by system call"), began.elapsed());
    let began = Instant::now();
    for n in 0..flows {
        assert!(kernel.tables.v4.flows.get(&flow(n, FlowKind::NatForward, now).0).unwrap().is_some());
    }
    say(&format!("look {flows} flows up by system call"), began.elapsed());
}

fn walk(kernel: &Kernel) {
    let (began, mut slices, mut longest, mut forgotten) = (Instant::now(), 0, Duration::ZERO, 0);
    loop {
        let slice = Instant::now();
        let collected = kernel.collect().unwrap();
        (slices, longest) = (slices + 1, longest.max(slice.elapsed()));
        forgotten += collected.forgotten;
        if collected.finished {
            break;
        }
    }
    let what = format!("walk: {forgotten} forgotten, {slices} slices, the longest {longest:?}");
    say(&what, began.elapsed());
}

fn changes(place: &Place, kernel: &Kernel) {
    let many: Vec<String> = (0..1000).map(|n| format!("10.80.{}.{}:80", n / 250, n % 250 + 2)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut wanted: Desired = place.desired(&many);
    let began = Instant::now();
    kernel.apply(&wanted).unwrap();
    say("apply 1,000 new backends", began.elapsed());
    let began = Instant::now();
    for n in 0..100 {
        for backend in wanted.listeners[0].backends.iter_mut().skip(n * 9).take(100) {
            backend.down = !backend.down;
        }
        kernel.apply(&wanted).unwrap();
    }
    say("100 times apply 100 changes of 1,000 backends", began.elapsed());
    let began = Instant::now();
    for _ in 0..100 {
        kernel.apply(&wanted).unwrap();
    }
    say("100 times apply no change", began.elapsed());
}

#[test]
#[ignore = "measures, and prints what it found"]
fn measure_a_million_flows_and_ten_thousand_changes() {
    in_a_place(|place| {
        let began = Instant::now();
        let kernel = Kernel::open(&KernelConfig { flows: 1 << 21, ..place.config() }).unwrap();
        say("open with 2,097,152 entries", began.elapsed());
        kernel.apply(&place.desired(&BACKENDS)).unwrap();
        fill(&kernel, 1_000_000);
        walk(&kernel);
        std::thread::sleep(Duration::from_millis(2100));
        walk(&kernel);
        changes(place, &kernel);
    });
}
