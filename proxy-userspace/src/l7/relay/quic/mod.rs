//! Flows of QUIC that are steered by the ClientHello of their first datagrams, and passed on as they are. Clients are told
//! nothing by this process: it can make nobody send more than was asked of a backend.

/// A flow from its backend to its end.
mod carry;
/// What becomes of a flow, by its ClientHello.
mod decide;
/// Takes datagrams from a socket.
mod door;
/// Flows by their clients.
mod flows;

pub(in crate::l7) use door::Door;
