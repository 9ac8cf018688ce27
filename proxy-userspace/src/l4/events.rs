//! What the kernel programs tell as it happens: a thread of its own reads the ring buffer, so that whoever has earned a
//! ban is out within milliseconds, whatever the daemon is busy with.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use aya::maps::{Map, MapData, RingBuf};
use proxy_common::bucket::Who;
use proxy_common::limit_event::{Event, kind};
use proxy_common::names;
use proxy_common::plan::action;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};

use super::pins::Pins;
use super::sys::from_bytes;
use crate::config::{LimitName, Measure};
use crate::limit::{Ids, address, measure};

/// A limit was exceeded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Exceeded {
    /// Which,
    pub limit: LimitName,
    /// and what it counts.
    pub measure: Measure,
    /// The listener's name.
    pub listener: Arc<str>,
    /// Whose key it is: an address or network, or what else the limit counts by.
    pub key: String,
    /// A hash of the key.
    pub hash: u64,
    /// From where the packet came, as it says.
    pub client: IpAddr,
    /// The client has shown that it is there: it has acknowledged what only the answer to it told.
    pub proved: bool,
    /// The packet went on all the same.
    pub observed: bool,
    /// How many were too much since the key's last event.
    pub count: u32,
}

/// Names of listeners by their numbers, as they are now.
type ListenerNames = Arc<Mutex<BTreeMap<u16, Arc<str>>>>;

/// Who hears it.
pub type Hear = Box<dyn FnMut(&Exceeded) + Send>;

/// What is told, and whom it is about.
#[derive(Debug, Default)]
pub(super) struct Ears {
    listeners: ListenerNames,
    reader: Option<Reader>,
}

impl Ears {
    /// Tells from now on, if nobody is told yet.
    pub(super) fn open(&mut self, pins: &Pins, ids: Arc<Ids>, hear: Hear) -> io::Result<()> {
        if self.reader.is_none() {
            self.reader = Some(Reader::start(pins, ids, Arc::clone(&self.listeners), hear)?);
        }
        Ok(())
    }

    /// Listeners have these names.
    pub(super) fn name(&self, names: &BTreeMap<u16, String>) {
        let names = names.iter().map(|(id, name)| (*id, name.as_str().into())).collect();
        *self.listeners.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }
}

/// The thread. It ends when this is dropped: a ring buffer has one reader.
#[derive(Debug)]
struct Reader {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    /// Reads from now on. What was told before is read first.
    fn start(pins: &Pins, ids: Arc<Ids>, listeners: ListenerNames, mut hear: Hear) -> io::Result<Self> {
        let map = MapData::from_pin(pins.object(names::EVENTS)).map_err(io::Error::other)?;
        let mut ring = RingBuf::try_from(Map::RingBuf(map)).map_err(io::Error::other)?;
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let stopped = Arc::clone(&stop);
        let read = move || {
            while wait(&ring, &stopped) {
                while let Some(bytes) = ring.next() {
                    if bytes.len() == size_of::<Event>()
                        && let Some(exceeded) = exceeded(&from_bytes(&bytes), &ids, &listeners)
                    {
                        hear(&exceeded);
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("kernel-events".into()).spawn(read)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let woken = rustix::io::write(&*self.stop, &1u64.to_ne_bytes()).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // It cannot be told whether it panicked: it is over either way.
            let _ = thread.join();
        }
    }
}

/// Waits for events. `false`: it is to end.
fn wait(ring: &RingBuf<MapData>, stop: &OwnedFd) -> bool {
    let ring = ring.as_fd();
    let mut both = [PollFd::new(&ring, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
    match poll(&mut both, None) {
        Ok(_) => both[1].revents().is_empty(),
        Err(error) => error == rustix::io::Errno::INTR,
    }
}

/// What an event says. None: its limit or listener is gone.
fn exceeded(event: &Event, ids: &Ids, listeners: &ListenerNames) -> Option<Exceeded> {
    if !matches!(event.kind, kind::LIMIT | kind::LIMIT_PROVED) {
        return None;
    }
    let names = listeners.lock().unwrap_or_else(PoisonError::into_inner);
    let listener = Arc::clone(names.get(&event.listener)?);
    drop(names);
    let family = if event.family == 6 { Who::V6 } else { Who::V4 };
    let kind_of_key = Who::of(event.who_kind);
    let key = match address(kind_of_key, event.who) {
        Some(address) => address.to_string(),
        None if kind_of_key == Who::Text => listener.to_string(),
        None => format!("#{}", event.who[0]),
    };
    Some(Exceeded {
        limit: ids.name(event.limit)?.as_str().into(),
        measure: measure(event.measure)?,
        listener,
        key,
        hash: proxy_common::hash::mix64(event.who[0] ^ event.who[1] ^ u64::from(event.limit) << 48),
        client: address(family, event.source)?.to_canonical(),
        proved: event.kind == kind::LIMIT_PROVED,
        observed: event.action == action::OBSERVE,
        count: event.count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_by_names_and_only_while_they_are_there() {
        let ids = Ids::default();
        let id = ids.of("per-client").unwrap();
        let listeners = ListenerNames::default();
        listeners.lock().unwrap().insert(3, "web".into());
        let (who_kind, who) = crate::limit::who("192.0.2.7".parse().unwrap());
        let mut event = Event {
            kind: kind::LIMIT_PROVED,
            who_kind: who_kind as u8,
            measure: crate::limit::number(Measure::Packets),
            action: action::DROP,
            limit: id,
            listener: 3,
            count: 7,
            family: 4,
            who,
            source: who,
        };
        let told = exceeded(&event, &ids, &listeners).unwrap();
        assert_eq!(
            (told.limit.as_str(), told.measure, &*told.listener),
            ("per-client", Measure::Packets, "web")
        );
        assert_eq!((told.key.as_str(), told.client), ("192.0.2.7", "192.0.2.7".parse().unwrap()));
        assert!(told.proved && !told.observed);
        (event.kind, event.who_kind) = (kind::LIMIT, Who::Text as u8);
        let told = exceeded(&event, &ids, &listeners).unwrap();
        assert_eq!((told.key.as_str(), told.proved), ("web", false));
        event.listener = 4;
        assert_eq!(exceeded(&event, &ids, &listeners), None);
        (event.listener, event.kind) = (3, 77);
        assert_eq!(exceeded(&event, &ids, &listeners), None);
    }
}
