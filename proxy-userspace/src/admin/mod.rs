//! The admin socket: HTTP and JSON over a Unix socket. Knows no kernel map and no configuration file: it hands typed
//! requests to `control`, and gives back what that answers.

/// What is asked and what is answered, as it stands in JSON.
pub mod api;
/// What is asked and answered about bans.
pub mod bans;
/// What is asked and answered about certificates.
pub mod certificates;
/// How the command line asks.
pub mod client;
/// What is asked and answered about limits.
pub mod limits;
/// Addresses of requests: from HTTP to typed requests.
mod route;
/// The server.
pub mod server;
/// The socket: made with its mode, a stale one removed.
mod socket;
/// What is asked and answered about ClientHellos as they come.
pub mod trace;

pub use client::{Client, ClientError};
pub use server::{Call, Server};
pub use socket::SocketError;

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
