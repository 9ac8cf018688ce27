//! The seam between what speaks a version of HTTP with a client and what answers requests.

use std::future::Future;

use super::request::{Connection, Record, Request, Response};

/// What answers requests. One for each worker; what serves a connection knows no more of it.
pub trait Handler: Clone + 'static {
    /// Answers one request. It never fails: a failure is an answer.
    fn handle(&self, request: Request) -> impl Future<Output = Response>;

    /// An exchange is over: its answer was sent as a whole, or cut. Called exactly once for each request that was
    /// handled, and for each that was refused before it was one (`record.status` says with what).
    fn finished(&self, connection: &Connection, record: &Record);
}
