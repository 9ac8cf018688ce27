//! What one daemon hands over to the next, and in which words. The program may be another version: what it does not
//! know it ignores, and what it does not get it does without.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::web::Sockets;
use crate::net::listen::Listening;
use crate::net::pass::{MOST_FILES, Pass};
use crate::net::stream::Target;

/// The variable that tells a daemon that its standard input is where another one hands over to it.
pub(super) const VARIABLE: &str = "PROXY_NOW_HANDOVER";
/// The one that is handed over to loads its configuration and its kernel part: no longer than this.
pub(super) const PATIENCE: Duration = Duration::from_secs(25);

/// What is handed over.
#[derive(Debug, Default)]
pub(super) struct Estate {
    /// Where clients wait.
    pub(super) sockets: Sockets,
    /// Where the admin socket is, and it.
    pub(super) admin: Option<(PathBuf, OwnedFd)>,
    /// What is known of backends.
    pub(super) backends: Vec<Remembered>,
}

/// What is known of a backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) pool: String,
    pub(super) backend: String,
    #[serde(default)]
    pub(super) down: bool,
    #[serde(default)]
    pub(super) drained_by_hand: bool,
}

/// The new daemon, as the old one sees it. Of nobody, if it was not started by one.
#[derive(Debug)]
pub(super) struct Heir(Option<Pass>);

impl Heir {
    /// Of the daemon that started this process.
    pub(super) fn new() -> io::Result<Self> {
        if std::env::var_os(VARIABLE).is_none() {
            return Ok(Self(None));
        }
        let pass = Pass::from_inherited(io::stdin().as_fd().try_clone_to_owned()?);
        pass.set_patience(PATIENCE)?;
        Ok(Self(Some(pass)))
    }

    /// What it gets.
    pub(super) fn estate(&self) -> io::Result<Estate> {
        self.0.as_ref().map_or_else(|| Ok(Estate::default()), Estate::receive)
    }

    /// Tells the old daemon what came of the start, once.
    pub(super) fn tell<T, E: std::fmt::Display>(&mut self, started: Result<T, E>) -> Result<T, E> {
        if let Some(pass) = self.0.take() {
            let reply = match &started {
                Ok(_) => Reply::Ready { version: env!("CARGO_PKG_VERSION").into() },
                Err(error) => Reply::Failed { error: error.to_string() },
            };
            // One that does not hear it is no more.
            if let Err(error) = reply.send(&pass) {
                tracing::warn!("the daemon before this one was not told: {error}");
            }
        }
        started
    }
}

/// A message from the old daemon.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Message {
    /// With sockets that wait here.
    Sockets { at: At },
    /// With the admin socket.
    Admin { path: PathBuf },
    /// What is known of backends.
    Backends { backends: Vec<Remembered> },
    /// That was all.
    End,
    /// Whatever a later version hands over.
    #[serde(other)]
    Unknown,
}

/// Where a socket waits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum At {
    Tcp(std::net::SocketAddr),
    Unix(PathBuf),
    Udp(std::net::SocketAddr),
}

/// What the new daemon answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum Reply {
    /// It serves.
    Ready { version: String },
    /// It does not.
    Failed { error: String },
}

/// Backends in one message: it stays far below the size of one.
const MOST_BACKENDS: usize = 100;

impl Estate {
    /// Hands it over.
    pub(super) fn send(&self, pass: &Pass) -> io::Result<()> {
        for (target, sockets) in &self.sockets {
            let at = || match target {
                Target::Tcp(address) => At::Tcp(*address),
                Target::Unix(path) => At::Unix(path.clone()),
                Target::Udp(address) => At::Udp(*address),
            };
            for sockets in sockets.chunks(MOST_FILES) {
                let files: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
                pass.send(&text(&Message::Sockets { at: at() })?, &files)?;
            }
        }
        if let Some((path, socket)) = &self.admin {
            pass.send(&text(&Message::Admin { path: path.clone() })?, &[socket.as_fd()])?;
        }
        for backends in self.backends.chunks(MOST_BACKENDS) {
            pass.send(&text(&Message::Backends { backends: backends.to_vec() })?, &[])?;
        }
        pass.send(&text(&Message::End)?, &[])
    }

    /// Takes it over.
    pub(super) fn receive(pass: &Pass) -> io::Result<Self> {
        let mut estate = Self::default();
        loop {
            let mut passed = pass.receive()?;
            if passed.message.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match serde_json::from_slice(&passed.message)? {
                Message::Sockets { at } => {
                    let target = match at {
                        At::Tcp(address) => Target::Tcp(address),
                        At::Unix(path) => Target::Unix(path),
                        At::Udp(address) => Target::Udp(address),
                    };
                    let sockets = passed.files.into_iter().map(Listening::adopt);
                    let sockets = sockets.collect::<io::Result<Vec<_>>>()?;
                    estate.sockets.entry(target).or_default().extend(sockets);
                }
                Message::Admin { path } => estate.admin = passed.files.pop().map(|socket| (path, socket)),
                Message::Backends { backends } => estate.backends.extend(backends),
                Message::Unknown => {}
                Message::End => return Ok(estate),
            }
        }
    }
}

impl Reply {
    pub(super) fn send(&self, pass: &Pass) -> io::Result<()> {
        pass.send(&text(self)?, &[])
    }

    /// What the new daemon answers; an end without an answer is an answer, too.
    pub(super) fn receive(pass: &Pass) -> io::Result<Self> {
        let passed = pass.receive()?;
        if passed.message.is_empty() {
            return Ok(Self::Failed { error: "it has ended; its log says why".into() });
        }
        Ok(serde_json::from_slice(&passed.message)?)
    }
}

fn text(message: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec(message)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_arrives() {
        let (here, there) = Pass::pair().unwrap();
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = Target::Tcp(address);
        let remembered = |n: usize| Remembered {
            pool: "app".into(),
            backend: format!("10.0.0.1:{n}"),
            down: n.is_multiple_of(2),
            drained_by_hand: n.is_multiple_of(3),
        };
        let estate = Estate {
            sockets: Sockets::from([(target.clone(), Listening::bind(&target, 70, false).unwrap())]),
            admin: Some(("/run/admin.sock".into(), std::fs::File::open("/dev/null").unwrap().into())),
            backends: (0..250).map(remembered).collect(),
        };
        let sender = std::thread::spawn(move || {
            estate.send(&here).unwrap();
            Reply::receive(&here).unwrap()
        });
        let arrived = Estate::receive(&there).unwrap();
        assert_eq!(arrived.sockets[&target].len(), 70);
        let Listening::Tcp(socket) = &arrived.sockets[&target][0] else { panic!("tcp") };
        assert_eq!(socket.local_addr().unwrap(), address);
        assert_eq!(arrived.admin.unwrap().0, PathBuf::from("/run/admin.sock"));
        assert_eq!(arrived.backends, (0..250).map(remembered).collect::<Vec<_>>());
        drop(there);
        assert!(matches!(sender.join().unwrap(), Reply::Failed { .. }));
    }

    #[test]
    fn what_a_later_version_hands_over_besides_is_ignored() {
        let (here, there) = Pass::pair().unwrap();
        here.send(br#"{"is":"something_new","more":[1]}"#, &[]).unwrap();
        here.send(br#"{"is":"end","more":true}"#, &[]).unwrap();
        assert!(Estate::receive(&there).unwrap().sockets.is_empty());
    }
}
