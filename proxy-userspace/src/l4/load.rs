//! Loads the programs, and takes over the maps that an earlier daemon left pinned.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use aya::programs::{ProgramError, SchedClassifier, Xdp};
use aya::{EbpfError, EbpfLoader};
use proxy_common::names;
use proxy_common::program::Program;
use proxy_common::settings::Settings;

use super::capability::{self, Capability, Feature};
use super::further;
use super::kfunc;
use super::maps::{MapError, Table};
use super::object;
use super::pins::{self, Pins};
use super::sys::{self, MapInfo};
use super::tables::{Shape, Tables, shapes};

/// Why the kernel part cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Rights are missing.
    #[error(
        "not allowed to load kernel programs: this process lacks {}; run it as root, or grant them",
        list(.0, |c| c.name())
    )]
    NotAllowed(Vec<Capability>),
    /// The kernel is too old.
    #[error(
        "Linux {release} is too old: it lacks {}; proxy-now needs Linux 6.1 or newer",
        list(lacks, |f| f.name())
    )]
    OldKernel {
        /// What it calls itself.
        release: String,
        /// What it cannot do.
        lacks: Vec<Feature>,
    },
    /// Pins have no place.
    #[error(
        "{} is not on a BPF file system, so nothing could outlive the daemon; mount one: mount -t bpf bpf {}",
        pin_dir.display(), mount.display()
    )]
    NoBpffs {
        /// `[kernel] pin_dir`.
        pin_dir: PathBuf,
        /// Where one should be.
        mount: PathBuf,
    },
    /// Another daemon has it.
    #[error("another proxy-now runs with pin_dir {}; end it first, or give this one another pin_dir", .0.display())]
    Busy(PathBuf),
    /// The binary was built without the toolchain for it.
    #[error("this build of proxy-now has no kernel programs in it; build it again after `cargo xtask setup`")]
    NoObject,
    /// The binary's two halves do not belong together.
    #[error(
        "the embedded kernel programs have layout {found:?}, this daemon has {}: build it again",
        proxy_common::ABI_VERSION
    )]
    Abi {
        /// What the object says.
        found: Option<u32>,
    },
    /// A pinned map is not what this version makes.
    #[error("the pinned map {} has another layout than this version's; `proxy-now detach` removes it, and its flows with it", .0.display())]
    Layout(PathBuf),
    /// The file system said no.
    #[error("cannot {what} {}: {cause}", path.display())]
    Files {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// Maps could not be made.
    #[error("cannot make the maps of the kernel part: {}", deepest(.0))]
    Maps(#[source] Box<EbpfError>),
    /// The verifier refused a program.
    #[error("the kernel refused the program {name}: {}", refusal(cause))]
    Program {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        cause: Box<ProgramError>,
    },
    /// A table could not be read.
    #[error(transparent)]
    Table(#[from] MapError),
    /// The kernel's announcements could not be read.
    #[error("cannot follow routes, neighbours and interfaces: {0}")]
    Netlink(#[source] io::Error),
    /// The kernel's clock could not be read.
    #[error("cannot read the kernel's clock: {0}")]
    Clock(#[source] io::Error),
}

fn list<T>(of: &[T], name: impl Fn(&T) -> &'static str) -> String {
    of.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// The last cause of an error: the others only say that there is one.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    let mut said = error.to_string();
    while let Some(cause) = error.source() {
        error = cause;
        said = format!("{said}: {error}");
    }
    said
}

/// What the verifier said, the end of it: there it says why.
fn refusal(error: &ProgramError) -> String {
    match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<_> = log.lines().rev().take(12).collect();
            let end = lines.into_iter().rev().collect::<Vec<_>>().join("\n  ");
            format!("{io_error}\n  {end}")
        }
        other => deepest(other),
    }
}

/// The programs, loaded.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) xdp: OwnedFd,
    pub(super) tc: OwnedFd,
    pub(super) clock: OwnedFd,
    /// What the array of the programs behind `xdp` is pinned as.
    pub(super) further: String,
    /// Whether the kernel makes sockets of cookies that are checked by a program.
    pub(super) sockets: bool,
}

/// What was loaded or taken over.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) programs: Programs,
    pub(super) tables: Tables,
    /// Maps of an earlier daemon were there.
    pub(super) adopted: bool,
    /// What an operator should know.
    pub(super) notes: Vec<OpenNote>,
    /// Pins that were not there before.
    pub(super) made: Vec<PathBuf>,
    /// Held for as long as the daemon runs.
    pub(super) lock: File,
}

