//! What clients do that they may be kept out for, on its way from those who see it to whoever bans. Nobody waits: what
//! there is no room for is dropped, and counted; and nobody pays for what is not wanted.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{self, Receiver, Sender};

/// Events that may wait.
const MOST_WAITING: usize = 8192;

/// What a client did.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Deed {
    /// It wanted more than a limit lets through.
    Limited,
    /// It was answered 401.
    Unauthorized,
    /// It was answered 403.
    Forbidden,
    /// It was answered 404.
    NotFound,
    /// It was answered anything: what the others are a share of.
    Answered,
    /// It began a TLS handshake that failed by what it said, or did not say.
    Handshake,
    /// It asked by TLS for a name that nothing is served for.
    UnknownSni,
    /// It did on an HTTP/2 connection what only an attacker does.
    H2Attack,
    /// It sent a request that is none.
    Malformed,
    /// It is of a kind (JA4) that is listed.
    Ja4,
}

/// A client did something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Who: never a proxy that is trusted.
    pub client: IpAddr,
    /// Where: the listener's name.
    pub listener: Arc<str>,
    /// What.
    pub deed: Deed,
    /// What kind of client it is, with [`Deed::Ja4`].
    pub ja4: Option<Box<str>>,
}

/// Where events are told. Cheap to clone; the default one wants nothing.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    /// One bit for each deed.
    wanted: u16,
    way: Option<Arc<Way>>,
}

#[derive(Debug)]
struct Way {
    to: Sender<Event>,
    dropped: AtomicU64,
}

/// Where events come out.
#[derive(Debug)]
pub struct Events(Receiver<Event>);

/// A way for events, by which nothing is wanted yet: see [`Sink::wanting`].
pub fn channel() -> (Sink, Events) {
    let (to, from) = mpsc::channel(MOST_WAITING);
    (Sink { wanted: 0, way: Some(Arc::new(Way { to, dropped: AtomicU64::new(0) })) }, Events(from))
}

impl Sink {
    /// The same way, for these deeds alone.
    pub fn wanting(&self, deeds: impl IntoIterator<Item = Deed>) -> Self {
        let wanted = deeds.into_iter().fold(0, |wanted, deed| wanted | bit(deed));
        Self { wanted, way: self.way.clone() }
    }

    /// Whether anything is wanted.
    pub fn is_idle(&self) -> bool {
        self.wanted == 0
    }

    /// Whether somebody wants to hear of this.
    pub fn wants(&self, deed: Deed) -> bool {
        self.wanted & bit(deed) != 0
    }

    /// Tells of it, if somebody wants to hear it. `event` is not made otherwise.
    pub fn tell(&self, deed: Deed, event: impl FnOnce() -> Event) {
        if let Some(way) = &self.way
            && self.wants(deed)
            && way.to.try_send(event()).is_err()
        {
            way.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that were dropped because too many waited.
    pub fn dropped(&self) -> u64 {
        self.way.as_ref().map_or(0, |way| way.dropped.load(Ordering::Relaxed))
    }
}

impl Events {
    /// The next one, as soon as it is told. None: nobody is left who could tell.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next one, if it waits already.
    pub fn waiting(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}

const fn bit(deed: Deed) -> u16 {
    1 << deed as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(deed: Deed) -> Event {
        Event { client: "192.0.2.7".parse().unwrap(), listener: "web".into(), deed, ja4: None }
    }

    #[test]
    fn only_what_is_wanted_is_told_and_made() {
        let (sink, mut events) = channel();
        sink.tell(Deed::NotFound, || panic!("nobody wants it"));
        let sink = sink.wanting([Deed::NotFound, Deed::Ja4]);
        assert!(sink.wants(Deed::Ja4) && !sink.wants(Deed::Answered) && !sink.is_idle());
        sink.tell(Deed::Answered, || panic!("nobody wants it"));
        sink.tell(Deed::NotFound, || event(Deed::NotFound));
        assert_eq!(events.waiting(), Some(event(Deed::NotFound)));
        assert_eq!(events.waiting(), None);
        Sink::default().wanting([Deed::Ja4]).tell(Deed::Ja4, || panic!("nobody is there"));
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_counted_and_nobody_waits() {
        let (sink, mut events) = channel();
        let sink = sink.wanting([Deed::Malformed]);
        for _ in 0..MOST_WAITING + 7 {
            sink.tell(Deed::Malformed, || event(Deed::Malformed));
        }
        assert_eq!(sink.dropped(), 7);
        assert_eq!(std::iter::from_fn(|| events.waiting()).count(), MOST_WAITING);
    }
}
