//! Follows what changes around the kernel part: routes, neighbours, devices. Raises the epoch so that hops are looked up
//! anew, attaches to interfaces that return, keeps the neighbours of backends resolved and the table of VLAN devices
//! right. Without a daemon hops grow old by themselves, and the kernel keeps the neighbours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use proxy_common::hop::VlanDevice;

use super::attach::{AttachError, Attacher, Attachment, Done, Mode};
use super::load::Programs;
use super::maps::MapError;
use super::pins::Pins;
use super::reconcile::{ApplyError, Unroutable};
use super::tables::Tables;
use crate::config::AttachMode;
use crate::net::link::{self, Link};
use crate::net::neighbour::{self, Neighbour};
use crate::net::netlink::{ANNOUNCEMENTS, Message, Socket, kind};
use crate::net::route;

/// The epoch is raised no more often than this: between, changes are gathered.
const EPOCH_INTERVAL: Duration = Duration::from_millis(100);
/// The next hops of backends are looked up no more often than this.
const NEIGHBOUR_INTERVAL: Duration = Duration::from_millis(500);

/// Something that an operator should know.
#[derive(Debug, thiserror::Error)]
pub enum Followed {
    /// It is gone, and with it what was attached to it.
    #[error("the interface {0} is gone: nothing is balanced there until it returns")]
    Gone(String),
    /// It is back.
    #[error("the interface {} is back: attached again ({})", .0.interface, .0.mode)]
    Returned(Attachment),
    /// Routes have changed, and the tables follow.
    #[error(
        "routes have changed: {steps} entries of the tables follow{}",
        unroutable.iter().map(|backend| format!("; {backend}")).collect::<String>()
    )]
    Rerouted {
        /// How many entries.
        steps: usize,
        /// Backends that get nothing until there is a route to them.
        unroutable: Vec<Unroutable>,
    },
    /// Routes have changed, and the tables could not follow.
    #[error("routes have changed, but {0}")]
    NotRerouted(#[source] ApplyError),
    /// SYNs come too fast.
    #[error(
        "the listener {0} is flooded with SYNs: it is guarded, and its SYNs are answered by the kernel part"
    )]
    Flooded(String),
    /// They do no more.
    #[error("the listener {0} is flooded no more: its SYNs pass")]
    Calm(String),
    /// It is back, and cannot be attached to.
    #[error("the interface is back, but {0}")]
    Refused(#[source] AttachError),
}

