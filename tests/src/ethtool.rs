//! Offloads of an interface, by the ethtool ioctl: veth passes partial checksums and unsegmented packets to XDP
//! unless the sender computes and segments them itself, and takes redirected packets only with GRO on.
#![expect(unsafe_code, reason = "ioctl has no safe wrapper")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use anyhow::{Context, Result};

/// An offload, by its ethtool command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Offload {
    /// Transmit checksums (and with them segmentation). `ETHTOOL_STXCSUM`
    TransmitChecksum = 0x17,
    /// Receive aggregation. `ETHTOOL_SGRO`
    Gro = 0x2c,
}

/// `struct ethtool_value`
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

const SIOCETHTOOL: libc::c_ulong = 0x8946;

/// Turns an offload of an interface of the present namespace on or off.
///
/// # Errors
/// What the kernel says.
pub fn set(interface: &str, offload: Offload, on: bool) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("a socket for ioctl")?;
    let mut value = Value { command: offload as u32, data: u32::from(on) };
    // SAFETY: all-zero bytes are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    anyhow::ensure!(interface.len() < request.ifr_name.len(), "{interface}: too long a name");
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the request names an interface, NUL-terminated, and points to an `ethtool_value` that outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error()).context(format!("ethtool {offload:?} of {interface}"));
    }
    Ok(())
}
