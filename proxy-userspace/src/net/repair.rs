//! The state of a TCP connection, read out of its socket so that somebody else can go on with it (`TCP_REPAIR`,
//! net/ipv4/tcp.c). Needs CAP_NET_ADMIN.
#![expect(unsafe_code, reason = "getsockopt(2), setsockopt(2) and ioctl(2) take addresses of memory")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{SockFilter, SockRef};

/// Options of linux/tcp.h that libc does not name on every target.
mod option {
    pub(super) const MAXSEG: libc::c_int = 2;
    pub(super) const INFO: libc::c_int = 11;
    pub(super) const REPAIR: libc::c_int = 19;
    pub(super) const REPAIR_QUEUE: libc::c_int = 20;
    pub(super) const QUEUE_SEQUENCE: libc::c_int = 21;
    pub(super) const TIMESTAMP: libc::c_int = 24;
    pub(super) const WINDOW: libc::c_int = 29;
}

/// `TCP_REPAIR_ON` and kin of linux/tcp.h.
mod value {
    pub(super) const ON: libc::c_int = 1;
    pub(super) const OFF: libc::c_int = 0;
    pub(super) const OFF_WITHOUT_PROBE: libc::c_int = -1;
    pub(super) const RECEIVED: libc::c_int = 1;
    pub(super) const SENT: libc::c_int = 2;
}

/// Bits of `tcpi_options` of linux/tcp.h.
mod negotiated {
    pub(super) const TIMESTAMPS: u8 = 1;
    pub(super) const SACK: u8 = 1 << 1;
    pub(super) const ECN: u8 = 1 << 3;
}

/// `struct tcp_info` of linux/tcp.h, the head of it.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Info {
    state: u8,
    congestion: [u8; 4],
    options: u8,
    /// The peer's in the low half, ours in the high one.
    scales: u8,
    flags: u8,
    timeouts: [u32; 2],
    send_size: u32,
    receive_size: u32,
    unacknowledged: u32,
    counts: [u32; 4],
    times: [u32; 4],
    path: u32,
    metrics: [u32; 5],
    advertised_size: u32,
}

/// `TCP_ESTABLISHED` of net/tcp_states.h.
const ESTABLISHED: u8 = 1;

/// What two ends agreed on, and what the connection is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Neither end has closed.
    pub established: bool,
    /// Segments carry timestamps.
    pub timestamps: bool,
    /// Selective acknowledgments are permitted.
    pub sack: bool,
    /// Both ends do explicit congestion notification.
    pub ecn: bool,
    /// What the peer's windows are scaled by.
    pub peer_scale: u8,
    /// What our windows are scaled by.
    pub own_scale: u8,
    /// The longest segment that the peer gets from us now, without options.
    pub send_size: u16,
    /// The longest segment that the peer was told to send.
    pub advertised_size: u16,
}

/// What only a socket under repair tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// The next byte to send.
    pub sent: u32,
    /// The next byte that is expected.
    pub received: u32,
    /// The timestamp that would be sent now.
    pub clock: u32,
    /// The longest segment that the peer said it takes.
    pub peer_size: u16,
}

/// `struct tcp_repair_window` of linux/tcp.h.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Window {
    send: [u32; 3],
    received: u32,
    /// Where it began.
    from: u32,
}

/// Whose option it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub(super) enum Level {
    Socket = libc::SOL_SOCKET,
    Tcp = libc::IPPROTO_TCP,
    Ip4 = libc::IPPROTO_IP,
    Ip6 = libc::IPPROTO_IPV6,
}

fn get<T: Copy>(socket: BorrowedFd<'_>, name: libc::c_int, value: T) -> io::Result<T> {
    get_of(socket, Level::Tcp, name, value)
}

