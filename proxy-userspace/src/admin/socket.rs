//! The socket: made with its mode, a stale one removed.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

/// Connections that may wait to be taken.
const BACKLOG: i32 = 128;

/// Tenths of a second that an ending daemon is waited for.
const PATIENCE: u32 = 10;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon has it.
    #[error("another daemon answers on {}: stop it, or give this one another socket (`[admin] socket`)", .0.display())]
    InUse(PathBuf),
    /// Something that is no socket lies there.
    #[error("{} is not a socket, and is left as it is: give another path (`[admin] socket`)", .0.display())]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("cannot make the admin socket {}: {error}", .path.display())]
    System {
        /// Where.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
}

/// A socket that is listened on; its path is removed with it, unless somebody else has taken that meanwhile.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) path: PathBuf,
    /// None: it is somebody else's.
    inode: Option<u64>,
}

impl Bound {
    /// One that was handed over.
    pub(super) fn adopt(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), inode: Some(std::fs::symlink_metadata(path)?.ino()) })
    }

    /// Its path stays.
    pub(super) fn release(&mut self) {
        self.inode = None;
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path).is_ok_and(|m| Some(m.ino()) == self.inode) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Makes the socket. Its permissions are never wider than `mode`, not even for a moment.
pub(super) fn make(path: &Path, mode: u32) -> Result<(UnixListener, Bound), SocketError> {
    clear(path)?;
    let system = |error: io::Error| SocketError::System { path: path.into(), error };
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(system)?;
    }
    let listener = listen_on(path, mode).map_err(system)?;
    // What the umask took away.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(system)?;
    let inode = std::fs::symlink_metadata(path).map_err(system)?.ino();
    Ok((listener, Bound { path: path.into(), inode: Some(inode) }))
}

fn listen_on(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux makes the file with the mode of the socket's inode (net/unix/af_unix.c, unix_bind_bsd).
    fchmod(&socket, Mode::from_raw_mode(mode & 0o777))?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Removes a socket on which nobody answers.
fn clear(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.into()));
    }
    // One that is just ending, or was killed this instant, still holds its socket for a moment.
    for _ in 0..PATIENCE {
        match UnixStream::connect(path).map_err(|error| error.kind()) {
            Err(io::ErrorKind::NotFound) => return Ok(()),
            Err(io::ErrorKind::ConnectionRefused) => {
                return std::fs::remove_file(path)
                    .map_err(|error| SocketError::System { path: path.into(), error });
            }
            // Not ours to ask is still somebody's.
            _ => thread::sleep(Duration::from_millis(100)),
        }
    }
    Err(SocketError::InUse(path.into()))
}
