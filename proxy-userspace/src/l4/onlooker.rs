//! What the kernel programs tell of ClientHellos while somebody looks on.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use aya::maps::{Map, MapData, RingBuf};
use proxy_common::client_hello::Outline;
use proxy_common::drop_reason::Notice;
use proxy_common::names;
use proxy_common::sni::{NameKey, Note, NoteKey, Told, Trace, decision};

use super::clock::Clock;
use super::maps::{Action, MapError, Table};
use super::pins::Pins;
use super::sys::{self, from_bytes};

/// What the kernel programs saw of a ClientHello, and did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HelloSeen {
    /// The listener's number.
    pub listener: u16,
    /// Whose it was.
    pub client: SocketAddr,
    /// The host that it names.
    pub name: Option<String>,
    /// What can be said of it; none: it was not wholly there.
    pub outline: Option<Outline>,
    /// What was decided.
    pub decided: HelloDecision,
    /// The number of the name's entry.
    pub entry: u32,
    /// The route that decides; empty: the worker finds out.
    pub route: Option<Box<str>>,
}

/// What the kernel programs did with a ClientHello.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HelloDecision {
    /// It was left to the worker, for this reason.
    Left(&'static str),
    /// It went on to the worker.
    Passed,
    /// Refused in silence.
    Dropped,
    /// Refused by a reset.
    Reset,
    /// Refused by a limit.
    Limited,
}

/// Looks on.
pub(super) struct Onlooker {
    trace: Table<u32, Trace>,
    notes: Table<NoteKey, Note>,
    ring: RingBuf<MapData>,
}

impl fmt::Debug for Onlooker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Onlooker").field("trace", &self.trace).finish_non_exhaustive()
    }
}

impl Onlooker {
    /// Takes the tables over.
    pub(super) fn open(pins: &Pins) -> Result<Self, MapError> {
        let failed = |map| move |cause| MapError { map, action: Action::Open, cause };
        let open = |map: &'static str| sys::open_pin(&pins.object(map)).map_err(failed(map));
        let ring = MapData::from_pin(pins.object(names::SNI_EVENTS)).map_err(io::Error::other);
        let ring = ring.and_then(|map| RingBuf::try_from(Map::RingBuf(map)).map_err(io::Error::other));
        Ok(Self {
            trace: Table::new(names::SNI_TRACE, open(names::SNI_TRACE)?)?,
            notes: Table::new(names::SNI_NOTES, open(names::SNI_NOTES)?)?,
            ring: ring.map_err(failed(names::SNI_EVENTS))?,
        })
    }

    /// Is told for so long, of who asks for `name`, or of all. Longer names than the kernel programs read are told of as
    /// left to the worker.
    pub(super) fn look(&self, name: Option<&str>, lasts: Duration, clock: &Clock) -> Result<(), MapError> {
        let failed = |cause| MapError { map: names::SNI_TRACE, action: Action::Write, cause };
        let until = clock.now().map_err(failed)?.wrapping_add(clock.ticks(lasts));
        let name = name.and_then(|name| NameKey::new(0, 0, &name.to_ascii_lowercase()));
        let name = name.map_or_else(Default::default, |key| key.name);
        self.trace.put(&0, &Trace { name, until, on: 1 })
    }

    /// Is told nothing more.
    pub(super) fn look_away(&self) -> Result<(), MapError> {
        self.trace.put(&0, &Trace::default())
    }

    /// What was told since the last call, at most so much.
    pub(super) fn seen(&mut self, most: usize) -> Vec<HelloSeen> {
        let mut seen = Vec::new();
        while seen.len() < most
            && let Some(bytes) = self.ring.next()
        {
            if bytes.len() == size_of::<Told>() {
                seen.push(seen_in(&from_bytes(&bytes)));
            }
        }
        seen
    }

    /// The note that a worker finds of a client's connection.
    pub(super) fn note(&self, listener: u16, client: SocketAddr) -> Result<Option<Note>, MapError> {
        self.notes.get(&key_of(listener, client))
    }
}

/// A client, as notes have it.
fn key_of(listener: u16, client: SocketAddr) -> NoteKey {
    let octets = match client.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    };
    let word = |at: usize| u32::from_ne_bytes(std::array::from_fn(|i| octets[at * 4 + i]));
    NoteKey { client: std::array::from_fn(word), port: client.port().to_be(), listener }
}

fn seen_in(told: &Told) -> HelloSeen {
    let mut octets = [0; 16];
    for (chunk, word) in octets.chunks_exact_mut(4).zip(told.who.client) {
        chunk.copy_from_slice(&word.to_ne_bytes());
    }
    let ip = IpAddr::from(Ipv6Addr::from(octets)).to_canonical();
    let (bytes, length) = NameKey { name: told.note.name, ..NameKey::default() }.text();
    let name = String::from_utf8_lossy(&bytes[..length]).into_owned();
    HelloSeen {
        listener: told.who.listener,
        client: SocketAddr::new(ip, u16::from_be(told.who.port)),
        name: (!name.is_empty()).then_some(name),
        outline: (told.note.outline != Outline::default()).then_some(told.note.outline),
        decided: match told.decision {
            decision::PASSED => HelloDecision::Passed,
            decision::DROPPED => HelloDecision::Dropped,
            decision::RESET => HelloDecision::Reset,
            decision::LIMITED => HelloDecision::Limited,
            _ => HelloDecision::Left(
                Notice::ALL.get(usize::from(told.reason)).map_or("unknown", |notice| notice.label()),
            ),
        },
        entry: told.note.entry,
        route: None,
    }
}
