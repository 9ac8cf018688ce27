//! Gives new connections to the worker of the CPU that their packets come in on: a program at a group of sockets that
//! wait at one address. It needs no `[kernel]`, outlives nothing, and is not pinned: it goes with its sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

use aya::maps::{Array, MapError, ReusePortSockArray};
use aya::programs::{ProgramError, SkReuseport};
use aya::{EbpfError, EbpfLoader};
use proxy_common::limits::STEER_CPUS;
use proxy_common::names;

use super::object;
use super::tables::shapes;

/// A map that nobody needs any more lets its sockets go after a while of the kernel's.
const SOON: Duration = Duration::from_secs(2);
const AGAIN: Duration = Duration::from_millis(2);

/// Why the kernel goes on choosing by hash.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// The binary was built without the toolchain for it.
    #[error("this build of proxy-now has no kernel programs in it")]
    NoObject,
    /// Maps could not be made: rights are missing, mostly.
    #[error("maps cannot be made (are CAP_BPF and CAP_NET_ADMIN missing?): {0}")]
    Maps(#[from] Box<EbpfError>),
    /// A map said no.
    #[error("its maps cannot be filled: {0}")]
    Map(#[from] MapError),
    /// The program could not be loaded or attached.
    #[error("its program cannot be attached: {0}")]
    Program(#[from] ProgramError),
    /// A descriptor could not be had.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Gives connections to the socket of their CPU's worker. All sockets wait at one address; another program that chooses
/// among them, of the daemon before this one, is replaced.
///
/// # Errors
/// It cannot be done: then the kernel chooses by hash, as before.
pub fn steer(sockets: &[(u32, BorrowedFd<'_>)]) -> Result<(), SteerError> {
    if object::BYTES.is_empty() {
        return Err(SteerError::NoObject);
    }
    let Some((_, first)) = sockets.first() else { return Ok(()) };
    let mut loader = EbpfLoader::new();
    // The object is one, and so all maps are made: those of the packets' way as small as can be, and not kept.
    for shape in shapes(1, 1) {
        loader.map_max_entries(shape.name, 1);
    }
    let mut object = loader.load(object::BYTES).map_err(Box::new)?;
    let absent = |name: &str| MapError::InvalidName { name: name.into() };
    let count = object.map_mut(names::STEER_COUNT).ok_or_else(|| absent(names::STEER_COUNT))?;
    Array::<_, u64>::try_from(count)?.set(STEER_CPUS + 1, sockets.len() as u64, 0)?;
    let name = object::PROGRAM_STEER;
    let unknown = || ProgramError::InvalidName { name: name.into() };
    let program: &mut SkReuseport = object.program_mut(name).ok_or_else(unknown)?.try_into()?;
    program.load()?;
    // Before its map is filled: a socket is in one map only, and goes from the other with the program that is replaced.
    // What is not in the map yet is chosen by hash.
    program.attach(first.as_fd())?;
    let by_cpu = object.map_mut(names::STEER).ok_or_else(|| absent(names::STEER))?;
    let mut by_cpu = ReusePortSockArray::try_from(by_cpu)?;
    let end = Instant::now() + SOON;
    for (cpu, socket) in sockets.iter().filter(|(cpu, _)| *cpu < STEER_CPUS) {
        while let Err(error) = by_cpu.set(*cpu, &socket.as_raw_fd(), 0) {
            if !is_taken(&error) || Instant::now() >= end {
                return Err(error.into());
            }
            thread::sleep(AGAIN);
        }
    }
    Ok(())
}

/// The socket is in a map still (kernel/bpf/reuseport_array.c).
fn is_taken(error: &MapError) -> bool {
    matches!(error, MapError::SyscallError(error) if error.io_error.raw_os_error() == Some(libc::EBUSY))
}
