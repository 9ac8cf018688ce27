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
    /// Segmentation of TCP by the device. `ETHTOOL_STSO`
    Tso = 0x1f,
    /// Segmentation at the last moment. `ETHTOOL_SGSO`
    Gso = 0x24,
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

/// `ETHTOOL_GFLAGS`, `ETHTOOL_SFLAGS`, and `ETH_FLAG_TXVLAN`.
const GET_FLAGS: u32 = 0x25;
const SET_FLAGS: u32 = 0x26;
const TRANSMIT_VLAN: u32 = 1 << 7;

/// Turns an offload of an interface of the present namespace on or off.
///
/// # Errors
/// What the kernel says.
pub fn set(interface: &str, offload: Offload, on: bool) -> Result<()> {
    ask(interface, offload as u32, u32::from(on)).map(drop)
}

/// What the interface sends has its VLAN tag in the frame, where XDP sees it, not beside it.
///
/// # Errors
/// What the kernel says.
pub fn tags_in_frames(interface: &str) -> Result<()> {
    let flags = ask(interface, GET_FLAGS, 0)?;
    ask(interface, SET_FLAGS, flags & !TRANSMIT_VLAN).map(drop)
}

fn ask(interface: &str, command: u32, data: u32) -> Result<u32> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("a socket for ioctl")?;
    let mut value = Value { command, data };
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
        return Err(io::Error::last_os_error())
            .context(format!("ethtool command {command:#x} of {interface}"));
    }
    Ok(value.data)
}
