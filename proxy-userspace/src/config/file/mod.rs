//! What the file says: every value read and in its range, with its place, and nothing compared with anything yet.

/// `[acme]`.
mod acme;
/// `[ban]` and `[auto-ban.NAME]`.
mod ban;
/// Lists whose entries are all different.
mod distinct;
/// `[acme.dns]`.
mod dns;
/// What a listener says of floods.
mod guard;
/// `health = { … }`.
mod health;
/// `[kernel]` and `[admin]`.
mod kernel;
/// `[limit.NAME]`.
mod limit;
/// `limits = { … }` of a listener.
mod limits;
/// `[listener.NAME]`.
mod listener;
/// `[middleware.NAME]`, and what a route has of it.
mod middleware;
/// `[pool.NAME]`.
mod pool;
/// What a pool says of TLS to its backends.
mod pool_tls;
/// What a pool does with requests of `http` listeners.
mod pool_web;
/// The file's outermost tables.
mod root;
/// `[[route]]`.
mod route;
/// Secrets: in the file itself, in files of their own, in the environment.
mod secret;
/// `[server]` and `[access_log]`.
mod server;
/// What a route says of connections that are steered by their ClientHello.
mod steer;
/// `[tls]`, and what listeners and routes say of TLS.
mod tls;
/// `basic_auth = { … }`: users of the table and of a file.
mod users;

pub(super) use ban::FileAutoBan;
pub(super) use kernel::{FileAdmin, FileKernel};
pub(super) use limit::FileLimit;
pub(super) use listener::{FileListener, FileWebListener};
pub(super) use middleware::{FileMiddleware, Parts};
pub(super) use pool::{FileBackend, FilePool};
pub(super) use root::File;
pub(super) use route::FileRoute;
pub(super) use tls::FileRouteTls;