pub(super) fn get_of<T: Copy>(
    socket: BorrowedFd<'_>,
    level: Level,
    name: libc::c_int,
    mut value: T,
) -> io::Result<T> {
    let mut length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is live, exclusive, and of the length given; the kernel writes no more than that, and every byte
    // pattern is a valid one of the types that this file asks for.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level as libc::c_int,
            name,
            std::ptr::from_mut(&mut value).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// An option that is a number.
pub(super) fn number(socket: BorrowedFd<'_>, level: Level, name: libc::c_int) -> io::Result<libc::c_int> {
    get_of(socket, level, name, 0)
}

fn set(socket: BorrowedFd<'_>, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_number(socket, Level::Tcp, name, value)
}

/// Sets such an option.
pub(super) fn set_number(
    socket: BorrowedFd<'_>,
    level: Level,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the kernel reads one live number of the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level as libc::c_int,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn count(socket: BorrowedFd<'_>, request: libc::Ioctl) -> io::Result<u32> {
    let mut count: libc::c_int = 0;
    // SAFETY: both requests of this file write one number, which is live and exclusive.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), request, &raw mut count) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(count as u32) }
}

/// What is known of a connection without touching it.
///
/// # Errors
/// It is no TCP socket.
pub fn facts(socket: BorrowedFd<'_>) -> io::Result<Facts> {
    let info = get(socket, option::INFO, Info::default())?;
    let has = |bit: u8| info.options & bit != 0;
    Ok(Facts {
        established: info.state == ESTABLISHED,
        timestamps: has(negotiated::TIMESTAMPS),
        sack: has(negotiated::SACK),
        ecn: has(negotiated::ECN),
        peer_scale: info.scales & 0xf,
        own_scale: info.scales >> 4,
        send_size: info.send_size.min(u32::from(u16::MAX)) as u16,
        advertised_size: info.advertised_size.min(u32::from(u16::MAX)) as u16,
    })
}

/// Bytes that came and were not read (`SIOCINQ`).
///
/// # Errors
/// It is no TCP socket.
pub fn waits(socket: BorrowedFd<'_>) -> io::Result<usize> {
    Ok(count(socket, libc::FIONREAD)? as usize)
}

/// Bytes that were sent and not acknowledged (`SIOCOUTQ`).
///
/// # Errors
/// It is no TCP socket.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    Ok(count(socket, libc::TIOCOUTQ)? as usize)
}

/// Whether urgent data waits, which is in no queue.
///
/// # Errors
/// The socket cannot be asked.
pub fn has_urgent(socket: BorrowedFd<'_>) -> io::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut asked = [PollFd::from_borrowed_fd(socket, PollFlags::PRI)];
    poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    Ok(asked[0].revents().contains(PollFlags::PRI))
}

/// Has every packet to the socket thrown away before it is looked at: from now on nothing is received, and nothing
/// acknowledged.
///
/// # Errors
/// The kernel refuses.
pub fn deafen(socket: BorrowedFd<'_>) -> io::Result<()> {
    /// `BPF_RET | BPF_K` of linux/bpf_common.h: so many bytes of the packet are kept.
    const RETURN: u16 = 0x06;
    SockRef::from(&socket).attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])
}

/// Packets are taken again.
///
/// # Errors
/// The kernel refuses.
pub fn hear(socket: BorrowedFd<'_>) -> io::Result<()> {
    SockRef::from(&socket).detach_filter()
}

/// Takes a socket under repair: when it is closed then, nobody is told.
///
/// # Errors
/// CAP_NET_ADMIN is missing, or the connection is none.
pub fn begin(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, option::REPAIR, value::ON)
}

/// It is an ordinary socket again; its peer notices nothing.
///
/// # Errors
/// The kernel refuses.
pub fn end(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, option::REPAIR, value::OFF_WITHOUT_PROBE)?;
    // The end of repair has other connections keep off from its port.
    SockRef::from(&socket).set_reuse_address(true)
}

