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
/// Another protocol, by TLS.
mod tls;
/// WebSockets.
mod websocket;

use anyhow::Result;

use super::case::Hello;
use engine::boxed;
pub(super) use outcome::{Load, Outcome};

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
    boxed(port, connections, streams, false, || h2::Talk::new(h2::HTTP))
}

/// Messages of WebSockets, there and back.
pub(super) fn websocket(port: u16, connections: usize) -> Result<Box<dyn Load>> {
    boxed(port, connections, 1, false, websocket::Talk::new)
}

/// HTTP/1.1 by TLS, one request a connection.
pub(super) fn handshakes(port: u16, connections: usize, hello: Hello) -> Result<Box<dyn Load>> {
    let client = tls::Client::new(hello, tls::HTTP11)?;
    let request = h1::request("/", true);
    let talk = move |client: &tls::Client| tls::Talk::new(client, h1::Talk::new(request.clone()));
    if hello == Hello::Resumed {
        // Each connection takes a ticket and brings another, so that they never run out.
        let (talk, client) = (talk.clone(), client.clone());
        boxed(port, connections, 1, true, move || talk(&client))?.run(2 * connections)?;
    }
    let client = client.resuming();
    boxed(port, connections, 1, true, move || talk(&client))
}

/// HTTP/1.1 by TLS on connections that stay.
pub(super) fn tls(port: u16, connections: usize, path: &str) -> Result<Box<dyn Load>> {
    let client = tls::Client::new(Hello::Full, tls::HTTP11)?;
    let request = h1::request(path, false);
    boxed(port, connections, 1, false, move || tls::Talk::new(&client, h1::Talk::new(request.clone())))
}

/// HTTP/2 by TLS.
pub(super) fn tls_h2(port: u16, connections: usize, streams: usize) -> Result<Box<dyn Load>> {
    let client = tls::Client::new(Hello::Full, tls::HTTP2)?;
    boxed(port, connections, streams, false, move || tls::Talk::new(&client, h2::Talk::new(h2::HTTPS)))
}
