//! Clients: many connections on one thread, each exchange timed. As lean as can be, for they share a CPU with the backend.

/// Many connections on one thread.
mod engine;
/// HTTP/1.1.
mod h1;
/// HTTP/2.
mod h2;
/// What a run was.
mod outcome;
/// A protocol, as a client speaks it.
mod talk;
/// WebSockets.
mod websocket;

use std::net::SocketAddr;

use anyhow::Result;

use engine::Engine;
pub(super) use outcome::{Load, Outcome};
use talk::Talk;

/// HTTP/1.1 on connections that stay.
pub(super) fn h1(port: u16, connections: usize, path: &str) -> Result<Box<dyn Load>> {
    let request = h1::request(path, false);
    boxed(port, connections, 1, false, move || h1::Talk::new(request.clone()))
}

/// HTTP/1.1, one request a connection.
pub(super) fn new(port: u16, connections: usize) -> Result<Box<dyn Load>> {
    let request = h1::request("/", true);
    boxed(port, connections, 1, true, move || h1::Talk::new(request.clone()))
}

/// HTTP/2 with prior knowledge.
pub(super) fn h2(port: u16, connections: usize, streams: usize) -> Result<Box<dyn Load>> {
    boxed(port, connections, streams, false, h2::Talk::new)
}

/// Messages of WebSockets, there and back.
pub(super) fn websocket(port: u16, connections: usize) -> Result<Box<dyn Load>> {
    boxed(port, connections, 1, false, websocket::Talk::new)
}

fn boxed<T: Talk + 'static>(
    port: u16,
    connections: usize,
    depth: usize,
    fresh: bool,
    talk: impl Fn() -> T + 'static,
) -> Result<Box<dyn Load>> {
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    Ok(Box::new(Engine::new(to, connections, depth, fresh, Box::new(talk))?))
}