/// What an operator should know about how the kernel part was opened.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenNote {
    /// The configured size takes effect later.
    #[error(
        "the table {map} keeps its {present} entries ({wanted} are configured): its size changes after `proxy-now detach`"
    )]
    KeepsSize {
        /// Its name.
        map: &'static str,
        /// Its entries.
        present: u32,
        /// Those that are configured.
        wanted: u32,
    },
    /// Another version's flows are lost.
    #[error("the flows in {} have a layout that this version cannot read: they are balanced anew", .0.display())]
    OtherVersion(PathBuf),
}

/// Checks what is needed, before anything is touched.
pub(super) fn check(pins: &Pins) -> Result<(), OpenError> {
    let files = |what, path: &Path| {
        let path = path.to_owned();
        move |cause| OpenError::Files { what, path, cause }
    };
    let missing = capability::missing().map_err(files("read", Path::new("/proc/self/status")))?;
    if !missing.is_empty() {
        return Err(OpenError::NotAllowed(missing));
    }
    let lacks = capability::lacking();
    if !lacks.is_empty() {
        return Err(OpenError::OldKernel { release: capability::kernel_release(), lacks });
    }
    if !pins.on_bpffs().map_err(files("look at", pins.root()))? {
        let (pin_dir, mount) = (pins.root().to_owned(), pins.expected_mount().to_owned());
        return Err(OpenError::NoBpffs { pin_dir, mount });
    }
    match object::abi_version() {
        _ if object::BYTES.is_empty() => Err(OpenError::NoObject),
        Some(proxy_common::ABI_VERSION) => Ok(()),
        found => Err(OpenError::Abi { found }),
    }
}

/// Loads programs and maps. On failure nothing stays that was not there before.
pub(super) fn load(pins: &Pins, flows: u32, keys: u32) -> Result<Loaded, OpenError> {
    let folder = pins.folder();
    let files = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |cause| OpenError::Files { what, path, cause }
    };
    pins.make().map_err(files("make the folder", &folder))?;
    let lock = hold(pins).map_err(files("lock", pins.root()))?;
    let Some(lock) = lock else { return Err(OpenError::Busy(pins.root().to_owned())) };
    let shapes = shapes(flows, keys);
    let before = pins::entries(&folder);
    let mut notes = adopt(pins, &shapes)?;
    written_by_this_layout(pins)?;
    notes.extend(pins.other_versions().into_iter().map(OpenNote::OtherVersion));
    let result = make(pins, &shapes);
    let made = pins::entries(&folder).into_iter().filter(|name| !before.contains(name));
    let made: Vec<PathBuf> = made.map(|name| folder.join(name)).collect();
    match result {
        Ok((programs, tables)) => {
            let adopted = before.iter().any(|name| name == names::FLOWS4);
            Ok(Loaded { programs, tables, adopted, notes, made, lock })
        }
        Err(error) => {
            // The error that is returned matters more than a pin that stays.
            made.iter().for_each(|path| drop(pins::remove(path)));
            pins.remove_empty();
            Err(error)
        }
    }
}

/// Holds the folder. A daemon that is just ending is waited for.
fn hold(pins: &Pins) -> io::Result<Option<File>> {
    for _ in 0..10 {
        match pins.lock()? {
            None => thread::sleep(Duration::from_millis(100)),
            held => return Ok(held),
        }
    }
    Ok(None)
}

/// Looks whether the pinned maps are what this version makes.
fn adopt(pins: &Pins, shapes: &[Shape]) -> Result<Vec<OpenNote>, OpenError> {
    let mut notes = Vec::new();
    for shape in shapes {
        let path = pins.object(shape.name);
        if !path.exists() {
            continue;
        }
        let files = |what| {
            let path = path.clone();
            move |cause| OpenError::Files { what, path, cause }
        };
        let fd = sys::open_pin(&path).map_err(files("open the pin"))?;
        let info: MapInfo = sys::info(fd.as_fd()).map_err(files("look at"))?;
        let same_size = info.max_entries == shape.max_entries;
        if matches!(shape.name, names::DROPS | names::NOTICES) && !same_size {
            // Reasons were added: the old counters are too few, and counting begins anew.
            pins::remove(&path).map_err(files("remove"))?;
        } else if !shape.agrees(&info) || !(same_size || shape.sized_by_configuration()) {
            return Err(OpenError::Layout(path));
        } else if !same_size {
            let (present, wanted) = (info.max_entries, shape.max_entries);
            notes.push(OpenNote::KeepsSize { map: shape.name, present, wanted });
        }
    }
    Ok(notes)
}

