//! A pinned program, run on one packet by `BPF_PROG_TEST_RUN`, as if it had come in by an interface.
#![expect(unsafe_code, reason = "the bpf system call has no safe wrapper")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};

/// What an XDP program says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// A fault of the program.
    Aborted,
    /// Dropped.
    Drop,
    /// Left to the host.
    Pass,
    /// Sent out where it came in.
    Tx,
    /// Sent out elsewhere.
    Redirect,
    /// No such verdict.
    Illegal(u32),
}

impl Verdict {
    /// Whether the packet goes on to a backend or a client.
    #[must_use]
    pub const fn is_sent(self) -> bool {
        matches!(self, Self::Tx | Self::Redirect)
    }

    const fn of(value: u32) -> Self {
        match value {
            0 => Self::Aborted,
            1 => Self::Drop,
            2 => Self::Pass,
            3 => Self::Tx,
            4 => Self::Redirect,
            other => Self::Illegal(other),
        }
    }
}

/// A pinned XDP program.
#[derive(Debug)]
pub struct Program(OwnedFd);

/// The part of `union bpf_attr` that `BPF_OBJ_GET` reads.
#[repr(C)]
#[derive(Default)]
struct ObjectAttribute {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that `BPF_PROG_TEST_RUN` reads and writes.
#[repr(C)]
#[derive(Default)]
struct RunAttribute {
    program: u32,
    verdict: u32,
    length_in: u32,
    length_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_length_in: u32,
    context_length_out: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    pad: u32,
}

/// `struct xdp_md`
#[repr(C)]
#[derive(Default)]
struct XdpContext {
    data: u32,
    data_end: u32,
    data_meta: u32,
    ingress_ifindex: u32,
    receive_queue: u32,
    egress_ifindex: u32,
}

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` reads.
#[repr(C)]
#[derive(Default)]
struct LoadAttribute {
    kind: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

const PROG_LOAD: libc::c_long = 5;
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const PROG_TEST_RUN: libc::c_long = 10;

impl Program {
    /// The program pinned at `path`.
    ///
    /// # Errors
    /// When nothing is pinned there.
    pub fn pinned(path: &Path) -> Result<Self> {
        let text = CString::new(path.to_string_lossy().as_bytes())?;
        let mut attribute = ObjectAttribute { path: text.as_ptr() as u64, ..ObjectAttribute::default() };
        let fd = bpf(OBJ_GET, &mut attribute).with_context(|| path.display().to_string())?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Somebody else's XDP program: passes everything on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn foreign(name: &str) -> Result<Self> {
        // r0 = XDP_PASS; exit
        Self::load(name, &[0x0000_0002_0000_00b7, 0x95])
    }

    /// An XDP program of these instructions.
    ///
    /// # Errors
    /// What the kernel says, with what its verifier says.
    pub fn load(name: &str, code: &[u64]) -> Result<Self> {
        let mut log = vec![0u8; 1 << 16];
        let mut attribute = LoadAttribute {
            kind: 6, // BPF_PROG_TYPE_XDP
            instructions: code.len() as u32,
            code: code.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log_level: 1,
            log_size: log.len() as u32,
            log: log.as_mut_ptr() as u64,
            ..LoadAttribute::default()
        };
        anyhow::ensure!(name.len() < attribute.name.len(), "{name}: too long a name");
        attribute.name[..name.len()].copy_from_slice(name.as_bytes());
        let fd = bpf(PROG_LOAD, &mut attribute)
            .with_context(|| String::from_utf8_lossy(&log).trim_end_matches('\0').to_owned())?;
        // SAFETY: the descriptor is new and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// Pins it.
    ///
    /// # Errors
    /// When that is no place in a BPF file system.
    pub fn pin(&self, path: &Path) -> Result<()> {
        let text = CString::new(path.to_string_lossy().as_bytes())?;
        let mut attribute = ObjectAttribute {
            path: text.as_ptr() as u64,
            descriptor: self.0.as_raw_fd() as u32,
            ..ObjectAttribute::default()
        };
        bpf(OBJ_PIN, &mut attribute).with_context(|| path.display().to_string())?;
        Ok(())
    }

    /// Runs it on a frame that came in by interface `index` of the present namespace: the verdict, and the frame as
    /// it is then.
    ///
    /// # Errors
    /// When the kernel does not take the frame (shorter than 14 bytes).
    pub fn run(&self, index: u32, frame: &[u8]) -> io::Result<(Verdict, Vec<u8>)> {
        self.run_timed(index, frame).map(|(verdict, frame, _)| (verdict, frame))
    }

    /// Runs it so often on frames that begin like this one, whose verdicts are carried out: redirected frames are sent.
    /// Frames are used again as the program left them.
    ///
    /// # Errors
    /// When the kernel is older than 5.18, or does not take the frame.
    pub fn run_live(&self, frame: &[u8], times: u32) -> io::Result<()> {
        const LIVE_FRAMES: u32 = 1 << 1;
        let context = XdpContext { data_end: frame.len() as u32, ..XdpContext::default() };
        let mut attribute = RunAttribute {
            program: self.0.as_raw_fd() as u32,
            length_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat: times,
            context_length_in: size_of::<XdpContext>() as u32,
            context_in: (&raw const context) as u64,
            flags: LIVE_FRAMES,
            batch: 64,
            ..RunAttribute::default()
        };
        bpf(PROG_TEST_RUN, &mut attribute).map(drop)
    }

    /// Runs it so often on a frame that its verdict leaves as it is.
    ///
    /// # Errors
    /// When the kernel does not take the frame.
    pub fn run_often(&self, index: u32, frame: &[u8], times: u32) -> io::Result<Verdict> {
        let context =
            XdpContext { data_end: frame.len() as u32, ingress_ifindex: index, ..XdpContext::default() };
        let mut attribute = RunAttribute {
            program: self.0.as_raw_fd() as u32,
            length_in: frame.len() as u32,
            data_in: frame.as_ptr() as u64,
            repeat: times,
            context_length_in: size_of::<XdpContext>() as u32,
            context_in: (&raw const context) as u64,
            ..RunAttribute::default()
        };
        bpf(PROG_TEST_RUN, &mut attribute)?;
        Ok(Verdict::of(attribute.verdict))
    }

    /// Like [`Self::run`], and how many nanoseconds it took.
    ///
    /// # Errors
    /// When the kernel does not take the frame.
    pub fn run_timed(&self, index: u32, frame: &[u8]) -> io::Result<(Verdict, Vec<u8>, u32)> {
        let mut data = vec![0u8; frame.len() + 512];
        let context =
            XdpContext { data_end: frame.len() as u32, ingress_ifindex: index, ..XdpContext::default() };
        let mut attribute = RunAttribute {
            program: self.0.as_raw_fd() as u32,
            length_in: frame.len() as u32,
            length_out: data.len() as u32,
            data_in: frame.as_ptr() as u64,
            data_out: data.as_mut_ptr() as u64,
            repeat: 1,
            context_length_in: size_of::<XdpContext>() as u32,
            context_in: (&raw const context) as u64,
            ..RunAttribute::default()
        };
        bpf(PROG_TEST_RUN, &mut attribute)?;
        data.truncate(attribute.length_out as usize);
        Ok((Verdict::of(attribute.verdict), data, attribute.duration))
    }
}

/// Bytes of memory that the kernel charges for a pinned map.
///
/// # Errors
/// When nothing is pinned there.
pub fn memory_of_map(path: &Path) -> Result<u64> {
    let Program(fd) = Program::pinned(path)?;
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("memlock:"));
    Ok(line.with_context(|| format!("no memlock in: {text}"))?.trim().parse()?)
}

fn bpf<T>(command: libc::c_long, attribute: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is of the shape that the command takes, has this size, and all it points to is alive.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
