//! What lines are written to.

use std::fs::File;
use std::io::{self, Stdout, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// Where lines go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Standard output.
    Stdout,
    /// A file, which is made if there is none, and added to.
    File(PathBuf),
    /// The local syslog (RFC 5424).
    Syslog,
}

/// What lines are written to.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout(Stdout),
    File(File),
    Syslog(UnixDatagram),
}

/// Where the local syslog listens.
const SYSLOG: &str = "/dev/log";
/// Facility local0, severity informational (RFC 5424 §6.2.1).
const PRIORITY: u8 = 16 * 8 + 6;
/// Syslog is waited for no longer: further lines are dropped.
const PATIENCE: Duration = Duration::from_secs(1);

impl Sink {
    pub(super) fn open(place: &Place) -> io::Result<Self> {
        Ok(match place {
            Place::Stdout => Self::Stdout(io::stdout()),
            Place::File(path) => Self::File(open_file(path)?),
            Place::Syslog => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(SYSLOG)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Self::Syslog(socket)
            }
        })
    }

    /// Writes whole lines, and gives the number of those that were lost.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<u64> {
        match self {
            // One lock for all: lines of others do not come between.
            Self::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                stdout.write_all(lines)?;
                stdout.flush()?;
            }
            Self::File(file) => file.write_all(lines)?,
            Self::Syslog(socket) => return syslog(socket, lines),
        }
        Ok(0)
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.flush(),
            Self::Syslog(_) => Ok(()),
        }
    }
}

/// A pipe is opened at once too, or not at all: one without a reader would be waited for, for ever.
fn open_file(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).append(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    // Only to open. What reads a pipe may be slow.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

/// One message a line. A message that syslog does not take in time is lost; that it has gone is an error.
fn syslog(socket: &UnixDatagram, lines: &[u8]) -> io::Result<u64> {
    let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let head = format!("<{PRIORITY}>1 {time} - proxy-now {} access - ", std::process::id());
    let mut lost = 0;
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match socket.send(&[head.as_bytes(), line].concat()) {
            Ok(_) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EMSGSIZE)) => lost += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syslog_gets_a_message_for_each_line() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        assert_eq!(Sink::Syslog(ours).write(b"one\ntwo\n").unwrap(), 0);
        let mut message = [0; 256];
        for expected in ["one", "two"] {
            let length = theirs.recv(&mut message).unwrap();
            let text = std::str::from_utf8(&message[..length]).unwrap();
            let words: Vec<_> = text.splitn(8, ' ').collect();
            assert_eq!(
                (words[0], words[2], words[3], words[5]),
                ("<134>1", "-", "proxy-now", "access"),
                "{text}"
            );
            assert!(words[1].ends_with('Z') && words[1].contains('T'), "{text}");
            assert_eq!(words[7], expected);
        }
    }

    #[test]
    fn a_syslog_that_has_gone_is_an_error() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        drop(theirs);
        assert!(Sink::Syslog(ours).write(b"one\n").is_err());
    }
}
