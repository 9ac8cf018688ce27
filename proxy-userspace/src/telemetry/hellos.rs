//! What workers decide about ClientHellos, told while somebody looks on. Bounded: whoever looks on slowly misses some, and
//! is told how many.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many are kept until they are asked for.
const MOST: usize = 1024;

/// What a worker decided about a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    /// The listener.
    pub listener: Box<str>,
    /// The client.
    pub client: SocketAddr,
    /// The host that it names; empty: none.
    pub name: Box<str>,
    /// The protocol that it would like best.
    pub alpn: Option<Box<str>>,
    /// The highest version that it speaks; 0: not known.
    pub version: u16,
    /// What became of it.
    pub decision: &'static str,
    /// Why, where it came to nothing.
    pub reason: Option<&'static str>,
    /// The route; empty: none.
    pub route: Box<str>,
}

/// Who looks on, and what it has not seen yet.
#[derive(Debug)]
pub struct Watch {
    began: Instant,
    /// Milliseconds since it began until which somebody looks on.
    until: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// Only those who name this.
    name: Option<Box<str>>,
    decided: VecDeque<Decided>,
    lost: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self { began: Instant::now(), until: AtomicU64::new(0), kept: Mutex::default() }
    }
}

impl Watch {
    /// Somebody looks on for so long, at those who name `name`, or at all.
    pub fn look(&self, name: Option<&str>, lasts: Duration) {
        let mut kept = self.kept();
        let name = name.map(|name| name.to_ascii_lowercase().into_boxed_str());
        if kept.name != name {
            kept.decided.clear();
            kept.name = name;
        }
        self.until.store(self.now().saturating_add(lasts.as_millis() as u64), Ordering::Relaxed);
    }

    /// What a worker decided, if somebody wants to know.
    pub fn tell(&self, decided: impl FnOnce() -> Decided) {
        if self.until.load(Ordering::Relaxed) <= self.now() {
            return;
        }
        let decided = decided();
        let mut kept = self.kept();
        // Who could not be read may have named it.
        let other = |name: &str| !decided.name.is_empty() && *name != *decided.name;
        if kept.name.as_deref().is_some_and(other) {
            return;
        }
        if kept.decided.len() >= MOST {
            kept.lost += 1;
        } else {
            kept.decided.push_back(decided);
        }
    }

    /// What was decided since the last call, and how much more that was lost.
    pub fn take(&self) -> (Vec<Decided>, u64) {
        let mut kept = self.kept();
        let lost = std::mem::take(&mut kept.lost);
        (kept.decided.drain(..).collect(), lost)
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(name: &str) -> Decided {
        Decided {
            listener: "tls".into(),
            client: "192.0.2.1:1".parse().unwrap(),
            name: name.into(),
            alpn: None,
            version: 0x0304,
            decision: "terminated",
            reason: None,
            route: "".into(),
        }
    }

    #[test]
    fn nothing_is_kept_while_nobody_looks_on() {
        let watch = Watch::default();
        watch.tell(|| panic!("nobody asks"));
        watch.look(None, Duration::from_secs(60));
        watch.tell(|| decided("a.test"));
        assert_eq!(watch.take(), (vec![decided("a.test")], 0));
        watch.look(None, Duration::ZERO);
        watch.tell(|| panic!("nobody asks"));
    }

    #[test]
    fn only_the_wanted_name_is_told_of_and_what_could_not_be_read() {
        let watch = Watch::default();
        watch.look(Some("A.test"), Duration::from_secs(60));
        for name in ["a.test", "b.test", ""] {
            watch.tell(|| decided(name));
        }
        assert_eq!(watch.take().0, [decided("a.test"), decided("")]);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let watch = Watch::default();
        watch.look(None, Duration::from_secs(60));
        (0..MOST + 7).for_each(|_| watch.tell(|| decided("a")));
        let (kept, lost) = watch.take();
        assert_eq!((kept.len(), lost), (MOST, 7));
    }
}
