//! HTTP/2 with clients (RFC 9113): a connection's state without I/O, and what drives it over a stream.

/// From the head that the wire has to a request.
mod arrive;
/// What a connection may cost without getting on.
pub mod budget;
/// What ends a stream or a connection before its time.
pub mod error;
/// One exchange: a request and its answer.
mod exchange;
/// What a field block must be to be a head or trailers.
pub mod fields;
/// Frames.
pub mod frame;
/// How fields are written.
pub mod hpack;
/// The body of a request, between frames and reader.
pub mod inbound;
/// The state of a connection.
pub mod machine;
/// Frames on their way out.
pub mod output;
/// Whether somebody whom we wait for gets on.
pub mod pace;
/// Which exchanges have something to do.
pub mod ready;
/// Frames in.
mod receive;
/// A tunnel over a stream.
mod relay;
/// Field blocks and data in.
mod request;
/// Frames out.
pub mod send;
/// What drives a connection over a stream.
mod server;
/// SETTINGS.
pub mod settings;
/// One stream, and those that were.
pub mod stream;
/// What time does to a connection.
mod time;
/// How a turn of an exchange ended.
pub mod turn;

pub use server::serve;

/// A client of a server that runs.
#[cfg(test)]
mod client;
/// What a client may cost.
#[cfg(test)]
mod cost_tests;
/// What must hold, whatever comes.
#[cfg(test)]
pub mod fuzz;
/// Whatever comes in.
#[cfg(test)]
mod random_tests;
/// Requests whose clients take their time, or say too much in the end.
#[cfg(test)]
mod request_tests;
/// Each rule for what comes in.
#[cfg(test)]
mod rule_tests;
/// A connection as a whole.
#[cfg(test)]
mod server_tests;
/// Frames by hand.
#[cfg(test)]
mod wire;
