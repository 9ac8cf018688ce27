//! Session tickets (RFC 5077, RFC 8446 §4.6.1): a session's secrets, encrypted by keys that change, kept by clients.
//!
//! Nothing is stored for a session. Its ticket is bound to what was asked of the client when it was made (its scope),
//! so that nobody who showed no certificate resumes where one is required.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use rustls::server::ProducesTickets;

use super::calendar;
use super::ticket_key::{Secret, TicketKey};
use crate::config::TicketsConfig;

/// A client may not keep a ticket for longer (RFC 8446 §4.6.1).
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// No session is larger; who shows a huge certificate gets no ticket.
const MOST_OF_A_SESSION: usize = 12 << 10;

/// Whose session a ticket may resume: a digest of what is asked of clients.
pub(super) type Scope = [u8; 32];

/// The keys of all tickets. One for a process, through all its configurations.
pub struct Tickets {
    ring: ArcSwap<Ring>,
    /// Who makes the next ring.
    turn: Mutex<()>,
    /// What random keys' periods are counted from: steps of the clock do not matter to them.
    start: Instant,
}

/// The keys of a moment.
struct Ring {
    rotate: Duration,
    secret: Option<Secret>,
    period: u64,
    /// The first encrypts; all decrypt. Three at the most.
    keys: Vec<Arc<TicketKey>>,
}

/// Keys that could be put in force; none: they are.
pub struct Prepared(Option<Ring>);

/// Why there are no tickets as configured.
#[derive(Debug, thiserror::Error)]
pub enum TicketsError {
    /// The secret cannot be read.
    #[error("tickets: key_file {path}: {error}")]
    Unreadable {
        /// Its file.
        path: Box<str>,
        /// Why.
        error: std::io::Error,
    },
    /// The secret is too short, or no secret at all.
    #[error(
        "tickets: key_file {path} has {len} bytes: give 32 at least and 4096 at most (`openssl rand -out FILE 32`)"
    )]
    BadSecret {
        /// Its file.
        path: Box<str>,
        /// Its length.
        len: usize,
    },
    /// The machine gives no random numbers.
    #[error("tickets: no random numbers can be had")]
    NoRandom,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepared")
    }
}

impl Tickets {
    /// As configured. Reads the secret's file, if there is one.
    pub fn new(config: &TicketsConfig) -> Result<Self, TicketsError> {
        let start = Instant::now();
        let secret = read_secret(config)?;
        let period = period(config.rotate, secret.is_some(), start);
        let ring = Ring::at(period, config.rotate, secret, &[]).ok_or(TicketsError::NoRandom)?;
        Ok(Self { ring: ArcSwap::from_pointee(ring), turn: Mutex::default(), start })
    }

    /// Keys as configured, which change nothing before they are put in force. Reads the secret's file, if there is one.
    pub fn prepare(&self, config: &TicketsConfig) -> Result<Prepared, TicketsError> {
        let secret = read_secret(config)?;
        let now = self.ring.load();
        if now.rotate == config.rotate && now.secret == secret {
            return Ok(Prepared(None));
        }
        let period = period(config.rotate, secret.is_some(), self.start);
        let ring = Ring::at(period, config.rotate, secret, &[]).ok_or(TicketsError::NoRandom)?;
        Ok(Prepared(Some(ring)))
    }

    /// By these keys from now on. Where nothing changed, keys stay; else old tickets are of no use any more, and whoever
    /// shows one makes a whole handshake.
    pub fn put(&self, prepared: Prepared) {
        if let Prepared(Some(ring)) = prepared {
            let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            self.ring.store(Arc::new(ring));
        }
    }

    /// Tickets of one scope.
    pub(super) fn scoped(self: &Arc<Self>, scope: Scope) -> Arc<dyn ProducesTickets> {
        Arc::new(Scoped { tickets: Arc::clone(self), scope })
    }

    fn period(&self) -> u64 {
        let ring = self.ring.load();
        period(ring.rotate, ring.secret.is_some(), self.start)
    }

    /// The ring of this period. The first to come in a new period makes it; the others go on with the old one until
    /// it is there.
    fn ring_of(&self, period: u64) -> Arc<Ring> {
        let ring = self.ring.load_full();
        if ring.period == period {
            return ring;
        }
        let Ok(_turn) = self.turn.try_lock() else { return ring };
        let ring = self.ring.load_full();
        if ring.period == period {
            return ring;
        }
        let Some(next) = Ring::at(period, ring.rotate, ring.secret.clone(), &ring.keys) else { return ring };
        let next = Arc::new(next);
        self.ring.store(Arc::clone(&next));
        next
    }

    fn seal(&self, period: u64, scope: &Scope, session: &[u8]) -> Option<Vec<u8>> {
        if session.len() > MOST_OF_A_SESSION {
            return None;
        }
        self.ring_of(period).keys.first()?.seal(scope, session)
    }

    fn open(&self, period: u64, scope: &Scope, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > MOST_OF_A_SESSION + TicketKey::OVERHEAD {
            return None;
        }
        let ring = self.ring_of(period);
        ring.keys.iter().find(|key| key.made(ticket))?.open(scope, ticket)
    }
}

impl Ring {
    /// Keys of a period, and of those beside it: the one before, so that its tickets live on for a while, and with a
    /// shared secret the next one, for machines whose clocks are ahead. None without random numbers.
    fn at(period: u64, rotate: Duration, secret: Option<Secret>, old: &[Arc<TicketKey>]) -> Option<Self> {
        let keys = match &secret {
            Some(secret) => {
                let periods = [Some(period), period.checked_sub(1), period.checked_add(1)];
                let keys =
                    periods.into_iter().flatten().map(|period| secret.key(period, rotate).map(Arc::new));
                keys.collect::<Option<_>>()?
            }
            None => {
                let mut keys = vec![Arc::new(TicketKey::random(period)?)];
                keys.extend(old.iter().filter(|key| key.period().checked_add(1) == Some(period)).cloned());
                keys
            }
        };
        Some(Self { rotate, secret, period, keys })
    }
}

/// What makes and reads tickets of one scope.
struct Scoped {
    tickets: Arc<Tickets>,
    scope: Scope,
}

impl fmt::Debug for Scoped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets of a scope")
    }
}

impl ProducesTickets for Scoped {
    fn enabled(&self) -> bool {
        true
    }

    /// A ticket of the last second of a period is read to the end of the next one.
    fn lifetime(&self) -> u32 {
        u32::try_from(self.tickets.ring.load().rotate.min(LONGEST).as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.tickets.seal(self.tickets.period(), &self.scope, plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.tickets.open(self.tickets.period(), &self.scope, cipher)
    }
}

/// Which period it is: of the calendar, where machines must agree; else since the start.
fn period(rotate: Duration, shared: bool, start: Instant) -> u64 {
    let seconds = match shared {
        true => calendar::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        false => start.elapsed(),
    };
    seconds.as_secs() / rotate.as_secs().max(1)
}

fn read_secret(config: &TicketsConfig) -> Result<Option<Secret>, TicketsError> {
    let Some(file) = &config.key_file else { return Ok(None) };
    let path = || file.display().to_string().into();
    let bytes = std::fs::read(file).map_err(|error| TicketsError::Unreadable { path: path(), error })?;
    match bytes.len() {
        32..=4096 => Ok(Some(Secret::new(&bytes))),
        len => Err(TicketsError::BadSecret { path: path(), len }),
    }
}

#[cfg(test)]
#[path = "tickets_tests.rs"]
mod tests;