/// Bytes that the peer may still send, as it was told. (The socket is under repair for a moment.)
///
/// # Errors
/// CAP_NET_ADMIN is missing, or the connection is none.
pub fn window_left(socket: BorrowedFd<'_>) -> io::Result<u32> {
    begin(socket)?;
    let read = || -> io::Result<u32> {
        let window = get(socket, option::WINDOW, Window::default())?;
        set(socket, option::REPAIR_QUEUE, value::RECEIVED)?;
        let received = get(socket, option::QUEUE_SEQUENCE, 0u32)?;
        let left = window.from.wrapping_add(window.received).wrapping_sub(received);
        Ok(if left > u32::MAX / 2 { 0 } else { left })
    };
    let left = read();
    end(socket)?;
    left
}

/// Sends the peer of a socket under repair a segment that it must answer by saying where it is (a window probe), and takes
/// the socket under repair again.
///
/// # Errors
/// The kernel refuses.
pub fn probe(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, option::REPAIR, value::OFF)?;
    begin(socket)
}

/// The numbers of a socket under repair.
///
/// # Errors
/// It is not under repair.
pub fn numbers(socket: BorrowedFd<'_>) -> io::Result<Numbers> {
    set(socket, option::REPAIR_QUEUE, value::SENT)?;
    let sent = get(socket, option::QUEUE_SEQUENCE, 0u32)?;
    set(socket, option::REPAIR_QUEUE, value::RECEIVED)?;
    let received = get(socket, option::QUEUE_SEQUENCE, 0u32)?;
    let clock = get(socket, option::TIMESTAMP, 0u32)?;
    let peer_size = get(socket, option::MAXSEG, 0u32)?.min(u32::from(u16::MAX)) as u16;
    Ok(Numbers { sent, received, clock, peer_size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::time::Duration;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client =
            TcpStream::connect_timeout(&listener.local_addr().unwrap(), Duration::from_secs(5)).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn both_ends_agree_on_what_was_negotiated() {
        let (client, server) = pair();
        let (here, there) = (facts(client.as_fd()).unwrap(), facts(server.as_fd()).unwrap());
        assert!(here.established && there.established);
        assert_eq!((here.timestamps, here.sack), (there.timestamps, there.sack));
        assert_eq!((here.peer_scale, here.own_scale), (there.own_scale, there.peer_scale));
        assert!(here.send_size > 500 && here.advertised_size >= here.send_size);
    }

    #[test]
    fn numbers_of_one_end_are_those_of_the_other() {
        let (mut client, mut server) = pair();
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        server.write_all(b"you").unwrap();
        client.read_exact(&mut [0; 3]).unwrap();
        let busy =
            |socket: &TcpStream| waits(socket.as_fd()).unwrap() + unacknowledged(socket.as_fd()).unwrap() > 0;
        while busy(&client) || busy(&server) {
            std::thread::yield_now();
        }
        begin(client.as_fd()).unwrap();
        begin(server.as_fd()).unwrap();
        let (here, there) = (numbers(client.as_fd()).unwrap(), numbers(server.as_fd()).unwrap());
        assert_eq!((here.sent, here.received), (there.received, there.sent));
        assert!(here.peer_size > 500);
        end(client.as_fd()).unwrap();
        end(server.as_fd()).unwrap();
        client.write_all(b"still").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
    }

    #[test]
    fn what_comes_to_a_deaf_socket_comes_again_later() {
        let (mut client, mut server) = pair();
        deafen(server.as_fd()).unwrap();
        client.write_all(b"lost").unwrap();
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(server.read(&mut [0; 4]).is_err());
        assert_eq!(unacknowledged(client.as_fd()).unwrap(), 4, "nobody acknowledges it");
        hear(server.as_fd()).unwrap();
        server.set_read_timeout(None).unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
    }

    #[test]
    fn a_socket_closed_under_repair_tells_nobody() {
        let (client, mut server) = pair();
        begin(client.as_fd()).unwrap();
        drop(client);
        server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = server.read(&mut [0; 1]).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut), "{error}");
    }
}
