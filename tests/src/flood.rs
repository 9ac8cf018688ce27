//! Floods of SYNs from sources that do not exist, made by the kernel: a small XDP program, run again and again on live
//! frames, gives each another source and redirects it into the balancer's cable. What the balancer answers is dropped at
//! the other end of the cable: on its way to whoever really has those addresses.

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bpf::Program;
use crate::cpu;
use crate::packet::Packet;
use crate::world::{Family, World};

/// The port of the wire that leads to the balancer.
const PORT: &str = "lb-front";
/// Frames of one system call.
const BURST: u32 = 32_768;

/// Words of a checksum that are `0xffff` together, whatever the first one is: a program that writes a word and its
/// complement leaves the checksum as it was.
const ALL: u16 = 0xffff;

/// A flood that is ready to begin.
#[derive(Debug)]
pub struct Flood<'w> {
    world: &'w World,
    generator: Program,
    frame: Vec<u8>,
    /// Where it is made, and received: the kernel receives it on the processor that sends.
    processor: Option<usize>,
}

impl<'w> Flood<'w> {
    /// Of SYNs to the world's TCP service.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn of_syns(world: &'w World, family: Family) -> Result<Self> {
        let frame = template(world, family)?;
        let generator = Program::load("syns", &generator(family, &frame, world.wire.ifindex(PORT)?))?;
        let pin = world.pin_dir().join("nowhere");
        std::fs::create_dir_all(world.pin_dir())?;
        Program::load("nowhere", &nowhere())?.pin(&pin)?;
        world.wire.ip(&format!("link set dev {PORT} xdpdrv pinned {}", pin.display()))?;
        // So that taking the world down finds what it made.
        std::fs::remove_file(&pin).context("the pin of a program")?;
        Ok(Self { world, generator, frame, processor: None })
    }

    /// The same, made and received on this processor alone, as by a network card whose queue interrupts it and no other.
    /// Without that, receiving goes on wherever somebody sent last, and takes the time of whoever runs there.
    ///
    /// # Errors
    /// What the kernel says, and the programs that ask it.
    pub fn on(mut self, processor: usize) -> Result<Self> {
        for (namespace, interface) in [(&self.world.balancer, "front"), (&self.world.wire, PORT)] {
            let path = format!("/sys/class/net/{interface}/threaded");
            run("ip", &["netns", "exec", namespace.name(), "sh", "-c", &format!("echo 1 > {path}")])?;
        }
        // Before all that has no more than its share of time, like an interrupt.
        for thread in receivers()? {
            run("chrt", &["--fifo", "--pid", "1", &thread])?;
            run("taskset", &["--pid", "--cpu-list", &processor.to_string(), &thread])?;
        }
        self.processor = Some(processor);
        Ok(self)
    }

    /// Floods at this rate, or as near to it as this machine comes, for as long as `during` takes: frames a second, and
    /// the result.
    ///
    /// # Errors
    /// What the kernel says, and that of `during`.
    pub fn pour<T>(&self, rate: f64, during: impl FnOnce() -> Result<T>) -> Result<(f64, T)> {
        let (over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
        let begin = Instant::now();
        let result = std::thread::scope(|scope| {
            let make = || {
                self.world.wire.enter(|| -> Result<()> {
                    while !over.load(Ordering::Relaxed) {
                        self.generator.run_live(&self.frame, BURST)?;
                        let all = sent.fetch_add(u64::from(BURST), Ordering::Relaxed) + u64::from(BURST);
                        let due = Duration::from_secs_f64(all as f64 / rate);
                        std::thread::sleep(due.saturating_sub(begin.elapsed()));
                    }
                    Ok(())
                })?
            };
            let flood = scope.spawn(move || match self.processor {
                Some(processor) => {
                    // Behind those who receive, whoever started this.
                    let own = rustix::thread::gettid().to_string();
                    run("chrt", &["--other", "--pid", "0", &own])?;
                    cpu::on(processor, make)?
                }
                None => make(),
            });
            let result = during();
            over.store(true, Ordering::Relaxed);
            flood.join().expect("it ends by itself").and(result)
        })?;
        Ok((sent.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64(), result))
    }
}

