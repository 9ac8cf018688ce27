//! Whether packets come in by interfaces of the kernel part. Where the way back is another than the way out, it may not see
//! them: then nobody would translate them, and the host would reset a connection whose socket is gone.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use crate::net::handoff::Kept;
use crate::net::whence;

/// Whether the packets of a client come in by these interfaces.
pub(super) fn of_client(socket: BorrowedFd<'_>, interfaces: &BTreeSet<u32>) -> Result<(), Kept> {
    let by = whence::accepted_by(socket).map_err(|_| Kept::Refused)?;
    by.filter(|by| interfaces.contains(by)).map(drop).ok_or(Kept::Way)
}
