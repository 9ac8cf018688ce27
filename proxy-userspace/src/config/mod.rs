//! The configuration: from what the file says to what it means. Nothing here runs: no socket, no map, no clock.
//! Every mistake of a file is found in one go, and each is a [`Diagnostic`] with its line, the value and what would
//! be right. A file goes through [`toml`], `file` (each value by itself) and `check` (values against each other).

/// What a configuration says of certificates that come by themselves.
mod acme;
/// Where a backend is, as people write it.
mod address;
/// Who is kept out.
mod ban;
/// From what the file says to what it means.
mod check;
/// A mistake, with the place where it was made.
mod diagnostic;
/// What the file says.
mod file;
/// Who wants to know what kind of client says so.
mod fingerprint;
/// Hosts of routes.
mod host;
/// A host, or all below one.
mod host_pattern;
/// Every key, once.
mod keys;
/// The kinds of values.
mod kind;
/// How much is let through.
mod limit;
/// What the configuration means.
mod model;
/// Names that a configuration gives.
mod name;
/// The right name that is nearest to a wrong one.
mod nearest;
/// Tables within values.
mod nested;
/// The file as a tree of values with their places.
mod node;
/// From text to configuration.
mod parse;
/// Paths of routes.
mod path;
/// Reads the keys of a table.
mod reader;
/// The JSON schema, and the reference for people.
mod reference;
/// Where mistakes are collected.
mod report;
/// Lines of the file that hold a secret are shown without it.
mod secrets;
/// What a configuration says of connections that are steered by their ClientHello.
mod steer;
/// What a key is.
mod table;
/// Texts with variables in braces.
mod template;
/// What a configuration says of TLS.
mod tls;
/// Numbers with units, as people write them.
mod unit;
/// What a configuration says of HTTP.
mod web;
/// How a pool's backends are chosen and spoken to by HTTP.
mod web_pool;

pub use acme::*;
pub use address::{BackendAddr, Endpoint, NotAnAddress};
pub use ban::*;
pub use diagnostic::{ConfigErrors, Diagnostic, Diagnostics, Fact, Severity};
pub use host_pattern::HostPattern;
pub use limit::*;
pub use model::*;
pub use name::{LimitName, ListenerName, PoolName};
pub use nearest::nearest_name;
pub use parse::{load, parse};
pub use reference::{json_schema, markdown};
pub use tls::*;
pub use unit::*;
pub use web::*;
pub use web_pool::*;
