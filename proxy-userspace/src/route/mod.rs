//! Which request goes where: routes compile to an immutable graph. Pure: no socket, no clock.

/// Records in one piece of memory.
mod arena;
/// The canonical form of a path.
mod canonical;
/// The rules of one route, compiled.
mod compiled;
/// What a request must be beside its host and path.
mod condition;
/// A connection that nobody has made.
mod connection;
/// A route under one host pattern.
mod entry;
/// Why a request has the route that it has.
mod explain;
/// What a ClientHello says, and what routes want it to say.
mod hello;
/// The one form of a host that everything compares.
mod host;
/// The host patterns of one listener.
mod hosts;
/// Whether conditions follow from others.
mod implied;
/// The routes of one host pattern.
mod paths;
/// Regular expressions over paths.
mod pattern;
/// What is asked of the router.
mod query;
/// A request that nobody has sent.
mod question;
/// Which route wins when several match.
mod rank;
/// The router graph.
mod router;
/// What a path must be, compiled.
mod rule;
/// Routes that no connection comes to.
mod shadow;
/// Which connection goes where.
mod steering;
/// The one form of a request's path that everything compares and sends on.
mod target;
/// Many paths in one tree.
mod tree;
/// Routes that can never match.
mod unreachable;
/// Rules of routes, and why they refuse, in words.
mod words;

pub use canonical::BadTarget;
pub use compiled::CompileError;
pub use connection::{BadHelloQuestion, HelloExplanation, HelloQuestion};
pub use explain::{Considered, Explanation, Verdict, explain};
pub use hello::Hello;
pub use host::{BadHost, Host};
pub use query::{Fields, Query};
pub use question::{BadQuestion, Question};
pub use router::{Match, Router};
pub use steering::{NamePlan, Names, Steered, Steering};
pub use target::RequestTarget;
pub use unreachable::{Unreachable, Why, unreachable};

/// The graph, the explanation and a plain reading of the rules agree.
#[cfg(test)]
mod agreement_tests;
/// Which route wins.
#[cfg(test)]
mod router_tests;
