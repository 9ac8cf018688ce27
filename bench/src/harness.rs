//! A hand-made BPF program that restores a packet and calls the program under test.
//!
//! `BPF_PROG_TEST_RUN` with repeat > 1 does not reset the packet: an address rewritten once is rewritten again, and
//! something else is measured. So each run starts in a program of our own, which writes the packet's bytes anew, as
//! the flow that the counter says, and then tail-calls the subject. The floor is the same program before XDP_PASS.
#![expect(unsafe_code, reason = "the bpf system call has no safe wrapper")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use proxy_common::pod::Pod;

/// Bytes of a packet that are restored.
pub(crate) const PACKET: usize = 72;

const MAP_CREATE: libc::c_long = 0;
const MAP_LOOKUP: libc::c_long = 1;
const MAP_UPDATE: libc::c_long = 2;
const PROG_LOAD: libc::c_long = 5;
const OBJ_GET: libc::c_long = 7;
const PROG_TEST_RUN: libc::c_long = 10;

const MAP_ARRAY: u32 = 2;
const MAP_PROG_ARRAY: u32 = 3;
const PROG_XDP: u32 = 6;
const XDP_HAS_FRAGS: u32 = 1 << 5;
/// `BPF_XDP`: programs that tail-call each other agree on it.
const ATTACH_XDP: u32 = 37;

/// `union bpf_attr`, as 64-bit words; each command reads its own layout of them.
type Attribute = [u64; 16];

fn bpf(command: libc::c_long, attribute: &mut Attribute) -> io::Result<i32> {
    // SAFETY: the attribute is larger than any command reads here, zero beyond it, and what it points to is alive.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), size_of::<Attribute>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

fn owned(fd: i32) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

fn map(kind: u32, value_size: u32) -> Result<OwnedFd> {
    let mut attribute = [0; 16];
    attribute[0] = pair(kind, 4);
    attribute[1] = pair(value_size, 1);
    Ok(owned(bpf(MAP_CREATE, &mut attribute).context("a map of one entry")?))
}

fn update(map: &OwnedFd, value: *const u8) -> Result<()> {
    let key = 0u32;
    let mut attribute = [0; 16];
    attribute[0] = map.as_raw_fd() as u64;
    attribute[1] = (&raw const key) as u64;
    attribute[2] = value as u64;
    bpf(MAP_UPDATE, &mut attribute).context("the entry of a map")?;
    Ok(())
}

/// Whatever is pinned at `path`.
fn object(path: &Path) -> Result<OwnedFd> {
    let text = CString::new(path.to_string_lossy().as_bytes())?;
    let mut attribute = [0; 16];
    attribute[0] = text.as_ptr() as u64;
    Ok(owned(bpf(OBJ_GET, &mut attribute).with_context(|| path.display().to_string())?))
}

/// An XDP program by its descriptor.
#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

impl Program {
    /// The program pinned at `path`.
    pub(crate) fn pinned(path: &Path) -> Result<Self> {
        Ok(Self(object(path)?))
    }

    /// A program that passes everything on: the floor.
    pub(crate) fn pass() -> Result<Self> {
        Self::load(&[mov_imm(0, 2), EXIT])
    }

    fn load(code: &[u64]) -> Result<Self> {
        let mut log = vec![0u8; 1 << 16];
        let mut attribute = [0; 16];
        attribute[0] = pair(PROG_XDP, code.len() as u32);
        attribute[1] = code.as_ptr() as u64;
        attribute[2] = c"GPL".as_ptr() as u64;
        attribute[3] = pair(1, log.len() as u32);
        attribute[4] = log.as_mut_ptr() as u64;
        attribute[5] = pair(0, XDP_HAS_FRAGS);
        attribute[8] = pair(0, ATTACH_XDP);
        let fd = bpf(PROG_LOAD, &mut attribute)
            .with_context(|| String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned())?;
        Ok(Self(owned(fd)))
    }

    /// Runs it `times` times on `packet`: the last verdict, the packet as it is then, and nanoseconds a run.
    pub(crate) fn run(&self, packet: &[u8], times: u32) -> Result<(u32, Vec<u8>, u32)> {
        let mut out = vec![0u8; packet.len() + 256];
        let mut attribute = [0; 16];
        attribute[0] = pair(self.0.as_raw_fd() as u32, 0);
        attribute[1] = pair(packet.len() as u32, out.len() as u32);
        attribute[2] = packet.as_ptr() as u64;
        attribute[3] = out.as_mut_ptr() as u64;
        attribute[4] = pair(times, 0);
        bpf(PROG_TEST_RUN, &mut attribute).context("BPF_PROG_TEST_RUN")?;
        out.truncate((attribute[1] >> 32) as usize);
        Ok(((attribute[0] >> 32) as u32, out, (attribute[4] >> 32) as u32))
    }
}

impl Program {
    /// Runs it once on each of `count` packets, from flow number `from` on: the last verdict, and nanoseconds a packet
    /// by the kernel's own clock.
    pub(crate) fn singly(&self, template: &Template, from: u32, count: u32) -> Result<(u32, f64)> {
        let mut packet = template.bytes.clone();
        let (mut out, mut sum, mut verdict) = (vec![0u8; packet.len() + 256], 0u64, 0);
        for n in from..from + count {
            template.write(n & (template.flows - 1), &mut packet);
            let mut attribute = [0; 16];
            attribute[0] = pair(self.0.as_raw_fd() as u32, 0);
            attribute[1] = pair(packet.len() as u32, out.len() as u32);
            attribute[2] = packet.as_ptr() as u64;
            attribute[3] = out.as_mut_ptr() as u64;
            attribute[4] = pair(1, 0);
            bpf(PROG_TEST_RUN, &mut attribute).context("BPF_PROG_TEST_RUN")?;
            sum += attribute[4] >> 32;
            verdict = (attribute[0] >> 32) as u32;
        }
        Ok((verdict, sum as f64 / f64::from(count)))
    }
}

/// A map by its descriptor.
#[derive(Debug)]
pub(crate) struct Map(OwnedFd);

impl Map {
    /// The map pinned at `path`.
    pub(crate) fn pinned(path: &Path) -> Result<Self> {
        Ok(Self(object(path)?))
    }

    /// Writes an entry.
    pub(crate) fn put<K: Pod, V: Pod>(&self, key: &K, value: &V) -> Result<()> {
        let mut attribute = [0; 16];
        attribute[0] = self.0.as_raw_fd() as u64;
        attribute[1] = core::ptr::from_ref(key) as u64;
        attribute[2] = core::ptr::from_ref(value) as u64;
        bpf(MAP_UPDATE, &mut attribute).context("the entry of a map")?;
        Ok(())
    }

    /// Reads a 64-bit number out of an array.
    pub(crate) fn number(&self, index: u32) -> Result<u64> {
        let mut value = 0u64;
        let mut attribute = [0; 16];
        attribute[0] = self.0.as_raw_fd() as u64;
        attribute[1] = (&raw const index) as u64;
        attribute[2] = (&raw mut value) as u64;
        bpf(MAP_LOOKUP, &mut attribute).context("the entry of a map")?;
        Ok(value)
    }
}

/// A packet, and how the counter turns it into one of many flows.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// The packet: Ethernet, IPv4 without options, TCP or UDP. Its first bytes are restored.
    pub(crate) bytes: Vec<u8>,
    /// How many flows: a power of two.
    pub(crate) flows: u32,
}