/// Threads of the kernel that receive for interfaces which have some of their own.
fn receivers() -> Result<Vec<String>> {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        // It may have ended meanwhile.
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if name.starts_with("napi/front-") || name.starts_with("napi/lb-front-") {
            threads.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    ensure!(!threads.is_empty(), "no thread receives for an interface");
    Ok(threads)
}

fn run(program: &str, words: &[&str]) -> Result<()> {
    let output = Command::new(program).args(words).output().with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl Drop for Flood<'_> {
    fn drop(&mut self) {
        // With its world it is gone anyway.
        drop(self.world.wire.ip(&format!("link set dev {PORT} xdpdrv off")));
    }
}

/// What [`generator`] begins with: the words that it writes are complements of each other.
fn template(world: &World, family: Family) -> Result<Vec<u8>> {
    let port = 1024;
    let sequence = u32::from(ALL) << 16 | u32::from(!port);
    let from: std::net::IpAddr = match family {
        Family::V4 => "198.18.0.0".parse()?,
        Family::V6 => "2001:db8:7:0:ffff:0:ffff:0".parse()?,
    };
    let mut syn = Packet::syn((from, port).into(), world.service(family), sequence);
    syn.id = ALL;
    Ok(syn.between(world.client().mac("eth0")?, world.balancer.mac("front")?).bytes())
}

/// An instruction: `struct bpf_insn`.
const fn insn(code: u8, to: u8, from: u8, offset: i16, value: i32) -> u64 {
    code as u64
        | (to as u64) << 8
        | (from as u64) << 12
        | (offset as u16 as u64) << 16
        | (value as u32 as u64) << 32
}

/// `to = from`
const fn mov(to: u8, from: u8) -> u64 {
    insn(0xbf, to, from, 0, 0)
}

/// `to = value`
const fn set(to: u8, value: i32) -> u64 {
    insn(0xb7, to, 0, 0, value)
}

/// `to += value`
const fn add(to: u8, value: i32) -> u64 {
    insn(0x07, to, 0, 0, value)
}

/// `to ^= 0xffff`
const fn complement(to: u8) -> u64 {
    insn(0xa7, to, 0, 0, 0xffff)
}

/// `to = *(u32 *)(from + offset)`
const fn load_word(to: u8, from: u8, offset: i16) -> u64 {
    insn(0x61, to, from, offset, 0)
}

/// `to = *(u16 *)(from + offset)`
const fn load_half(to: u8, from: u8, offset: i16) -> u64 {
    insn(0x69, to, from, offset, 0)
}

/// `*(u16 *)(r7 + offset) = from`
const fn store(offset: i16, from: u8) -> u64 {
    insn(0x6b, 7, from, offset, 0)
}

/// Writes a constant into the word of this number.
const fn write(code: u8, word: usize, value: u32) -> u64 {
    insn(code, 7, 0, 4 * word as i16, value as i32)
}

/// Goes on `skip` instructions later if `code` holds of `to` and `from`, or of `to` and `value`.
const fn jump(code: u8, to: u8, from: u8, skip: i16, value: i32) -> u64 {
    insn(code, to, from, skip, value)
}

/// `r0 = helper(…)`
const fn call(helper: i32) -> u64 {
    insn(0x85, 0, 0, 0, helper)
}

const EXIT: u64 = insn(0x95, 0, 0, 0, 0);
const GET_PRANDOM_U32: i32 = 7;
const REDIRECT: i32 = 23;
const DROP: i32 = 1;
const PASS: i32 = 2;
const JGT_REGISTER: u8 = 0x2d;
const JNE: u8 = 0x55;
const JEQ: u8 = 0x15;

/// The whole of the frame again, for whoever had it before has written into it. Then another source address and port, made
/// of a random number, and complements of them in words that mean nothing: the IPv4 identification or the rest of the
/// address, and the sequence number. Then out by an interface.
fn generator(family: Family, frame: &[u8], ifindex: u32) -> Vec<u64> {
    // In the low half of r1 an address, in the low half of r0 a port, whose first byte is not below 4.
    let (address, complements): (&[i16], &[i16]) = match family {
        Family::V4 => (&[28], &[18, 38]),
        Family::V6 => (&[28, 32], &[30, 34]),
    };
    let (port, sequence) = if family == Family::V4 { (34, 40) } else { (54, 60) };
    let mut code = vec![
        load_word(7, 1, 0),
        load_word(8, 1, 4),
        mov(2, 7),
        add(2, frame.len() as i32),
        // Too short: what the template never is.
        jump(JGT_REGISTER, 2, 8, 0, 0),
        call(GET_PRANDOM_U32),
        mov(1, 0),
    ];
    let words = frame.chunks(4).enumerate();
    code.extend(words.map(|(at, bytes)| match *bytes {
        [a, b, c, d] => write(0x62, at, u32::from_ne_bytes([a, b, c, d])),
        [a, b, ..] => write(0x6a, at, u32::from(u16::from_ne_bytes([a, b]))),
        _ => unreachable!("a header is of whole words of 16 bits"),
    }));
    code.extend(address.iter().map(|at| store(*at, 1)));
    code.push(complement(1));
    code.extend(complements.iter().map(|at| store(*at, 1)));
    code.extend([
        // r0 >>= 16; r0 |= 4
        insn(0x77, 0, 0, 0, 16),
        insn(0x47, 0, 0, 0, 4),
        store(port, 0),
        complement(0),
        store(sequence, 0),
        set(1, ifindex as i32),
        set(2, 0),
        call(REDIRECT),
        EXIT,
        set(0, DROP),
        EXIT,
    ]);
    let end = code.len() as i16 - 2;
    code[4] = jump(JGT_REGISTER, 2, 8, end - 5, 0);
    code
}

/// Drops what goes to addresses that do not exist, and passes the rest on.
fn nowhere() -> Vec<u64> {
    vec![
        load_word(7, 1, 0),
        load_word(8, 1, 4),
        set(0, PASS),
        mov(2, 7),
        add(2, 54),
        jump(JGT_REGISTER, 2, 8, 7, 0),
        load_half(3, 7, 12),
        // IPv4 to 198.18.0.0/16?
        load_half(4, 7, 30),
        jump(JNE, 3, 0, 1, 0x0008),
        jump(JEQ, 4, 0, 4, 0x12c6),
        // IPv6 to xxxx:xxxx:7::/48?
        load_half(4, 7, 42),
        jump(JNE, 3, 0, 1, 0xdd86),
        jump(JEQ, 4, 0, 1, 0x0700),
        EXIT,
        set(0, DROP),
        EXIT,
    ]
}
