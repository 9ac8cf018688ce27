//! What clients are told who are not served: without waiting for them.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::limit::TurnedAway;
use crate::net::stream::Stream;

/// The answer.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-length: 0\r\n\r\n";
/// A client that sends is listened to for this long: closing at once would take the answer from it (RFC 9112 §9.6).
const LISTEN: Duration = Duration::from_millis(500);
/// To no more than this many at a time, of each worker; others see their connection closed.
const AT_ONCE: u32 = 64;
/// No more is listened to.
const MOST: usize = 64 << 10;

thread_local! {
    static NOW: Cell<u32> = const { Cell::new(0) };
}

/// Tells a client that there is no place, and when to come again.
pub(super) fn busy<S: Stream>(stream: S) {
    say(stream, BUSY);
}

/// A fatal alert of TLS (RFC 8446 §6.2), for who has been promised nothing yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alert {
    /// `access_denied`.
    AccessDenied = 49,
    /// `decode_error`.
    DecodeError = 50,
    /// `internal_error`.
    InternalError = 80,
    /// `unrecognized_name` (RFC 6066 §3).
    UnrecognizedName = 112,
}

impl Alert {
    /// The record that carries it, in clear.
    pub(super) const fn record(self) -> [u8; 7] {
        // The version is that of a first record (RFC 8446 §5.1).
        [21, 3, 1, 0, 2, 2, self as u8]
    }
}

/// Ends a connection that is more than a limit lets in: without a word, which would cost more than it is worth.
pub(super) fn limited<S: Stream>(mut stream: S, how: TurnedAway) {
    match how {
        TurnedAway::Reset => stream.reset_at_end(),
        TurnedAway::Close => {}
    }
}

/// Tells a client this, and ends its connection.
pub(super) fn say<S: Stream>(mut stream: S, text: impl Into<Bytes>) {
    let text = text.into();
    if NOW.get() >= AT_ONCE {
        return;
    }
    NOW.set(NOW.get() + 1);
    spawn_local(async move {
        let _ = timeout(LISTEN, tell(&mut stream, &text)).await;
        NOW.set(NOW.get() - 1);
    });
}

async fn tell<S: Stream>(stream: &mut S, text: &[u8]) -> std::io::Result<()> {
    // The buffer of a new connection takes it as a whole, or the client does without.
    if !text.is_empty() {
        poll_fn(|context| stream.poll_write(context, &[IoSlice::new(text)])).await?;
    }
    poll_fn(|context| stream.poll_shutdown(context)).await?;
    let mut read = BytesMut::with_capacity(1024);
    let mut total = 0;
    while total < MOST {
        read.clear();
        match poll_fn(|context| stream.poll_read(context, &mut read)).await? {
            0 => break,
            more => total += more,
        }
    }
    Ok(())
}
