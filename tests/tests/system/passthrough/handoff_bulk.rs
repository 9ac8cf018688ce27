//! Much goes by connections that have left, or leave while it does: not a byte changes, whatever the peers agreed on.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use proxy_tests::bpf::Program;
use proxy_tests::runner::figure;
use proxy_tests::wait::until;
use proxy_tests::world::{Family, World};

use super::front::exactly;
use super::spliced::{PATIENCE, Spliced};

/// What goes each way, in MiB; `PROXY_NOW_BULK_MIB=1024` is the whole size.
fn amount() -> Result<usize> {
    let text = std::env::var("PROXY_NOW_BULK_MIB").unwrap_or_else(|_| "24".to_owned());
    Ok(text.parse::<usize>().with_context(|| text.clone())? << 20)
}

/// Bytes that repeat after a prime number of them: wherever some are missing, what follows differs.
struct Pattern(Vec<u8>);

/// The prime.
const PERIOD: usize = 1_048_573;
const PIECE: usize = 64 << 10;

impl Pattern {
    fn new() -> Self {
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        let bytes = (0..PERIOD).map(|_| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word as u8
        });
        let mut bytes: Vec<u8> = bytes.collect();
        bytes.extend_from_within(..PIECE);
        Self(bytes)
    }

    /// Bytes from this one on.
    fn at(&self, place: usize, count: usize) -> &[u8] {
        &self.0[place % PERIOD..][..count]
    }

    /// Sends as long as `goes_on` says so of what was sent; how much that was.
    fn send(&self, mut to: &TcpStream, goes_on: impl Fn(usize) -> usize) -> Result<usize> {
        let mut sent = 0;
        loop {
            match goes_on(sent).min(PIECE) {
                0 => break,
                more => {
                    sent += to.write(self.at(sent, more)).with_context(|| format!("after {sent} bytes"))?;
                }
            }
        }
        to.shutdown(Shutdown::Write)?;
        Ok(sent)
    }

    /// Takes all there is until the end, and tells how much that was so far.
    fn take(&self, mut from: &TcpStream, so_far: &AtomicUsize) -> Result<usize> {
        let (mut got, mut piece) = (0, vec![0; PIECE]);
        loop {
            match from.read(&mut piece).with_context(|| format!("after {got} bytes"))? {
                0 => return Ok(got),
                more => {
                    ensure!(&piece[..more] == self.at(got, more), "bytes differ in the {more} after {got}");
                    got += more;
                    so_far.store(got, Relaxed);
                }
            }
        }
    }

    /// So much one way, and its end.
    fn carry(&self, from: &TcpStream, to: &TcpStream, count: usize) -> Result<()> {
        thread::scope(|scope| {
            let sent = scope.spawn(|| self.send(from, |sent| count - sent));
            let got = self.take(to, &AtomicUsize::new(0))?;
            sent.join().expect("it does not panic")?;
            ensure!(got == count, "{got} of {count} bytes have come");
            Ok(())
        })
    }
}

fn rate(count: usize, since: Instant) -> String {
    format!("{:.2} Gb/s", count as f64 * 8e-9 / since.elapsed().as_secs_f64())
}

fn both_ways_one_after_the_other(spliced: &Spliced<'_>, what: &str) -> Result<()> {
    let (pattern, count) = (Pattern::new(), amount()?);
    let (client, server) = spliced.left()?;
    let began = Instant::now();
    pattern.carry(&client, &server, count).context("up")?;
    let up = rate(count, began);
    let began = Instant::now();
    pattern.carry(&server, &client, count).context("down")?;
    figure(&format!("{what}: {} MiB up {up}, down {}", count >> 20, rate(count, began)));
    Ok(())
}

pub(super) fn much_goes_by_connections_that_have_left_and_half_closes_do() -> Result<()> {
    for family in Family::BOTH {
        let world = World::routed().backends(1).build()?;
        let spliced = Spliced::start(&world, family, "")?;
        both_ways_one_after_the_other(&spliced, &format!("{family:?}"))?;
    }
    Ok(())
}

/// An instruction: `struct bpf_insn`.
const fn insn(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    code as u64
        | (to as u64) << 8
        | (from as u64) << 12
        | (offset as u16 as u64) << 16
        | (value as u32 as u64) << 32
}

/// Drops one packet of a hundred, by chance.
fn loses() -> [u64; 6] {
    const GET_PRANDOM_U32: i32 = 7;
    [
        insn(0x85, 0, 0, 0, GET_PRANDOM_U32),
        // if (u32)r0 > value: skip one
        insn(0x26, 0, 0, 2, (u32::MAX / 100) as i32),
        insn(0xb7, 0, 0, 0, 1),
        insn(0x95, 0, 0, 0, 0),
        insn(0xb7, 0, 0, 0, 2),
        insn(0x95, 0, 0, 0, 0),
    ]
}

pub(super) fn of_a_hundred_packets_one_is_lost_and_no_byte() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let spliced = Spliced::start(&world, Family::V4, "")?;
    let pin = world.pin_dir().join("loses");
    Program::load("loses", &loses())?.pin(&pin)?;
    // Both ways between the client and the balancer.
    for port in ["c0", "lb-front"] {
        world.wire.ip(&format!("link set dev {port} xdpdrv pinned {}", pin.display()))?;
    }
    std::fs::remove_file(&pin).context("the pin of a program")?;
    both_ways_one_after_the_other(&spliced, "1 % lost each way")
}