impl Template {
    /// The packet of flow `n`, as the restoring program makes it: the low 16 bits in the source address and, inverted,
    /// in the identification, so that the header checksum holds; the bits above in the source port.
    pub(crate) fn flow(&self, n: u32) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        self.write(n, &mut bytes);
        bytes
    }

    /// The same, over a packet of another flow.
    fn write(&self, n: u32, bytes: &mut [u8]) {
        let low = (n & 0xffff) as u16;
        bytes[28..30].copy_from_slice(&low.to_be_bytes());
        bytes[18..20].copy_from_slice(&(!low).to_be_bytes());
        let port = u16::from_be_bytes([self.bytes[34], self.bytes[35]]) + (n >> 16) as u16;
        bytes[34..36].copy_from_slice(&port.to_be_bytes());
    }
}

const EXIT: u64 = 0x95;
const fn insn(op: u8, dst: u8, src: u8, off: i16, imm: i32) -> u64 {
    op as u64 | (dst as u64) << 8 | (src as u64) << 12 | (off as u16 as u64) << 16 | (imm as u32 as u64) << 32
}
const fn mov_imm(dst: u8, imm: i32) -> u64 {
    insn(0xb7, dst, 0, 0, imm)
}
const fn mov(dst: u8, src: u8) -> u64 {
    insn(0xbf, dst, src, 0, 0)
}
const fn load64(dst: u8, src: u8, off: i16) -> u64 {
    insn(0x79, dst, src, off, 0)
}
const fn load32(dst: u8, src: u8, off: i16) -> u64 {
    insn(0x61, dst, src, off, 0)
}
const fn load16(dst: u8, src: u8, off: i16) -> u64 {
    insn(0x69, dst, src, off, 0)
}
const fn store64(dst: u8, src: u8, off: i16) -> u64 {
    insn(0x7b, dst, src, off, 0)
}
const fn store16(dst: u8, src: u8, off: i16) -> u64 {
    insn(0x6b, dst, src, off, 0)
}
const fn swap16(dst: u8) -> u64 {
    insn(0xdc, dst, 0, 0, 16)
}
fn map_fd(dst: u8, map: &OwnedFd) -> [u64; 2] {
    [insn(0x18, dst, 1, 0, map.as_raw_fd()), 0]
}

