//! Takes everything of proxy-now out of the kernel: programs off the interfaces, tables, pins, of every version.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::attach;
use super::pins::{self, Pins};
use super::status::View;
use crate::net::netlink::Socket;
use crate::net::{neighbour, route};

/// What was taken out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Detached {
    /// Interfaces that the programs were on.
    pub interfaces: Vec<String>,
    /// Maps, programs and links that were pinned.
    pub pins: usize,
}

/// Why not everything was taken out.
#[derive(Debug, thiserror::Error)]
pub enum DetachError {
    /// A daemon runs, and would go on with tables that nobody sees.
    #[error("a proxy-now daemon runs with pin_dir {}: stop it first", .0.display())]
    Busy(PathBuf),
    /// Something cannot be removed.
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
    /// An interface cannot be freed.
    #[error("cannot take the programs off {interface}: {cause}")]
    Interface {
        /// Its name.
        interface: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

/// Takes out what is pinned under `pin_dir`. Established flows end.
pub fn detach_all(pin_dir: &Path) -> Result<Detached, DetachError> {
    let pins = Pins::under(pin_dir);
    let files = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |cause| DetachError::Files { what, path, cause }
    };
    if !pin_dir.exists() {
        return Ok(Detached::default());
    }
    let lock = pins.lock().map_err(files("lock", pin_dir))?;
    if lock.is_none() {
        return Err(DetachError::Busy(pin_dir.to_owned()));
    }
    let neighbours = backends_of(pin_dir);
    let mut detached = Detached { interfaces: pins.linked_interfaces(), pins: 0 };
    let mut folders = pins.other_versions();
    folders.push(pins.folder());
    detached.pins = folders.iter().map(|folder| pins::entries(folder).len()).sum();
    for interface in &detached.interfaces {
        let failed = |cause| DetachError::Interface { interface: interface.clone(), cause };
        attach::detach(&pins, interface).map_err(failed)?;
    }
    for folder in folders {
        for name in pins::entries(&folder) {
            let path = folder.join(name);
            pins::remove(&path).map_err(files("remove", &path))?;
        }
        match fs::remove_dir(&folder) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(files("remove", &folder)(cause));
            }
            _ => {}
        }
    }
    pins.remove_empty();
    release(&neighbours);
    Ok(detached)
}

/// Backends in the tables. Tables that cannot be read any more are removed all the same.
fn backends_of(pin_dir: &Path) -> BTreeSet<IpAddr> {
    match View::open(pin_dir) {
        Ok(Some(view)) => view.present.backends.values().map(|entry| entry.address.ip()).collect(),
        _ => BTreeSet::new(),
    }
}

/// Lets the neighbours go that the kernel was asked to keep resolved. What cannot be let go does no harm.
fn release(backends: &BTreeSet<IpAddr>) {
    let Ok(mut socket) = Socket::open() else { return };
    let managed: BTreeSet<_> = neighbour::all(&mut socket)
        .unwrap_or_default()
        .into_iter()
        .filter(|neighbour| neighbour.managed)
        .map(|neighbour| (neighbour.ifindex, neighbour.address))
        .collect();
    for backend in backends {
        if let Ok(way) = route::to(&mut socket, *backend)
            && managed.contains(&(way.ifindex, way.neighbour(*backend)))
        {
            let _ = neighbour::remove(&mut socket, way.ifindex, way.neighbour(*backend));
        }
    }
}
