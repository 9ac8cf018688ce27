//! What happens to requests and answers of a route on their way. Each step is a tower layer; [`Stack::compile`] puts
//! those that a route asks for in their order. A route that asks for none pays for none.

/// A step on the way of a request and of its answer, as a layer.
mod service;
/// The steps of a route, in their order.
mod stack;

pub use service::{Around, LocalFuture, LocalLayer, LocalService, Step};
pub use stack::{Stack, StackError};
