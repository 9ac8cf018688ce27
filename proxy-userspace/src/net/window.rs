//! The window that a socket's peer may send into, closed and opened again: who sends without a pause is made to pause.

use std::io;
use std::os::fd::BorrowedFd;

use super::repair::{self, Level};

/// Options of linux/tcp.h and asm-generic/socket.h that libc does not name on every target.
mod option {
    pub(super) const WINDOW_CLAMP: libc::c_int = 10;
    pub(super) const RCVBUF: libc::c_int = 8;
    pub(super) const RCVBUFFORCE: libc::c_int = 33;
    pub(super) const MEMINFO: libc::c_int = 55;
    pub(super) const BUF_LOCK: libc::c_int = 72;
    /// `SOCK_RCVBUF_LOCK`: the kernel does not make the buffer longer by itself.
    pub(super) const RECEIVES: libc::c_int = 2;
}

/// What a socket's window was like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Open {
    clamp: libc::c_int,
    buffer: libc::c_int,
    lock: libc::c_int,
}

/// From now on the peer is offered as little as can be: so much. What it was offered before stays offered.
///
/// # Errors
/// The kernel refuses.
pub fn narrow(socket: BorrowedFd<'_>) -> io::Result<(Open, u32)> {
    let open = Open {
        clamp: repair::number(socket, Level::Tcp, option::WINDOW_CLAMP)?,
        buffer: repair::number(socket, Level::Socket, option::RCVBUF)?,
        lock: repair::number(socket, Level::Socket, option::BUF_LOCK)?,
    };
    repair::set_number(socket, Level::Socket, option::BUF_LOCK, open.lock | option::RECEIVES)?;
    // 0 is refused; what is too little is made the least.
    repair::set_number(socket, Level::Tcp, option::WINDOW_CLAMP, 1)?;
    let clamp = repair::number(socket, Level::Tcp, option::WINDOW_CLAMP)?;
    let scale = repair::facts(socket)?.own_scale;
    Ok((open, (clamp as u32).next_multiple_of(1 << scale)))
}

/// The least room that is left: some segments, however short they are.
const ROOM: usize = 8 << 10;
/// Memory for each byte of segments, at most: but for the shortest ones, which are laid together.
const MEMORY: usize = 4;

/// When what the peer was offered ([`narrow`]) has come, there is no room any more, or hardly any. So much of it is `left`,
/// for which there is room: the kernel would throw away what finds none, and take the window back. What the peer says
/// from beyond that is not believed, not even what it acknowledges.
///
/// # Errors
/// The kernel refuses.
pub fn shut(socket: BorrowedFd<'_>, left: u32) -> io::Result<()> {
    let used = repair::get_of(socket, Level::Socket, option::MEMINFO, [0u32; 9])?[0] as usize;
    let wanted = used + (left as usize * MEMORY).max(ROOM);
    // The kernel doubles what it is given.
    repair::set_number(socket, Level::Socket, option::RCVBUFFORCE, (wanted / 2).min(1 << 30) as libc::c_int)
}

/// It is as it was. The peer is told when something is read.
///
/// # Errors
/// The kernel refuses; CAP_NET_ADMIN is missing.
pub fn reopen(socket: BorrowedFd<'_>, open: Open) -> io::Result<()> {
    // The kernel doubles what it is given.
    repair::set_number(socket, Level::Socket, option::RCVBUFFORCE, open.buffer / 2)?;
    repair::set_number(socket, Level::Socket, option::BUF_LOCK, open.lock)?;
    repair::set_number(socket, Level::Tcp, option::WINDOW_CLAMP, open.clamp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    /// Writes until nothing more is taken.
    fn fill(stream: &mut TcpStream) -> usize {
        stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut all = 0;
        loop {
            match stream.write(&[7; 4096]) {
                Ok(count) => all += count,
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
                    return all;
                }
            }
        }
    }

    #[test]
    fn a_sender_stops_when_the_window_is_shut_and_goes_on_when_it_is_open_again() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client =
            TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        let mut server = listener.accept().unwrap().0;
        let (open, least) = narrow(server.as_fd()).unwrap();
        let mut sent = fill(&mut client);
        // What was offered before is used up, and little comes any more.
        let (until, mut got, mut buffer) = (Instant::now() + Duration::from_secs(10), 0, vec![0; 1 << 16]);
        while repair::window_left(server.as_fd()).unwrap() > least {
            got += server.read(&mut buffer).unwrap();
            sent += client.write(&[7; 4096]).unwrap_or(0);
            assert!(Instant::now() < until);
        }
        let left = repair::window_left(server.as_fd()).unwrap();
        shut(server.as_fd(), left).unwrap();
        while repair::window_left(server.as_fd()).unwrap() > 0 {
            assert!(Instant::now() < until);
            std::thread::yield_now();
        }
        let waits = rustix::io::ioctl_fionread(&server).unwrap();
        sent += fill(&mut client);
        assert_eq!(rustix::io::ioctl_fionread(&server).unwrap(), waits, "nothing comes any more");
        reopen(server.as_fd(), open).unwrap();
        assert_eq!(narrow(server.as_fd()).unwrap().0, open);
        reopen(server.as_fd(), open).unwrap();
        while got < sent {
            got += server.read(&mut buffer).unwrap();
        }
        assert_eq!(got, sent);
    }
}
