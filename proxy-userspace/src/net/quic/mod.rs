//! What a client says first when it speaks QUIC: the ClientHello in its Initial packets (RFC 9000 §17.2.2), which are
//! encrypted by keys that anybody can make (RFC 9001 §5.2, RFC 9369 §3.3). Nothing here answers anybody.

/// The ClientHello, as CRYPTO frames bring it.
mod crypto;
/// Why there is no ClientHello.
mod fault;
/// A client's first flight.
mod flight;
/// Frames of Initial packets.
mod frames;
/// What must hold of first flights, whatever comes.
#[cfg(test)]
pub mod fuzz;
/// What can be seen of a packet without a key.
mod head;
/// Keys of Initial packets.
mod keys;
/// Numbers of one to eight bytes.
mod number;
/// Initial packets as clients make them, for tests.
#[cfg(test)]
pub mod testing;

pub use fault::NoFlight;
pub use flight::{Flight, MOST_MESSAGE, Step};
pub use head::{Head, Kind, V1, V2};
