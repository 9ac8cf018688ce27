//! HTTP/2 with clients (RFC 9113): a connection's state without I/O, and what drives it over a stream.

/// What a connection may cost without getting on.
pub mod budget;
/// What ends a stream or a connection before its time.
pub mod error;
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
/// Frames in.
mod receive;
/// Field blocks and data in.
mod request;
/// Frames out.
pub mod send;
/// SETTINGS.
pub mod settings;
/// One stream, and those that were.
pub mod stream;
/// What time does to a connection.
mod time;

/// What a client may cost.
#[cfg(test)]
mod cost_tests;
/// Each rule for what comes in.
#[cfg(test)]
mod rule_tests;
/// Frames by hand.
#[cfg(test)]
mod wire;
