//! Passes messages with open files from one process to another, over a pair of sockets that keeps messages whole.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

/// Files in one message (Linux allows 253).
pub const MOST_FILES: usize = 64;
/// Bytes of one message.
const MOST_BYTES: usize = 64 << 10;

/// One end.
#[derive(Debug)]
pub struct Pass(OwnedFd);

/// What was passed.
#[derive(Debug)]
pub struct Passed {
    /// The message; empty: the other side has gone.
    pub message: Vec<u8>,
    /// The files.
    pub files: Vec<OwnedFd>,
}

impl Pass {
    /// Both ends. Neither is inherited by accident.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// An end that was inherited.
    pub fn from_inherited(end: OwnedFd) -> Self {
        Self(end)
    }

    /// The end, to be inherited.
    pub fn into_inner(self) -> OwnedFd {
        self.0
    }

    /// Waits no longer than this for the other side.
    ///
    /// # Errors
    /// It is no socket.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        set_socket_timeout(&self.0, Timeout::Recv, Some(patience))?;
        Ok(set_socket_timeout(&self.0, Timeout::Send, Some(patience))?)
    }

    /// Sends a message with no more than [`MOST_FILES`] files.
    ///
    /// # Errors
    /// The other side has gone, or takes nothing.
    pub fn send(&self, message: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many files for one message"));
        }
        sendmsg(&self.0, &[IoSlice::new(message)], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Receives a message.
    ///
    /// # Errors
    /// Nothing comes, or what comes is longer than a message.
    pub fn receive(&self) -> io::Result<Passed> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut message = vec![0; MOST_BYTES];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = recvmsg(&self.0, &mut [IoSliceMut::new(&mut message)], &mut ancillary, flags)?;
        let files = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(files) => Some(files),
            _ => None,
        });
        let files = files.flatten().collect();
        if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
        }
        message.truncate(got.bytes);
        Ok(Passed { message, files })
    }
}

impl AsFd for Pass {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn messages_arrive_whole_with_their_files() {
        let (here, there) = Pass::pair().unwrap();
        let files: Vec<_> = (0..MOST_FILES).map(|_| std::fs::File::open("/dev/zero").unwrap()).collect();
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        here.send(b"first", &files).unwrap();
        here.send(b"second", &[]).unwrap();
        drop(here);
        let mut first = there.receive().unwrap();
        assert_eq!((&first.message[..], first.files.len()), (&b"first"[..], MOST_FILES));
        let mut byte = [1];
        std::fs::File::from(first.files.remove(0)).read_exact(&mut byte).unwrap();
        assert_eq!(byte, [0]);
        let second = there.receive().unwrap();
        assert_eq!((&second.message[..], second.files.len()), (&b"second"[..], 0));
        assert!(there.receive().unwrap().message.is_empty());
    }

    #[test]
    fn nobody_is_waited_for_longer_than_said() {
        let (here, _there) = Pass::pair().unwrap();
        here.set_patience(Duration::from_millis(20)).unwrap();
        assert_eq!(here.receive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
