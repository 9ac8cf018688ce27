//! HTTP: connections of clients, requests on their way to backends, answers on their way back.
//! Runs on workers: one thread each, nothing shared but snapshots and counters.

/// Takes clients from a socket.
mod accept;
/// Routes that are answered here: redirects and fixed answers.
pub mod answer;
/// A client that has just come.
mod arrival;
/// What a pool that is balanced by a key takes of a request.
mod balance_key;
/// A body on its way.
pub mod body;
/// Why the proxy answers by itself.
pub mod cause;
/// How many are in.
pub mod crowd;
/// Why a body ended before its end.
pub mod cut;
/// The Date of answers.
mod date;
/// The end-to-end fields of a head.
pub mod field_block;
/// What is written down of a request that is over.
mod finish;
/// A request on its way to a pool.
pub mod forward;
/// What proxies before this one say of a client.
mod forwarded;
/// HTTP/1.1 with clients and backends.
pub mod h1;
/// HTTP/2 with clients.
pub mod h2;
/// What answers requests, as what serves a connection sees it.
pub mod handler;
/// The end of a request that gets no answer.
pub mod hang_up;
/// Fields that say who a request is from and which way it came.
pub mod headers;
/// The id of a request.
pub mod id;
/// The end of a listener, as its connections learn of it.
pub mod leave;
/// Requests, connections, handshakes and bytes under limits.
pub mod limit;
/// One line of the access log.
mod line;
/// A worker's lines for the access log.
mod logbook;
/// What happens to requests and answers of a route on their way.
pub mod middleware;
/// Connections to backends.
pub mod origin;
/// Answers to CAs that look for a proof.
mod proof;
/// Sets of addresses.
mod ranges;
/// What clients are told who are not served.
mod refuse;
/// Connections that are relayed.
pub mod relay;
/// A request's body, kept as far as it may have to be sent again.
mod replay;
/// A request and its answer, whatever version of HTTP they came in.
pub mod request;
/// Answers of the proxy itself.
pub mod respond;
/// An answer, whatever version of HTTP it came in.
pub mod response;
/// What is tried again.
mod retry;
/// What the access log says of a request that is gone.
pub mod seen;
/// The way of a request: ordered stages.
mod service;
/// What workers serve by.
pub mod snapshot;
/// Texts with variables.
pub mod template;
/// Requests for tests.
#[cfg(test)]
mod testing;
/// The time that an exchange may take as a whole.
mod timeout;
/// TLS with clients.
pub mod tls;
/// Bytes both ways, without HTTP.
pub mod tunnel;
/// What one worker has.
pub mod worker;
/// The workers' threads.
pub mod workers;

/// What is fuzzed.
#[cfg(test)]
pub mod fuzz;

pub use body::Body;
pub use cut::BodyError;
pub use handler::Handler;
pub use leave::{Leave, Watch};
pub use request::{Authority, Connection, Interim, Record, Request, Response};
pub use snapshot::Snapshot;
pub use tls::TlsListener;
pub use tunnel::Tunnel;
pub use workers::Workers;
