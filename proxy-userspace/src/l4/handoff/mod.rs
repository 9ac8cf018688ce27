//! Connections that a relay hands over to the kernel part: two TCP connections become one flow whose segments are
//! translated. Knows sockets and tables; what a relay is it does not know.

/// Long segments, cut up.
mod cut;
/// Flows of datagrams.
mod datagrams;
/// The entries of the flow table.
mod flows;
/// The frames that came while a connection was being handed over.
mod held;
/// What is applied, as far as it has to be known.
mod known;
/// Sockets that are closed a moment later.
mod linger;
/// What it works with, taken from the rest of the kernel part.
mod open;
/// Where connections to backends leave from.
mod ports;
/// The table of spliced connections, and which of its numbers are taken.
mod splices;
/// Where it has come to.
pub(super) mod step;
/// What is read out of two sockets, and what it makes.
mod take;
/// Hands over.
mod taker;
/// Whether packets come in by interfaces of the kernel part.
mod ways;

pub(super) use open::{interfaces, known, open};
pub(super) use ports::split;
pub(super) use splices::Splices;
pub use taker::{HandOffCount, Taker};
