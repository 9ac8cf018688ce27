//! What a client says first when it speaks TLS: a ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), read in place and
//! without memory of its own.
//!
//! [`Reassembly`] finds the message in a stream that comes in pieces of any size; [`whole`] finds it in a segment that
//! holds all of it. [`ClientHello::read`] judges the whole of it once: what it hands out afterwards cannot fail. Nothing
//! here answers a client: a handshake may go on with a hello that is not understood here.

/// A place in bytes that are read from front to back.
mod cursor;
/// Extensions: their numbers, and one after another.
mod extension;
/// Why there is no ClientHello.
mod fault;
/// A ClientHello.
mod hello;
/// What stands in the extensions that are read.
mod known;
/// What lists in a ClientHello hold.
mod lists;
/// What can be said of one in a few bytes.
pub mod outline;
/// Records, and the message in them.
mod record;
/// The host that a client names.
mod server_name;
/// Hellos for tests.
#[cfg(test)]
mod testing;

pub use extension::{Extension, Extensions, id};
pub use fault::{NoHello, Part};
pub use hello::ClientHello;
pub use known::Ech;
pub use lists::{KeyShare, KeyShares, Protocols, Words, is_grease};
pub use outline::Outline;
pub use record::{MOST_MESSAGE, MOST_RECORD, Reassembly, Step, whole};
pub use server_name::ServerName;
