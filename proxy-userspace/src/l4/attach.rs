//! Attaches the programs to interfaces, by links that are pinned: they outlive the daemon, and another version's program
//! is put into them between two packets.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::load::Programs;
use super::pins::{self, Pins};
use super::sys::{self, Hook, LinkInfo, ProgramInfo};
use crate::config::AttachMode;
use crate::net::link::{self, Link};
use crate::net::netlink::Socket;
use crate::net::tc;

/// Where a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver.
    Native,
    /// Behind the driver: slower, for every driver.
    Generic,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// An interface that the programs are attached to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Attachment {
    /// Its name.
    pub interface: String,
    /// Its number.
    pub ifindex: u32,
    /// Where the XDP program runs.
    pub mode: Mode,
    /// Whether an earlier daemon had attached it: no packet was missed.
    pub taken_over: bool,
    /// Why the driver does not run it, if it was asked to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_refused: Option<String>,
}

impl std::fmt::Display for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { interface, mode, .. } = self;
        write!(f, "{interface}: {mode} XDP")?;
        if self.taken_over {
            f.write_str(", taken over")?;
        }
        match &self.native_refused {
            Some(why) => write!(f, " (its driver refused native XDP: {why})"),
            None => Ok(()),
        }
    }
}

/// Why an interface cannot be attached to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is none of that name.
    #[error("there is no interface {interface}; there are: {}", there.join(", "))]
    NoInterface {
        /// Its name.
        interface: String,
        /// Those that there are.
        there: Vec<String>,
    },
    /// Somebody else's program is on it.
    #[error(
        "{interface} carries somebody else's XDP program: \"{name}\", program {id}; look at it with \
         `bpftool prog show id {id}`, and end what attached it"
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// The program's number.
        id: u32,
        /// Its name.
        name: String,
    },
    /// The driver refused, and nothing else was allowed.
    #[error(
        "the driver of {interface} refused native XDP: {cause}; attach = \"auto\" falls back to generic XDP"
    )]
    NotNative {
        /// The interface.
        interface: String,
        /// What it said.
        #[source]
        cause: io::Error,
    },
    /// Something else failed.
    #[error("cannot attach to {interface}: {what}: {cause}")]
    Failed {
        /// The interface.
        interface: String,
        /// What was tried.
        what: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// What a start did to an interface, to be undone if the start fails.
#[derive(Debug)]
pub(super) enum Done {
    /// Pinned a new link.
    Linked(PathBuf),
    /// Put another program into a link that was there.
    Replaced(OwnedFd, OwnedFd),
}

impl Done {
    /// Takes it back, as far as that is possible.
    pub(super) fn undo(self) {
        match self {
            Self::Linked(path) => drop(unlink(&path)),
            Self::Replaced(link, program) => drop(sys::link_update(link.as_fd(), program.as_fd())),
        }
    }
}

/// `XDP_FLAGS_SKB_MODE` and `XDP_FLAGS_DRV_MODE` of linux/if_link.h.
const fn flags(mode: Mode) -> u32 {
    match mode {
        Mode::Generic => 1 << 1,
        Mode::Native => 1 << 2,
    }
}

/// Attaches to interfaces of this network namespace.
pub(super) struct Attacher<'a> {
    pub(super) pins: &'a Pins,
    pub(super) programs: &'a Programs,
    pub(super) mode: AttachMode,
    pub(super) done: &'a mut Vec<Done>,
}