pub(super) fn bytes_without_end_leave_in_a_pause_that_is_made() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let spliced = Spliced::start(&world, Family::V4, "")?;
    let pattern = Pattern::new();
    for (number, (what, ways)) in
        [("up", [true, false]), ("down", [false, true]), ("both ways", [true, true])].into_iter().enumerate()
    {
        let (client, server) = spliced.pair(443)?;
        let (ended, so_far) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
        // Who does not send much answers by a byte: before it nobody leaves.
        let goes_on = |much: bool| {
            let ended = &ended;
            move |sent| match (sent, ended.load(Relaxed)) {
                (0, _) => 1,
                (_, true) => 0,
                (_, false) if much => PIECE,
                (_, false) => {
                    while !ended.load(Relaxed) {
                        thread::sleep(Duration::from_millis(5));
                    }
                    0
                }
            }
        };
        let began = Instant::now();
        thread::scope(|scope| -> Result<()> {
            let (pattern, client, server) = (&pattern, &client, &server);
            let [up, down] = ways.map(goes_on);
            let sent = [
                scope.spawn(move || pattern.send(client, up)),
                scope.spawn(move || pattern.send(server, down)),
            ];
            let [up, down] = &so_far;
            let got = [
                scope.spawn(move || pattern.take(server, up)),
                scope.spawn(move || pattern.take(client, down)),
            ];
            let left = spliced.wait_left(number as u64 + 1);
            let (took, relayed) = (began.elapsed(), so_far.each_ref().map(|way| way.load(Relaxed) >> 20));
            let more = left.and_then(|()| {
                until("bytes go on", PATIENCE, || {
                    let now = so_far.each_ref().map(|way| way.load(Relaxed) >> 20);
                    let on = (0..2).all(|way| !ways[way] || now[way] >= relayed[way] + 16);
                    ensure!(on, "{now:?} MiB have come, {relayed:?} before; {}", spliced.kept()?);
                    Ok(())
                })
            });
            ended.store(true, Relaxed);
            let sent = sent.map(|it| it.join().expect("it does not panic"));
            let got = got.map(|it| it.join().expect("it does not panic"));
            more?;
            for (sent, got) in sent.into_iter().zip(got) {
                let (sent, got) = (sent?, got?);
                ensure!(sent == got, "{got} of {sent} bytes have come");
            }
            figure(&format!("{what}: has left after {took:.1?} and {relayed:?} MiB"));
            Ok(())
        })?;
    }
    ensure!(spliced.kernel("torn")? == 0, "a connection broke");
    Ok(())
}

/// What peers may do without.
const OPTIONS: [&str; 3] = ["tcp_sack", "tcp_timestamps", "tcp_window_scaling"];

/// A connection that leaves, or stays for this reason, and what both sides say afterwards.
fn either(spliced: &Spliced<'_>, what: &str, reason: Option<&str>) -> Result<()> {
    let (left, pattern) = (spliced.handed_off()?, Pattern::new());
    let stayed = reason.map(|reason| spliced.kernel(reason)).transpose()?;
    let (mut client, mut server) = spliced.pair(443)?;
    server.write_all(b"heard")?;
    ensure!(exactly(&mut client, 5)? == b"heard");
    if let (Some(reason), Some(stayed)) = (reason, stayed) {
        until("its reason is counted", PATIENCE, || {
            ensure!(spliced.kernel(reason)? > stayed, "{}", spliced.kept()?);
            Ok(())
        })?;
    } else {
        spliced.wait_left(left + 1)?;
    }
    pattern.carry(&client, &server, 2 << 20).context("up")?;
    pattern.carry(&server, &client, 2 << 20).context("down")?;
    ensure!(reason.is_none() || spliced.handed_off()? == left, "{what}: it has left");
    Ok(())
}

pub(super) fn peers_may_do_without_options_and_with_short_segments() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let spliced = Spliced::start(&world, Family::V4, "")?;
    let (client, backend) = (world.client(), &world.backends[0].namespace);
    for option in OPTIONS {
        for off in [[client].as_slice(), &[backend], &[client, backend]] {
            off.iter().try_for_each(|peer| peer.sysctl(&format!("ipv4/{option}"), "0"))?;
            // Timestamps are made by both ends of a connection, or by none.
            let reason = (option == "tcp_timestamps" && off.len() == 1).then_some("timestamps");
            either(&spliced, option, reason).with_context(|| format!("{option} by {} off", off.len()))?;
            off.iter().try_for_each(|peer| peer.sysctl(&format!("ipv4/{option}"), "1"))?;
        }
    }
    // A client's segment size is known before its backend is connected to. A backend's is not known when its client is
    // answered: a client that was told more than that stays.
    let sides = [(client, "192.0.2.10", None), (backend, "10.0.0.1", Some("segment_size"))];
    for size in [536, 1000, 1400] {
        for (peer, far, reason) in sides {
            peer.ip(&format!("route replace {far} dev eth0 advmss {size}"))?;
            either(&spliced, "segments", reason).with_context(|| format!("{size} of {}", peer.name()))?;
            peer.ip(&format!("route del {far} dev eth0"))?;
        }
    }
    Ok(())
}

/// Segments may be of nine thousand bytes, all the way.
pub(super) fn jumbo(world: &World) -> Result<()> {
    for port in ["front", "back", "c0", "b0", "lb-front", "lb-back"] {
        world.wire.ip(&format!("link set dev {port} mtu 9000"))?;
    }
    for host in [world.client(), &world.backends[0].namespace] {
        host.ip("link set dev eth0 mtu 9000")?;
    }
    for interface in ["front", "back"] {
        world.balancer.ip(&format!("link set dev {interface} mtu 9000"))?;
    }
    Ok(())
}

pub(super) fn segments_of_nine_thousand_bytes_are_no_hindrance() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    jumbo(&world)?;
    let spliced = Spliced::start(&world, Family::V4, "")?;
    either(&spliced, "long segments", None)
}
