//! Records: who holds a zone and how it is told, and whether the world sees what it was told.

/// Asks the API of a provider.
mod api;
/// Cloudflare.
mod cloudflare;
/// Sends a message to a name server, and gets its answer.
mod exchange;
/// A program that is called.
mod exec;
/// Why a record could not be put or taken away.
mod failure;
/// Whoever holds the zones.
mod provider;
/// Who answers questions.
mod resolvers;
/// Dynamic updates.
mod rfc2136;
/// Amazon's Route 53.
mod route53;
/// Whether a record is seen.
mod seen;
/// Signatures of requests to AWS.
mod sigv4;
/// As much of XML as is needed.
mod xml;
/// What is to be known of a name before a record is put.
mod zone;

pub(super) use cloudflare::Cloudflare;
pub(super) use exec::Exec;
pub(super) use provider::Provider;
pub(super) use resolvers::Resolvers;
pub(super) use rfc2136::{KeyError, Rfc2136};
pub(super) use route53::Route53;
pub(super) use seen::until_seen;
pub(super) use zone::target;

/// A name server of our own.
#[cfg(test)]
#[path = "name_server_tests.rs"]
pub(super) mod name_server;
