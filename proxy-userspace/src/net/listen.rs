//! Sockets that wait for clients: several at one address, so that each worker has its own (`SO_REUSEPORT`).

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::stream::Target;

/// Connections that may wait to be taken; the system may allow fewer (net.core.somaxconn).
const BACKLOG: i32 = 4096;
/// Bytes of datagrams that may wait to be taken.
const DATAGRAMS: usize = 4 << 20;
/// Who may connect to a Unix socket: its folder says who gets there.
const UNIX_MODE: u32 = 0o666;

/// A socket that waits for clients. Never blocks.
#[derive(Debug)]
pub enum Listening {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
    /// UDP.
    Udp(UdpSocket),
}

/// An address cannot be waited at.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else does.
    #[error("{0} is in use: `ss -lnp` says by whom")]
    InUse(Target),
    /// The address is not one of this host's.
    #[error("{0} is no address of this host")]
    NotHere(Target),
    /// Low ports are not for everybody.
    #[error("not allowed to bind {0}: run this as root, or grant CAP_NET_BIND_SERVICE")]
    NotAllowed(Target),
    /// Something that is no socket lies there.
    #[error("{} is not a socket, and is left as it is: bind another path", .0.display())]
    NotASocket(std::path::PathBuf),
    /// The system refuses.
    #[error("cannot bind {target}: {error}")]
    System {
        /// Where.
        target: Target,
        /// What it says.
        error: io::Error,
    },
}

impl Listening {
    /// Sockets that wait at `target`, `count` of them. `shared`: sockets of this process wait at this port already,
    /// so that others cannot be told apart from them.
    ///
    /// # Errors
    /// The address is in use, not of this host, or not allowed.
    pub fn bind(target: &Target, count: usize, shared: bool) -> Result<Vec<Self>, ListenError> {
        match target {
            Target::Tcp(address) => {
                if !shared {
                    // With SO_REUSEPORT alone, another process of the same user would share our clients unnoticed.
                    tcp(*address, false).map_err(|error| ListenError::of(target, error))?;
                }
                (0..count)
                    .map(|_| {
                        tcp(*address, true).map(Self::Tcp).map_err(|error| ListenError::of(target, error))
                    })
                    .collect()
            }
            Target::Unix(path) => {
                clear(path)?;
                let first = unix(path).map_err(|error| ListenError::of(target, error))?;
                Self::Unix(first).spread(count).map_err(|error| ListenError::of(target, error))
            }
            Target::Udp(address) => {
                if !shared {
                    udp(*address, false).map_err(|error| ListenError::of(target, error))?;
                }
                let one =
                    |_| udp(*address, true).map(Self::Udp).map_err(|error| ListenError::of(target, error));
                (0..count).map(one).collect()
            }
        }
    }

    /// This one and as many more as make `count`: further sockets of its address.
    ///
    /// # Errors
    /// The system refuses.
    pub fn spread(self, count: usize) -> io::Result<Vec<Self>> {
        let more = (1..count).map(|_| self.another()).collect::<io::Result<Vec<_>>>()?;
        Ok(std::iter::once(self).chain(more).collect())
    }

    fn another(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => tcp(listener.local_addr()?, true).map(Self::Tcp),
            // All workers take from one queue.
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
            Self::Udp(socket) => udp(socket.local_addr()?, true).map(Self::Udp),
        }
    }

    /// The same socket once more.
    ///
    /// # Errors
    /// The process has as many files as it may.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
            Self::Udp(socket) => socket.try_clone().map(Self::Udp),
        }
    }

    /// A socket that was inherited. It must wait for clients already.
    ///
    /// # Errors
    /// It is no socket.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        socket.set_nonblocking(true)?;
        Ok(match socket.domain()? {
            Domain::UNIX => Self::Unix(OwnedFd::from(socket).into()),
            _ if socket.r#type()? == Type::DGRAM => Self::Udp(OwnedFd::from(socket).into()),
            _ => Self::Tcp(OwnedFd::from(socket).into()),
        })
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
        }
    }
}

impl ListenError {
    fn of(target: &Target, error: io::Error) -> Self {
        let target = target.clone();
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(target),
            io::ErrorKind::AddrNotAvailable => Self::NotHere(target),
            io::ErrorKind::PermissionDenied => Self::NotAllowed(target),
            _ => Self::System { target, error },
        }
    }
}

fn tcp(address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]:80` and `0.0.0.0:80` are two binds.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    // Connections inherit it: no call for each.
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    if reuse_port {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

fn udp(address: SocketAddr, reuse_port: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Without it `SO_REUSEADDR`, which for UDP means that others may take our datagrams, is not needed.
    socket.set_reuse_port(reuse_port)?;
    socket.set_nonblocking(true)?;
    // First flights come in bursts, and nobody sends them again at once. The system may allow less (net.core.rmem_max).
    let _ = socket.set_recv_buffer_size(DATAGRAMS);
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

fn unix(path: &Path) -> io::Result<UnixListener> {
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(UNIX_MODE))?;
    socket.listen(BACKLOG)?;
    Ok(OwnedFd::from(socket).into())
}

/// Removes a socket on which nobody answers.
fn clear(path: &Path) -> Result<(), ListenError> {
    let target = || Target::Unix(path.into());
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.into()));
    }
    match UnixStream::connect(path).map_err(|error| error.kind()) {
        Err(io::ErrorKind::NotFound) => Ok(()),
        Err(io::ErrorKind::ConnectionRefused) => {
            std::fs::remove_file(path).map_err(|error| ListenError::of(&target(), error))
        }
        _ => Err(ListenError::InUse(target())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    #[test]
    fn each_worker_has_a_socket_of_its_own_at_one_address() {
        let target = Target::Tcp(free());
        let sockets = Listening::bind(&target, 3, false).unwrap();
        assert_eq!(sockets.len(), 3);
        let again = Listening::bind(&target, 1, false).unwrap_err();
        assert!(matches!(&again, ListenError::InUse(at) if *at == target), "{again}");
        assert_eq!(Listening::bind(&target, 1, true).unwrap().len(), 1);
    }

    #[test]
    fn both_families_can_wait_on_a_port_of_all_addresses() {
        let port = free().port();
        let both = ["0.0.0.0", "::"].map(|ip| Target::Tcp(SocketAddr::new(ip.parse().unwrap(), port)));
        let bound = both.map(|target| Listening::bind(&target, 2, false));
        assert!(bound.iter().all(Result::is_ok), "{bound:?}");
    }

    #[test]
    fn a_stale_unix_socket_is_replaced_and_a_living_one_is_not() {
        let path = std::env::temp_dir().join(format!("pn-listen-{}.sock", std::process::id()));
        let target = Target::Unix(path.clone());
        drop(Listening::bind(&target, 2, false).unwrap());
        let living = Listening::bind(&target, 2, false).unwrap();
        assert!(matches!(Listening::bind(&target, 1, false), Err(ListenError::InUse(_))));
        drop(living);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(Listening::bind(&target, 1, false), Err(ListenError::NotASocket(_))));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn an_address_of_another_host_is_refused_as_such() {
        let target = Target::Tcp("192.0.2.1:80".parse().unwrap());
        assert!(matches!(Listening::bind(&target, 1, false), Err(ListenError::NotHere(_))));
    }
}