impl Attacher<'_> {
    /// Attaches both programs to an interface, or takes over the links that are there.
    pub(super) fn attach(&mut self, interface: &str) -> Result<Attachment, AttachError> {
        let failed = |what| failed(interface, what);
        let mut socket = Socket::open().map_err(failed("open a netlink socket"))?;
        let found = link::by_name(&mut socket, interface).map_err(failed("look for it"))?;
        let Some(device) = found else {
            let all = link::all(&mut socket).map_err(failed("look for interfaces"))?;
            let there = all.into_iter().map(|link| link.name).collect();
            return Err(AttachError::NoInterface { interface: interface.into(), there });
        };
        let attachment = match self.take_over(&device)? {
            Some(attachment) => attachment,
            None => self.attach_anew(&device)?,
        };
        self.attach_tc(&device)?;
        Ok(attachment)
    }

    /// Puts our program into the link that an earlier daemon pinned, of this version or another.
    fn take_over(&mut self, device: &Link) -> Result<Option<Attachment>, AttachError> {
        let path = self.pins.link(&device.name);
        let Some(link) = self.find_link(device, &path)? else { return Ok(None) };
        let native = device.xdp.is_some_and(|xdp| xdp.native);
        let wanted = match self.mode {
            AttachMode::Auto => native,
            AttachMode::Native => true,
            AttachMode::Generic => false,
        };
        if native != wanted {
            // The mode of a link cannot be changed: this one goes, and the interface is attached to anew.
            drop(link);
            pins::remove(&path).map_err(failed(&device.name, "remove the pin of its link"))?;
            return Ok(None);
        }
        self.put_into(link, &self.programs.xdp, &device.name)?;
        Ok(Some(Attachment {
            interface: device.name.clone(),
            ifindex: device.index,
            mode: if native { Mode::Native } else { Mode::Generic },
            taken_over: true,
            native_refused: None,
        }))
    }

    fn put_into(&mut self, link: OwnedFd, program: &OwnedFd, interface: &str) -> Result<(), AttachError> {
        let info: LinkInfo = sys::info(link.as_fd()).map_err(failed(interface, "look at its link"))?;
        let before = sys::program_by_id(info.program_id);
        sys::link_update(link.as_fd(), program.as_fd())
            .map_err(failed(interface, "put the program into its link"))?;
        if let Ok(before) = before {
            self.done.push(Done::Replaced(link, before));
        }
        Ok(())
    }

    /// A pinned link of the device. One that has outlived its device is removed.
    fn find_link(&self, device: &Link, path: &Path) -> Result<Option<OwnedFd>, AttachError> {
        let failed = |what| failed(&device.name, what);
        let others = self.pins.other_versions();
        let elsewhere = others.iter().map(|folder| Pins::in_folder(folder, path));
        for candidate in std::iter::once(path.to_owned()).chain(elsewhere) {
            if !candidate.exists() {
                continue;
            }
            let link = sys::open_pin(&candidate).map_err(failed("open the pin of its link"))?;
            let info: LinkInfo = sys::info(link.as_fd()).map_err(failed("look at its link"))?;
            if info.ifindex != device.index {
                pins::remove(&candidate).map_err(failed("remove the pin of a link whose device is gone"))?;
                continue;
            }
            if candidate != path {
                fs::rename(&candidate, path).map_err(failed("move the pin of another version's link"))?;
            }
            return Ok(Some(link));
        }
        Ok(None)
    }

    fn attach_anew(&mut self, device: &Link) -> Result<Attachment, AttachError> {
        // Read again: a link that was just dropped has gone from the device.
        let mut socket = Socket::open().map_err(failed(&device.name, "open a netlink socket"))?;
        let now = link::by_name(&mut socket, &device.name).map_err(failed(&device.name, "look for it"))?;
        if let Some(xdp) = now.and_then(|link| link.xdp) {
            return Err(occupied(&device.name, xdp.program));
        }
        let program = self.programs.xdp.as_fd();
        let create = |mode| sys::link_create(program, device.index, Hook::Xdp, flags(mode));
        let native = match self.mode {
            AttachMode::Generic => None,
            AttachMode::Auto | AttachMode::Native => Some(create(Mode::Native)),
        };
        let (link, mode, native_refused) = match native {
            Some(Ok(link)) => (link, Mode::Native, None),
            Some(Err(cause)) if self.mode == AttachMode::Native => {
                return Err(AttachError::NotNative { interface: device.name.clone(), cause });
            }
            refused => {
                let why = refused.and_then(Result::err).map(|error| refusal(&error));
                let link = create(Mode::Generic).map_err(failed(&device.name, "attach generic XDP"))?;
                (link, Mode::Generic, why)
            }
        };
        self.pin(&link, self.pins.link(&device.name), &device.name)?;
        Ok(Attachment {
            interface: device.name.clone(),
            ifindex: device.index,
            mode,
            taken_over: false,
            native_refused,
        })
    }

    fn pin(&mut self, link: &OwnedFd, path: PathBuf, interface: &str) -> Result<(), AttachError> {
        pins::remove(&path).map_err(failed(interface, "remove an old pin of its link"))?;
        sys::pin(link.as_fd(), &path).map_err(failed(interface, "pin its link"))?;
        self.done.push(Done::Linked(path));
        Ok(())
    }

    /// The TC program, for packets whose neighbour is not resolved yet: a link where the kernel has them (6.6), else a
    /// filter of the clsact qdisc, which is replaced in place.
    fn attach_tc(&mut self, device: &Link) -> Result<(), AttachError> {
        let path = self.pins.tc_link(&device.name);
        if let Some(link) = self.find_link(device, &path)? {
            return self.put_into(link, &self.programs.tc, &device.name);
        }
        match sys::link_create(self.programs.tc.as_fd(), device.index, Hook::TcxIngress, 0) {
            Ok(link) => self.pin(&link, path, &device.name),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                tc::replace_filter(device.index, self.programs.tc.as_fd(), proxy_common::names::PROGRAM_TC)
                    .map_err(failed(&device.name, "attach the TC program"))
            }
            Err(error) => Err(failed(&device.name, "attach the TC program")(error)),
        }
    }
}

fn failed(interface: &str, what: &'static str) -> impl FnOnce(io::Error) -> AttachError + use<> {
    let interface = interface.to_owned();
    move |cause| AttachError::Failed { interface, what, cause }
}

/// What a driver's refusal means, in words: its error numbers are terse.
fn refusal(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EOPNOTSUPP | 524) => "it has no native XDP, or not with these settings".into(),
        Some(libc::EINVAL | libc::ENOMEM | libc::ENOSPC) => {
            format!("it lacks queues, or its MTU or offloads are in the way ({error})")
        }
        _ => error.to_string(),
    }
}

fn occupied(interface: &str, id: u32) -> AttachError {
    let info = sys::program_by_id(id).and_then(|fd| sys::info::<ProgramInfo>(fd.as_fd()));
    let name = info.map_or_else(|_| "?".into(), |info| sys::object_name(&info.name));
    AttachError::Occupied { interface: interface.into(), id, name }
}

/// Takes the programs off an interface.
pub(super) fn detach(pins: &Pins, interface: &str) -> io::Result<()> {
    let mut socket = Socket::open()?;
    if let Some(device) = link::by_name(&mut socket, interface)? {
        tc::remove_filter(device.index)?;
    }
    unlink(&pins.tc_link(interface))?;
    unlink(&pins.link(interface))
}

/// Takes a link off its interface and removes its pin. The pin is its last reference, but the kernel lets go of that
/// some time after it is removed: who looks at once would still find the program.
fn unlink(pin: &Path) -> io::Result<()> {
    if let Ok(link) = sys::open_pin(pin) {
        // An interface that is gone has let go of it already.
        let _ = sys::link_detach(link.as_fd());
    }
    pins::remove(pin).map(drop)
}
