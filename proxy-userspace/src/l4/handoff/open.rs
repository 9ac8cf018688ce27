//! What handing over works with, taken from the rest of the kernel part.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use proxy_common::names;

use super::flows::Flows;
use super::held::Held;
use super::known::Known;
use super::splices::Splices;
use super::taker::{Parts, Taker};
use crate::l4::known::KnownFlows;
use crate::l4::load::{OpenError, Programs};
use crate::l4::maps::{Action, MapError, SharedWords, Table};
use crate::l4::pins::Pins;
use crate::l4::reconcile::Goal;
use crate::l4::sys::{self, RawMap, SharedArray};
use crate::net::link::Link;

/// Opens the tables, with what an earlier daemon left in them.
pub(crate) fn open(pins: &Pins, programs: &Programs, hz: u32) -> Result<(Taker, Arc<Splices>), OpenError> {
    let failed = |map| move |cause| MapError { map, action: Action::Open, cause };
    let fd = |name| sys::open_pin(&pins.object(name)).map_err(failed(name));
    let clone = |fd: &OwnedFd| fd.try_clone().map_err(failed(names::HELD));
    let splices = RawMap::new(fd(names::SPLICES)?, 1).and_then(|map| SharedArray::map(&map));
    let splices = Arc::new(Splices::new(splices.map_err(failed(names::SPLICES))?));
    let held: io::Result<Held> = Held::new(fd(names::HELD)?, clone(&programs.xdp)?);
    let parts = Parts {
        flows: Flows {
            v4: Table::new(names::FLOWS4, fd(names::FLOWS4)?)?,
            v6: Table::new(names::FLOWS6, fd(names::FLOWS6)?)?,
            known: KnownFlows::new(SharedWords::new(names::KNOWN, fd(names::KNOWN)?)?),
        },
        splices: Arc::clone(&splices),
        held: held.map_err(failed(names::HELD))?,
        clock: clone(&programs.clock)?,
        hz,
    };
    Ok((Taker::new(parts), splices))
}

/// What is applied: backends of listeners that hand over, and where connections to them leave from.
pub(crate) fn known(goal: &Goal) -> Known {
    let mut known = Known { ports: goal.handoff_ports.clone(), ..Known::default() };
    for (id, backend) in &goal.backends {
        let index = (backend.address.is_ipv6(), backend.nat_source);
        let (Some(name), Some(source)) = (goal.names.get(&backend.listener), goal.sources.get(&index)) else {
            continue;
        };
        let of_listener = known.backends.entry(name.clone()).or_default();
        of_listener.insert(backend.address, (*id, source.address));
    }
    known
}

/// The interfaces of these names, and the VLAN devices on them.
pub(crate) fn interfaces<'a>(
    links: &BTreeMap<u32, Link>,
    names: impl Iterator<Item = &'a String>,
) -> BTreeSet<u32> {
    let names: BTreeSet<&String> = names.collect();
    let own: BTreeSet<u32> =
        links.values().filter(|link| names.contains(&link.name)).map(|link| link.index).collect();
    let on_them = |link: &&Link| link.vlan_id.is_some() && !link.below_elsewhere && own.contains(&link.below);
    let vlans: Vec<u32> = links.values().filter(on_them).map(|link| link.index).collect();
    own.into_iter().chain(vlans).collect()
}