/// The tables say which layout the daemon had that wrote them; 0: none has yet.
fn written_by_this_layout(pins: &Pins) -> Result<(), OpenError> {
    let path = pins.object(names::SETTINGS);
    if !path.exists() {
        return Ok(());
    }
    let fd = sys::open_pin(&path).map_err(|cause| OpenError::Files {
        what: "open the pin",
        path: path.clone(),
        cause,
    })?;
    let settings = Table::<u32, Settings>::new(names::SETTINGS, fd)?.get(&0)?.unwrap_or_default();
    match settings.abi_version {
        0 | proxy_common::ABI_VERSION => Ok(()),
        _ => Err(OpenError::Layout(path)),
    }
}

/// Makes what is not pinned, loads the programs, and opens the tables.
fn make(pins: &Pins, shapes: &[Shape]) -> Result<(Programs, Tables), OpenError> {
    let mut loader = EbpfLoader::new();
    for shape in shapes {
        loader.map_pin_path(shape.name, pins.object(shape.name));
        if shape.sized_by_configuration() {
            loader.map_max_entries(shape.name, shape.max_entries);
        }
    }
    let (bytes, sockets) = kfunc::patched();
    let mut object = loader.load(&bytes).map_err(|error| OpenError::Maps(Box::new(error)))?;
    let programs = Programs {
        xdp: program::<Xdp>(&mut object, names::PROGRAM_XDP)?,
        tc: program::<SchedClassifier>(&mut object, names::PROGRAM_TC)?,
        clock: program::<Xdp>(&mut object, object::PROGRAM_CLOCK)?,
        further: further(&mut object, pins)?,
        sockets,
    };
    for (name, fd) in [
        (names::PROGRAM_XDP, &programs.xdp),
        (names::PROGRAM_TC, &programs.tc),
        (object::PROGRAM_CLOCK, &programs.clock),
    ] {
        pin_program(pins, name, fd)?;
    }
    Ok((programs, Tables::open(|name| sys::open_pin(&pins.object(name)))?))
}

/// Loads the programs behind the first one. What their array is pinned as.
fn further(object: &mut aya::Ebpf, pins: &Pins) -> Result<String, OpenError> {
    let programs = Program::entries()
        .map(|(slot, name)| program::<Xdp>(object, name).map(|program| (slot, program)))
        .collect::<Result<Vec<_>, OpenError>>()?;
    further::fill(object, &programs, pins).map_err(|cause| OpenError::Files {
        what: "fill and pin",
        path: pins.object(names::PROGRAMS),
        cause,
    })
}

/// Loads a program.
fn program<T: Loadable>(object: &mut aya::Ebpf, name: &'static str) -> Result<OwnedFd, OpenError> {
    T::load_from(object, name).map_err(|cause| OpenError::Program { name, cause: Box::new(cause) })
}

/// A kind of program that we have.
trait Loadable {
    fn load_from(object: &mut aya::Ebpf, name: &'static str) -> Result<OwnedFd, ProgramError>;
}

macro_rules! loadable {
    ($($kind:ty),+) => { $(
        impl Loadable for $kind {
            fn load_from(object: &mut aya::Ebpf, name: &'static str) -> Result<OwnedFd, ProgramError> {
                let absent = || ProgramError::InvalidName { name: name.into() };
                let program: &mut $kind = object.program_mut(name).ok_or_else(absent)?.try_into()?;
                program.load()?;
                program.fd()?.as_fd().try_clone_to_owned().map_err(ProgramError::IOError)
            }
        }
    )+ };
}
loadable!(Xdp, SchedClassifier);

/// Pins a program in the place of an earlier one.
fn pin_program(pins: &Pins, name: &str, program: &OwnedFd) -> Result<(), OpenError> {
    let path = pins.object(name);
    let aside = pins.object(&format!("{name}-new"));
    let files = |what| {
        let path = path.clone();
        move |cause| OpenError::Files { what, path, cause }
    };
    pins::remove(&aside).map_err(files("remove what an earlier start left beside"))?;
    sys::pin(program.as_fd(), &aside).map_err(files("pin"))?;
    fs::rename(&aside, &path).map_err(files("pin"))
}
