//! What happens to requests and answers of a route on their way. Each step is a tower layer; [`Stack::compile`] puts
//! those that a route asks for in their order. A route that asks for none pays for none.

/// Which content coding a client takes.
mod accept;
/// `allow` and `deny`: which clients may ask.
mod access;
/// `basic_auth`: who may ask.
mod auth;
/// `compress`: bodies of answers are compressed.
mod compress;
/// `request_headers` and `response_headers`: changes to fields.
mod edits;
/// A body that is compressed on its way.
mod encoded;
/// Encoders of content codings.
mod encoder;
/// `max_body`: how long the body of a request may be.
mod max_body;
/// `error_pages`: files that stand in for answers.
mod pages;
/// `strip_prefix` and `rewrite_path`: the path that the backend sees.
mod path;
/// How many bodies may hold an encoder at a time.
mod place;
/// A step on the way of a request and of its answer, as a layer.
mod service;
/// The steps of a route, in their order.
mod stack;
/// Fields that do not come after a body.
mod trailing;

pub use max_body::limit_body;
pub use service::{Around, LocalFuture, LocalLayer, LocalService, Step};
pub use stack::{Stack, StackError};
