//! Our own CA: a root that machines are told to trust, an intermediate that signs, and certificates for names that no
//! public CA would vouch for.
//!
//! The root is made once and kept; the intermediate is replaced in time. There are no name constraints: an operator may
//! write `tls = "internal"` at any host.

/// Who signs.
mod authority;
/// Where the keys of the CA are kept.
mod keep;
/// What a certificate of the CA says.
mod params;
/// The CA as an ACME server for other machines.
mod server;

pub use authority::{Authority, AuthorityError, Issued};
pub use keep::KeepError;
pub use params::generate;
pub use server::{AcmeServer, Ports, ServeCaError};
