//! `basic_auth` (RFC 7617): who may ask.
//!
//! A bcrypt hash takes a CPU for a tenth of a second, by design. So passwords are checked on threads of their own, few
//! at a time, and what was found right is remembered.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use tokio::sync::Semaphore;

use super::service::{LocalService, Step};
use super::trailing::keep_out;
use crate::config::BasicAuthConfig;
use crate::l7::cause::Cause;
use crate::l7::request::{Request, Response};
use crate::l7::respond::{Form, refuse};
use crate::net::customer::customer;

/// Who may ask.
pub(super) struct BasicAuth {
    challenge: HeaderValue,
    users: HashMap<Box<str>, Box<str>>,
    user_header: Option<HeaderName>,
    /// It again, as nobody may write it after a body.
    names: Arc<[HeaderName]>,
    /// Checked for users that there are not, so that they take as long as those that there are.
    stand_in: Box<str>,
    right: Right,
}

/// Requests that wait for a check of their password, of all routes: more are answered 503.
const MOST_WAITING: usize = 64;
/// No more of these are one client's: whoever guesses must not keep others from being let in.
const MOST_OF_ONE: usize = 4;
/// Requests of one client that have, or wait for, one of its places: more are answered 503. A browser asks for much at once.
const LONGEST_LINE: usize = 256;
/// No credentials are longer: 72 bytes are all that bcrypt looks at.
const LONGEST: usize = 1024;

static WAITING: AtomicUsize = AtomicUsize::new(0);
/// By client.
static LINES: LazyLock<Mutex<HashMap<IpAddr, Line>>> = LazyLock::new(Mutex::default);
/// Half of the CPUs at most: traffic needs the others.
static CHECKS: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new((std::thread::available_parallelism().map_or(1, usize::from) / 2).max(1))
});

impl BasicAuth {
    pub(super) fn new(config: &BasicAuthConfig) -> Self {
        let realm = config.realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
        let stand_in = config.users.first().map_or("", |(_, hash)| hash);
        Self {
            challenge: challenge.unwrap_or(HeaderValue::from_static("Basic realm=\"\"")),
            users: config.users.iter().cloned().collect(),
            user_header: config.user_header.clone(),
            names: config.user_header.iter().cloned().collect(),
            stand_in: stand_in.into(),
            right: Right::default(),
        }
    }

    /// Who asks, if it is proved.
    async fn user(&self, request: &Request) -> Result<Box<str>, Cause> {
        let credentials = request.headers.get(AUTHORIZATION).and_then(decode).ok_or(Cause::Unauthorized)?;
        let (user, password) = credentials.split_once(':').ok_or(Cause::Unauthorized)?;
        let marks = self.right.marks(&credentials);
        if self.right.has(marks) {
            return Ok(user.into());
        }
        let line = InLine::join(customer(request.client_ip())).ok_or(Cause::Overload)?;
        // Never closed.
        let _place = line.places.acquire().await.map_err(|_| Cause::Overload)?;
        // One before it in the line may have asked with the same.
        if self.right.has(marks) {
            return Ok(user.into());
        }
        let known = self.users.get(user);
        let hash = known.unwrap_or(&self.stand_in).clone();
        let matches = check(password.to_owned(), hash).await?;
        if !matches || known.is_none() {
            return Err(Cause::Unauthorized);
        }
        self.right.keep(marks);
        Ok(user.into())
    }
}

