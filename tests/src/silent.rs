//! Connections that are dropped without a word, to the other end of which they are still there; or with another word than
//! usual.
#![expect(unsafe_code, reason = "setsockopt(2) takes an address of memory")]

use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;

/// Drops a socket so that its peer does not hear of it.
///
/// # Errors
/// What the kernel says.
pub fn drop_silently(stream: TcpStream) -> io::Result<()> {
    /// `TCP_REPAIR` of linux/tcp.h: a socket that is closed under repair sends nothing.
    const REPAIR: libc::c_int = 19;
    set(&stream, (libc::IPPROTO_TCP, REPAIR), [1])?;
    drop(stream);
    Ok(())
}

/// Drops a socket so that its peer is told by a reset.
///
/// # Errors
/// What the kernel says.
pub fn drop_with_reset(stream: TcpStream) -> io::Result<()> {
    // `struct linger`: on, for no time.
    set(&stream, (libc::SOL_SOCKET, libc::SO_LINGER), [1, 0])?;
    drop(stream);
    Ok(())
}

fn set<const N: usize>(
    stream: &TcpStream,
    (level, option): (libc::c_int, libc::c_int),
    value: [libc::c_int; N],
) -> io::Result<()> {
    // SAFETY: the kernel reads live numbers of the length given.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            level,
            option,
            value.as_ptr().cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
