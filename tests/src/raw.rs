//! Frames, sent and received past the network stack (`AF_PACKET`).
#![expect(unsafe_code, reason = "AF_PACKET addresses, sendmmsg and auxiliary data have no safe wrapper")]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::netns::Namespace;
use crate::parsed::Parsed;
use crate::wait::until;

/// A raw socket on one interface: sends whole frames, and sees every frame that comes in.
#[derive(Debug)]
pub struct Raw {
    socket: OwnedFd,
    interface: String,
}

/// How many frames one system call sends.
const BATCH: usize = 256;

impl Raw {
    /// Opens the interface of a namespace. Frames that come in from now on are kept until they are read.
    ///
    /// # Errors
    /// When there is no such interface.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let index = namespace.ifindex(interface)?;
        let socket =
            namespace.enter(|| socket(index))?.with_context(|| format!("AF_PACKET on {interface}"))?;
        Ok(Self { socket, interface: interface.to_owned() })
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        // SAFETY: the pointer and the length are of one slice, which outlives the call.
        let sent = unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if sent < 0 {
            return Err(io::Error::last_os_error())
                .with_context(|| format!("{} bytes on {}", frame.len(), self.interface));
        }
        Ok(())
    }

    /// Sends `count` frames as fast as the interface takes them: each a copy of `frame` that `vary` has changed.
    ///
    /// # Errors
    /// What the kernel says, but for full queues, which are waited for.
    pub fn flood(&self, frame: &[u8], count: usize, mut vary: impl FnMut(usize, &mut [u8])) -> Result<()> {
        let mut frames = vec![frame.to_vec(); BATCH];
        let mut sent = 0;
        while sent < count {
            let batch = BATCH.min(count - sent);
            for (at, frame) in frames.iter_mut().take(batch).enumerate() {
                vary(sent + at, frame);
            }
            let mut done = 0;
            while done < batch {
                done += self.send_many(&mut frames[done..batch])?;
            }
            sent += batch;
        }
        Ok(())
    }

    fn send_many(&self, frames: &mut [Vec<u8>]) -> Result<usize> {
        let mut vectors: Vec<libc::iovec> = frames
            .iter_mut()
            .map(|frame| libc::iovec { iov_base: frame.as_mut_ptr().cast(), iov_len: frame.len() })
            .collect();
        // SAFETY: all-zero bytes are a valid mmsghdr.
        let empty: libc::mmsghdr = unsafe { zeroed() };
        let mut messages = vec![empty; frames.len()];
        for (message, vector) in messages.iter_mut().zip(&mut vectors) {
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        let (fd, count) = (self.socket.as_raw_fd(), messages.len() as u32);
        // SAFETY: each message points to one vector, each vector to one frame; all three outlive the call.
        let sent = unsafe { libc::sendmmsg(fd, messages.as_mut_ptr(), count, 0) };
        if sent >= 0 {
            return Ok(sent as usize);
        }
        match io::Error::last_os_error() {
            full if full.raw_os_error() == Some(libc::ENOBUFS) => Ok(0),
            error => Err(error).context(self.interface.clone()),
        }
    }

    /// The next frame that came in, its VLAN tag put back where it was; none if none comes in 100 ms.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn receive(&self) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0u8; 65_600];
        let mut control = [0u64; 8];
        let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        // SAFETY: all-zero bytes are valid addresses and message headers.
        let (mut from, mut message): (libc::sockaddr_ll, libc::msghdr) = unsafe { (zeroed(), zeroed()) };
        message.msg_name = (&raw mut from).cast();
        message.msg_namelen = size_of::<libc::sockaddr_ll>() as u32;
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        // SAFETY: every pointer in the message is to a local that outlives the call, with its length.
        let length = unsafe { libc::recvmsg(self.socket.as_raw_fd(), &raw mut message, 0) };
        if length < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock => Ok(None),
                _ => Err(error).context(self.interface.clone()),
            };
        }
        buffer.truncate(length as usize);
        if let Some((ethertype, tag)) = vlan_of(&message) {
            let words = [ethertype.to_be_bytes(), tag.to_be_bytes()].concat();
            buffer.splice(12..12, words);
        }
        Ok(Some(buffer))
    }

    /// Waits for an IP packet of which `wanted` says yes.
    ///
    /// # Errors
    /// When none comes: with those that came instead.
    pub fn expect(&self, what: &str, mut wanted: impl FnMut(&Parsed) -> bool) -> Result<Parsed> {
        let mut others = Vec::new();
        until(what, Duration::from_secs(3), || {
            while let Some(frame) = self.receive()? {
                match Parsed::of(&frame) {
                    Ok(parsed) if wanted(&parsed) => return Ok(parsed),
                    Ok(parsed) if others.len() < 8 => others.push(format!("{parsed:?}")),
                    _ => {}
                }
            }
            bail!("only others came on {}: {others:#?}", self.interface)
        })
    }

    /// What has come in so far, read empty.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn drain(&self) -> Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.receive()? {
            frames.push(frame);
        }
        Ok(frames)
    }
}

fn socket(index: u32) -> io::Result<OwnedFd> {
    let any = libc::ETH_P_ALL as u16;
    // SAFETY: no pointers; the result is checked.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let patience = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
    option(&fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &patience)?;
    option(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &(16 << 20_i32))?;
    option(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1_i32)?;
    option(&fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)?;
    // SAFETY: all-zero bytes are a valid address.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = any.to_be();
    address.sll_ifindex = index as i32;
    let (pointer, length) = ((&raw const address).cast(), size_of::<libc::sockaddr_ll>() as u32);
    // SAFETY: the address outlives the call and has this length.
    if unsafe { libc::bind(std::os::fd::AsRawFd::as_raw_fd(&fd), pointer, length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

fn option<T>(fd: &OwnedFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as u32;
    // SAFETY: the value outlives the call and has this length.
    if unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length) } < 0
    {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The kernel takes the outer VLAN tag out of a frame and tells it aside.
fn vlan_of(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: the kernel has filled the control buffer that the message points to, and says how far.
    let header = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
    if (header.cmsg_level, header.cmsg_type) != (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
        return None;
    }
    // SAFETY: a control message of this type carries a `tpacket_auxdata`, perhaps unaligned.
    let data = unsafe { libc::CMSG_DATA(header).cast::<libc::tpacket_auxdata>().read_unaligned() };
    let valid = data.tp_status & libc::TP_STATUS_VLAN_VALID != 0;
    let known = data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    valid.then_some((if known { data.tp_vlan_tpid } else { 0x8100 }, data.tp_vlan_tci))
}
