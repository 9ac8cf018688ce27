//! HTTP/1.1: our own codec, on both sides. It reads strictly and writes one normal form, so that nobody behind us can
//! see another request than we did.

/// The body of an answer.
mod answer_body;
/// An answer's head.
mod answer_head;
/// The time between requests.
mod await_head;
/// An exchange with a backend.
pub mod client;
/// A connection to a backend, as a tunnel.
mod far_end;
/// What can be wrong with a head.
pub mod fault;
/// The fields of a head.
mod fields;
/// The body of a request.
mod incoming;
/// The end of a connection.
mod linger;
/// A connection to a backend.
pub mod link;
/// A message on its way out.
mod outgoing;
/// How fast a body moves.
mod pace;
/// Bodies as they come in.
mod reading;
/// Bytes both ways.
mod relay;
/// A request's head.
mod request_head;
/// An answer on its way out.
mod respond;
/// Where a head ends.
mod scan;
/// Why a backend gave no answer.
pub mod send_error;
/// A client's connection.
pub mod server;
/// One request of a connection.
mod turn;
/// A connection, shared between its task and its body.
mod wire;
/// Heads as they are written.
mod write;

/// What must hold, whatever comes.
#[cfg(test)]
pub mod fuzz;
/// Both codecs, over sockets.
#[cfg(test)]
mod h1_tests;
/// Properties of what is read.
#[cfg(test)]
mod prop_tests;
