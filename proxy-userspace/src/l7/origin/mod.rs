//! Connections to backends: where requests are sent to, and answers come from.

/// What is spoken with a backend that has the choice.
mod agree;
/// How a connection comes about.
mod connect;
/// A tunnel through a stream of HTTP/2.
mod far_stream;
/// An exchange by HTTP/2.
mod h2;
/// The answer of a stream.
mod incoming;
/// One worker's side of them.
mod origins;
/// The head of a request as HTTP/2 has it.
mod outgoing;
/// The HTTP/2 connections to one backend.
mod streams;
/// A connection as tokio has them.
mod tokio_stream;
/// Why there is no answer.
mod unanswered;
/// Why there is no connection.
mod unconnected;
/// A request's body on its way into an HTTP/2 stream.
mod upload;

pub(super) use connect::{Offer, introduce, secure, turned_away};
pub use origins::Origins;
pub(super) use unanswered::Unanswered;
pub(super) use unconnected::Unconnected;
