//! The stages: one thing each, unaware of each other. `ingress` alone orders them.

/// Is it ours at all, and can its sender be real.
pub mod admit;
/// What is not to be answered at length.
pub mod amplify;
/// Who is kept out.
pub mod ban;
/// The ClientHello in a segment.
pub mod client_hello;
/// SYNs answered from nothing but a key.
pub mod cookie;
/// Established flows: state, reuse of a 5-tuple, promotion.
pub mod flow;
/// Out of which interface, to which neighbour.
pub mod forward;
/// Fragments follow their first.
pub mod fragment;
/// Whether a listener is guarded, and who is known to be alive.
pub mod guard;
/// ICMP errors, which quote a packet of a flow.
pub mod icmp;
/// What a listener's limits let through.
pub mod limit;
/// What the table says of a name.
pub mod names;
/// From bytes to a sound header.
pub mod parse;
/// What most packets are, read at once.
pub mod plain;
/// A TCP packet is turned into an answer to its sender.
pub mod reply;
/// Addresses, ports, checksums, TTL.
pub mod rewrite;
/// A backend for a new flow: the ring, and a port to leave from.
pub mod select;
/// Segments of spliced connections.
pub mod splice;
/// What is too long for its way out is answered.
pub mod too_big;
/// Young flows: what has not proved to be alive.
pub mod young;