/// Why changes cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The kernel's announcements cannot be read.
    #[error("cannot follow the changes of routes, neighbours and interfaces: {0}")]
    Netlink(#[from] io::Error),
    /// A table could not be written.
    #[error(transparent)]
    Table(#[from] MapError),
}

/// What is known of the surroundings.
#[derive(Debug)]
pub(super) struct Follower {
    announcements: Socket,
    links: BTreeMap<u32, Link>,
    neighbours: HashMap<(u32, IpAddr), Vec<u8>>,
    /// Interfaces to be attached to, and how.
    pub(super) wanted: (Vec<String>, AttachMode),
    /// What was said of an interface that could not be attached to: said once.
    refused: BTreeMap<String, String>,
    /// Neighbours that the kernel was asked to keep resolved.
    kept: BTreeSet<(u32, IpAddr)>,
    hops_changed: bool,
    links_changed: bool,
    routes_changed: bool,
    /// How often routes, addresses or devices have changed.
    pub(super) changes: u64,
    /// Backends have changed: the neighbours to be kept are others.
    pub(super) backends_changed: bool,
    raised: Instant,
    looked: Instant,
}

impl Follower {
    /// The devices there are.
    pub(super) const fn links(&self) -> &BTreeMap<u32, Link> {
        &self.links
    }

    /// Begins to listen, then looks at what is there: nothing falls between.
    pub(super) fn new() -> io::Result<Self> {
        let long_ago = Instant::now().checked_sub(NEIGHBOUR_INTERVAL).unwrap_or_else(Instant::now);
        let mut follower = Self {
            announcements: Socket::subscribed(ANNOUNCEMENTS)?,
            links: BTreeMap::new(),
            neighbours: HashMap::new(),
            wanted: (Vec::new(), AttachMode::Auto),
            refused: BTreeMap::new(),
            kept: BTreeSet::new(),
            hops_changed: false,
            links_changed: true,
            routes_changed: false,
            changes: 0,
            backends_changed: true,
            raised: long_ago,
            looked: long_ago,
        };
        follower.look()?;
        Ok(follower)
    }

    /// Reads everything anew.
    fn look(&mut self) -> io::Result<()> {
        let mut socket = Socket::open()?;
        self.links = link::all(&mut socket)?.into_iter().map(|link| (link.index, link)).collect();
        self.neighbours = neighbour::all(&mut socket)?
            .into_iter()
            .filter_map(|n| Some(((n.ifindex, n.address), n.mac.clone().filter(|_| n.is_resolved())?)))
            .collect();
        Ok(())
    }

    /// Reads what was announced since the last time.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        loop {
            match self.announcements.announced() {
                Ok(None) => return Ok(()),
                Ok(Some(messages)) => messages.iter().for_each(|message| self.hear(message)),
                // More was announced than the socket holds: anything may have changed.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.look()?;
                    (self.hops_changed, self.links_changed, self.routes_changed) = (true, true, true);
                    self.changes += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn hear(&mut self, message: &Message) {
        /// `AF_BRIDGE`: ports of a bridge and its forwarding table, not devices and neighbours.
        const BRIDGE: u8 = 7;
        if message.payload.first() == Some(&BRIDGE) {
            return;
        }
        match message.kind {
            kind::NEW_LINK | kind::DEL_LINK => self.hear_link(message),
            kind::NEW_NEIGHBOUR | kind::DEL_NEIGHBOUR => self.hear_neighbour(message),
            kind::NEW_ROUTE | kind::DEL_ROUTE if is_cached(message) => {}
            kind::NEW_ROUTE
            | kind::DEL_ROUTE
            | kind::NEW_ADDRESS
            | kind::DEL_ADDRESS
            | kind::NEW_RULE
            | kind::DEL_RULE => {
                self.hops_changed = true;
                self.routes_changed = true;
                self.changes += 1;
            }
            _ => {}
        }
    }

    fn hear_link(&mut self, message: &Message) {
        let Some(link) = Link::parse(message) else { return };
        let before = if message.kind == kind::NEW_LINK {
            self.links.insert(link.index, link.clone())
        } else {
            self.links.remove(&link.index)
        };
        // Announcements without a change are common: statistics, wireless events, our own attaching.
        let same = message.kind == kind::NEW_LINK
            && before.is_some_and(|before| Link { xdp: None, ..before } == Link { xdp: None, ..link });
        if !same {
            (self.hops_changed, self.links_changed, self.routes_changed) = (true, true, true);
            self.changes += 1;
        }
    }

    /// A neighbour that is confirmed again and again is no change; another link-layer address, or none, is.
    fn hear_neighbour(&mut self, message: &Message) {
        let Some(neighbour) = Neighbour::parse(message) else { return };
        let key = (neighbour.ifindex, neighbour.address);
        let mac =
            neighbour.mac.clone().filter(|_| message.kind == kind::NEW_NEIGHBOUR && neighbour.is_resolved());
        let changed = match mac {
            Some(mac) => self.neighbours.insert(key, mac.clone()).is_some_and(|before| before != mac),
            None => self.neighbours.remove(&key).is_some(),
        };
        self.hops_changed |= changed;
        // An entry that was removed under us is asked for again.
        if message.kind == kind::DEL_NEIGHBOUR && self.kept.remove(&key) {
            self.backends_changed = true;
        }
    }

    /// Where devices have come or gone: their table, and what is attached to them.
    pub(super) fn devices(
        &mut self,
        tables: &Tables,
        pins: &Pins,
        programs: &Programs,
        attachments: &mut BTreeMap<String, Attachment>,
    ) -> Result<Vec<Followed>, MapError> {
        if !std::mem::take(&mut self.links_changed) {
            return Ok(Vec::new());
        }
        sync_vlans(tables, &self.links)?;
        Ok(self.attach_returned(pins, programs, attachments))
    }

    /// Notes interfaces that have gone, and attaches to those that are back.
    fn attach_returned(
        &mut self,
        pins: &Pins,
        programs: &Programs,
        attachments: &mut BTreeMap<String, Attachment>,
    ) -> Vec<Followed> {
        let mut notes = Vec::new();
        let (interfaces, mode) = self.wanted.clone();
        for interface in interfaces {
            let now = self.links.values().find(|link| link.name == interface).map(|link| link.index);
            let attached = attachments.get(&interface).map(|attachment| attachment.ifindex);
            if attached == now {
                continue;
            }
            if attachments.remove(&interface).is_some() {
                notes.push(Followed::Gone(interface.clone()));
            }
            if now.is_none() {
                self.refused.remove(&interface);
                continue;
            }
            let mut done = Vec::new();
            match (Attacher { pins, programs, mode, done: &mut done }).attach(&interface) {
                Ok(attachment) => {
                    self.refused.remove(&interface);
                    attachments.insert(interface, attachment.clone());
                    notes.push(Followed::Returned(attachment));
                }
                Err(error) => {
                    // What it managed to do before it failed is taken back.
                    done.into_iter().rev().for_each(Done::undo);
                    let text = error.to_string();
                    if self.refused.insert(interface, text.clone()).is_none_or(|said| said != text) {
                        notes.push(Followed::Refused(error));
                    }
                }
            }
        }
        notes
    }

    /// Whether hops may be wrong, and the present epoch is old enough to end.
    pub(super) fn epoch_is_over(&self) -> bool {
        self.hops_changed && self.raised.elapsed() >= EPOCH_INTERVAL
    }

    /// The epoch was raised.
    pub(super) fn epoch_begins(&mut self) {
        (self.hops_changed, self.raised) = (false, Instant::now());
    }

    /// Where the ways to backends may have changed, or the backends: their next hops.
    pub(super) fn ways(&mut self, backends: impl FnOnce() -> BTreeSet<IpAddr>) -> io::Result<()> {
        if (self.routes_changed || self.backends_changed) && self.looked.elapsed() >= NEIGHBOUR_INTERVAL {
            self.keep_neighbours(&backends())?;
            (self.routes_changed, self.backends_changed, self.looked) = (false, false, Instant::now());
        }
        Ok(())
    }

    /// Whether routes have changed, and were not looked at just now.
    pub(super) fn routes_are_due(&self) -> bool {
        self.routes_changed && self.looked.elapsed() >= NEIGHBOUR_INTERVAL
    }

    /// Asks the kernel to keep the next hops of these backends resolved, and not those of others.
    fn keep_neighbours(&mut self, backends: &BTreeSet<IpAddr>) -> io::Result<()> {
        let mut socket = Socket::open()?;
        let mut wanted = BTreeSet::new();
        for backend in backends {
            match route::to(&mut socket, *backend) {
                Ok(way) if !way.local => drop(wanted.insert((way.ifindex, way.neighbour(*backend)))),
                // Without a way there is no neighbour; a change of routes brings us here again.
                _ => {}
            }
        }
        for (ifindex, address) in wanted.difference(&self.kept) {
            // A device that cannot have neighbours, or has just gone: nothing to keep there.
            let _ = neighbour::keep_resolved(&mut socket, *ifindex, *address);
        }
        for (ifindex, address) in self.kept.difference(&wanted) {
            let _ = neighbour::remove(&mut socket, *ifindex, *address);
        }
        self.kept = wanted;
        Ok(())
    }
}

/// Whether a route is a copy that the kernel made for one destination (`RTM_F_CLONED`).
fn is_cached(message: &Message) -> bool {
    const CLONED: u32 = 0x200;
    let flags = message.payload.get(8..12).and_then(crate::net::netlink::number);
    flags.is_some_and(|flags| flags & CLONED != 0)
}

/// Writes the VLAN devices of the host into their table.
fn sync_vlans(tables: &Tables, links: &BTreeMap<u32, Link>) -> Result<(), MapError> {
    let device = |link: &Link| {
        let parent = (link.below != 0 && !link.below_elsewhere).then_some(link.below)?;
        Some(VlanDevice { parent, vlan_id: link.vlan_id?, pad: 0 })
    };
    let wanted: BTreeMap<u32, VlanDevice> =
        links.values().filter_map(|link| Some((link.index, device(link)?))).collect();
    let present: BTreeMap<u32, VlanDevice> = tables.vlan_devices.entries()?.into_iter().collect();
    for (index, device) in &wanted {
        if present.get(index) != Some(device) {
            tables.vlan_devices.put(index, device)?;
        }
    }
    for index in present.keys().filter(|index| !wanted.contains_key(index)) {
        tables.vlan_devices.remove(index)?;
    }
    Ok(())
}

/// What is known of an interface without attaching to it: its mode, if our program is on it.
pub(super) fn mode_of(link: &Link) -> Option<Mode> {
    link.xdp.map(|xdp| if xdp.native { Mode::Native } else { Mode::Generic })
}