/// The restoring program before a subject.
#[derive(Debug)]
pub(crate) struct Harness {
    program: Program,
    template: Template,
    /// Held: the restoring program knows them by descriptor until it is loaded, the kernel by reference afterwards.
    _state: OwnedFd,
    _subject: OwnedFd,
}

impl Harness {
    /// Restores `template` as ever another flow, then calls `subject`.
    pub(crate) fn new(template: &Template, subject: &Program) -> Result<Self> {
        // Behind the counter stand the bytes of the packet.
        let state = map(MAP_ARRAY, 8 + PACKET as u32)?;
        let mut value = vec![0u8; 8];
        value.extend_from_slice(&template.bytes[..PACKET]);
        update(&state, value.as_ptr())?;
        let programs = map(MAP_PROG_ARRAY, 4)?;
        let fd = subject.0.as_raw_fd() as u32;
        update(&programs, (&raw const fd).cast())?;
        let program = Program::load(&restoring(template, &state, &programs))?;
        Ok(Self { program, template: template.clone(), _state: state, _subject: programs })
    }

    /// Nanoseconds a packet over `times` packets, and the last verdict.
    pub(crate) fn run(&self, times: u32) -> Result<(u32, u32)> {
        let (verdict, _, nanoseconds) = self.program.run(&self.template.bytes, times)?;
        Ok((verdict, nanoseconds))
    }

    /// How many packets it has made so far.
    pub(crate) fn count(&self) -> Result<u64> {
        let key = 0u32;
        let mut value = [0u8; 8 + PACKET];
        let mut attribute = [0; 16];
        attribute[0] = self._state.as_raw_fd() as u64;
        attribute[1] = (&raw const key) as u64;
        attribute[2] = value.as_mut_ptr() as u64;
        bpf(MAP_LOOKUP, &mut attribute).context("the counter")?;
        let mut counter = [0u8; 8];
        counter.copy_from_slice(&value[..8]);
        Ok(u64::from_ne_bytes(counter))
    }
}

/// The restoring program. r6: context, r7: state, r8: packet, r9: flow.
fn restoring(template: &Template, state: &OwnedFd, programs: &OwnedFd) -> Vec<u64> {
    let mut code = vec![mov(6, 1), insn(0x62, 10, 0, -4, 0), mov(2, 10), insn(0x07, 2, 0, 0, -4)];
    code.extend(map_fd(1, state));
    // bpf_map_lookup_elem; without an entry: abort.
    code.extend([insn(0x85, 0, 0, 0, 1), insn(0x55, 0, 0, 2, 0), mov_imm(0, 0), EXIT, mov(7, 0)]);
    // The next flow.
    code.extend([load64(9, 7, 0), mov(1, 9), insn(0x07, 1, 0, 0, 1), store64(7, 1, 0)]);
    code.push(insn(0x57, 9, 0, 0, (template.flows - 1) as i32));
    // The packet is long enough, or: abort.
    code.extend([load32(8, 6, 0), load32(2, 6, 4), mov(1, 8), insn(0x07, 1, 0, 0, PACKET as i32)]);
    code.extend([insn(0xbd, 1, 2, 2, 0), mov_imm(0, 0), EXIT]);
    for word in 0..(PACKET / 8) as i16 {
        code.extend([load64(1, 7, 8 + word * 8), store64(8, 1, word * 8)]);
    }
    if template.flows > 1 {
        code.extend([mov(1, 9), swap16(1), store16(8, 1, 28), insn(0xa7, 1, 0, 0, -1), store16(8, 1, 18)]);
        code.extend([
            load16(1, 8, 34),
            swap16(1),
            mov(2, 9),
            insn(0x77, 2, 0, 0, 16),
            insn(0x0f, 1, 2, 0, 0),
        ]);
        code.extend([swap16(1), store16(8, 1, 34)]);
    }
    // bpf_tail_call; if it fails: abort.
    code.push(mov(1, 6));
    code.extend(map_fd(2, programs));
    code.extend([mov_imm(3, 0), insn(0x85, 0, 0, 0, 12), mov_imm(0, 0), EXIT]);
    code
}
