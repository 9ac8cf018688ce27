//! The programs that go on where the first one stops, and the array that it finds them in.
//!
//! Programs of one object share memory that is laid out as the object was built, so none of them may ever jump into another
//! object's. Each object that is loaded therefore has an array of its own, filled before its first program is attached. A
//! link changes from one object's first program to another's between two packets, and with it everything behind. The
//! kernel empties an array that no pin and no descriptor holds any more (`bpf_fd_array_map_clear`): an array is pinned
//! under a name of its own, and those of earlier objects go once nothing is attached that jumps by them.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use aya::maps::Map;
use proxy_common::names;

use super::pins::{self, Pins};
use super::sys::{self, RawMap};

/// Fills the array of an object with its programs, by their places, and pins it. The name of the pin.
pub(super) fn fill(object: &mut aya::Ebpf, programs: &[(u32, OwnedFd)], pins: &Pins) -> io::Result<String> {
    let Some(Map::ProgramArray(map)) = object.map_mut(names::PROGRAMS) else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let array = RawMap::new(map.fd().as_fd().try_clone_to_owned()?, 0)?;
    for (slot, program) in programs {
        array.update(&slot.to_ne_bytes(), &program.as_raw_fd().to_ne_bytes())?;
    }
    let name = format!("{}-{}", names::PROGRAMS, array.info().id);
    sys::pin(array.as_fd(), &pins.object(&name))?;
    Ok(name)
}

/// Lets the arrays of earlier objects go: only the one pinned as `own` is jumped by any more.
pub(super) fn let_others_go(pins: &Pins, own: &str) {
    for name in pins::entries(&pins.folder()) {
        let other = name.strip_prefix(names::PROGRAMS).is_some_and(|rest| rest.starts_with('-'));
        if other && name != own {
            // One that cannot be removed now holds memory until the next start, or until `detach`.
            let _ = pins::remove(&pins.object(&name));
        }
    }
}