impl Step for BasicAuth {
    async fn answer(&self, mut request: Request, next: &LocalService) -> Response {
        match self.user(&request).await {
            Ok(user) => {
                if let Some(name) = &self.user_header {
                    let value = HeaderValue::from_bytes(user.as_bytes());
                    request.headers.insert(name, value.unwrap_or(HeaderValue::from_static("")));
                    keep_out(&mut request, &self.names);
                }
                *request.record.user.borrow_mut() = Some(user);
                next.answer(request).await
            }
            Err(cause) => {
                let mut response = refuse(Form::of(&request), &request.record, cause);
                if cause == Cause::Unauthorized {
                    response.headers_mut().insert(WWW_AUTHENTICATE, self.challenge.clone());
                }
                response
            }
        }
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No hashes.
        f.debug_struct("BasicAuth").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

/// `user:password` of an Authorization.
fn decode(value: &HeaderValue) -> Option<String> {
    let (scheme, rest) = value.as_bytes().split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") || rest.len() > LONGEST {
        return None;
    }
    String::from_utf8(STANDARD.decode(rest.trim_ascii()).ok()?).ok()
}

/// Whether a password is the one of this hash.
async fn check(password: String, hash: Box<str>) -> Result<bool, Cause> {
    let _waiting = Waiting::begin().ok_or(Cause::Overload)?;
    // Never closed.
    let permit = CHECKS.acquire().await.map_err(|_| Cause::Overload)?;
    let checked = tokio::task::spawn_blocking(move || {
        // A client that goes does not stop the check, so its place is taken until the end.
        let _permit = permit;
        bcrypt::verify(password, &hash).unwrap_or(false)
    });
    checked.await.map_err(|_| Cause::Overload)
}

/// A client's line.
struct Line {
    /// Requests in it.
    length: usize,
    /// Places that it has.
    places: Arc<Semaphore>,
}

/// A client's request that is in its line.
struct InLine {
    client: IpAddr,
    places: Arc<Semaphore>,
}

impl InLine {
    /// None: the line is too long.
    fn join(client: IpAddr) -> Option<Self> {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        let places = || Arc::new(Semaphore::new(MOST_OF_ONE));
        let line = lines.entry(client).or_insert_with(|| Line { length: 0, places: places() });
        if line.length == LONGEST_LINE {
            return None;
        }
        line.length += 1;
        Some(Self { client, places: Arc::clone(&line.places) })
    }
}

impl Drop for InLine {
    fn drop(&mut self) {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(&self.client) {
            line.length -= 1;
            if line.length == 0 {
                lines.remove(&self.client);
            }
        }
    }
}

/// A place among those that wait.
struct Waiting;

impl Waiting {
    fn begin() -> Option<Self> {
        let before = WAITING.fetch_add(1, Ordering::Relaxed);
        let place = Self;
        (before < MOST_WAITING).then_some(place)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Credentials that were found right, as two keyed hashes each: 128 bits that nobody can compute who does not know the
/// keys, which are random and never leave the process. Threads write without a lock: halves of two writers at once
/// match neither's credentials.
#[derive(Default)]
struct Right {
    keys: (RandomState, RandomState),
    slots: Slots,
}

struct Slots(Box<[[AtomicU64; 2]]>);

impl Default for Slots {
    fn default() -> Self {
        Self((0..256).map(|_| Default::default()).collect())
    }
}

impl Right {
    /// Never 0: that is an empty slot.
    fn marks(&self, credentials: &str) -> [u64; 2] {
        [self.keys.0.hash_one(credentials) | 1, self.keys.1.hash_one(credentials) | 1]
    }

    fn slot(&self, marks: [u64; 2]) -> &[AtomicU64; 2] {
        &self.slots.0[(marks[0] >> 32) as usize % self.slots.0.len()]
    }

    fn has(&self, marks: [u64; 2]) -> bool {
        let slot = self.slot(marks);
        // Both are looked at, whatever the first says: as long for the one as for the other.
        let difference =
            (slot[0].load(Ordering::Relaxed) ^ marks[0]) | (slot[1].load(Ordering::Relaxed) ^ marks[1]);
        difference == 0
    }

    fn keep(&self, marks: [u64; 2]) {
        let slot = self.slot(marks);
        slot[0].store(marks[0], Ordering::Relaxed);
        slot[1].store(marks[1], Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "auth_tests.rs"]
mod tests;
