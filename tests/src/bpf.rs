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

    /// Runs it on a frame that came in by interface `index` of the present namespace: the verdict, and the frame as
    /// it is then.
    ///
    /// # Errors
    /// When the kernel does not take the frame (shorter than 14 bytes).
    pub fn run(&self, index: u32, frame: &[u8]) -> io::Result<(Verdict, Vec<u8>)> {
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
        Ok((Verdict::of(attribute.verdict), data))
    }
}

fn bpf<T>(command: libc::c_long, attribute: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the attribute is of the shape that the command takes, has this size, and all it points to is alive.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
