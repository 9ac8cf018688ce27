//! Driver settings, by the ioctl of ethtool(8) (linux/ethtool.h).
#![expect(unsafe_code, reason = "ioctl(2) takes addresses of memory")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

const SIOCETHTOOL: u32 = 0x8946;
const GET_DRIVER: u32 = 0x03;
const GET_TX_CHECKSUM: u32 = 0x16;
const GET_FLAGS: u32 = 0x25;
const GET_GRO: u32 = 0x2b;
const GET_CHANNELS: u32 = 0x3c;
const FLAG_LRO: u32 = 1 << 15;

/// Asks drivers for their settings.
#[derive(Debug)]
pub struct Ethtool(OwnedFd);

/// Receive and transmit queues of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Queues {
    /// In use: those that both receive and send, and the larger of those that do one.
    pub used: u32,
    /// What the device can have.
    pub most: u32,
}

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

#[repr(C)]
struct Driver {
    command: u32,
    name: [u8; 32],
    rest: [u8; 160],
}

#[repr(C)]
struct Channels {
    command: u32,
    most: [u32; 4],
    used: [u32; 4],
}

impl Ethtool {
    /// Opens a socket to ask through.
    pub fn open() -> io::Result<Self> {
        Ok(Self(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?))
    }

    fn ask<T>(&self, device: &str, request: &mut T) -> io::Result<()> {
        #[repr(C)]
        struct Request {
            name: [u8; 16],
            data: *mut libc::c_void,
            pad: [u8; 16],
        }
        let mut full = Request { name: [0; 16], data: std::ptr::from_mut(request).cast(), pad: [0; 16] };
        for (to, from) in full.name[..15].iter_mut().zip(device.bytes()) {
            *to = from;
        }
        // SAFETY: `full` has the layout and at least the size of `struct ifreq`, and `data` points to a live struct of
        // the layout that its command, its first field, asks for; the kernel writes no further than that.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), SIOCETHTOOL as _, &raw mut full) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    fn value(&self, device: &str, command: u32) -> io::Result<u32> {
        let mut value = Value { command, data: 0 };
        self.ask(device, &mut value)?;
        Ok(value.data)
    }

    /// The name of a device's driver.
    pub fn driver(&self, device: &str) -> io::Result<String> {
        let mut driver = Driver { command: GET_DRIVER, name: [0; 32], rest: [0; 160] };
        self.ask(device, &mut driver)?;
        let name = driver.name.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(name).into_owned())
    }

    /// Whether large receive offload is on.
    pub fn lro(&self, device: &str) -> io::Result<bool> {
        Ok(self.value(device, GET_FLAGS)? & FLAG_LRO != 0)
    }

    /// Whether generic receive offload is on.
    pub fn gro(&self, device: &str) -> io::Result<bool> {
        Ok(self.value(device, GET_GRO)? != 0)
    }

    /// Whether checksums of what is sent are left to the device.
    pub fn tx_checksum(&self, device: &str) -> io::Result<bool> {
        Ok(self.value(device, GET_TX_CHECKSUM)? != 0)
    }

    /// Its queues. Many virtual devices cannot tell.
    pub fn queues(&self, device: &str) -> io::Result<Queues> {
        let mut channels = Channels { command: GET_CHANNELS, most: [0; 4], used: [0; 4] };
        self.ask(device, &mut channels)?;
        // Receive, transmit, other, combined.
        let count = |of: [u32; 4]| of[3] + of[0].max(of[1]);
        Ok(Queues { used: count(channels.used), most: count(channels.most) })
    }
}
