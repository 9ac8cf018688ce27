//! Every key of `proxy.toml`, once: name, kind, default, meaning, example.

/// `[acme]`.
pub(super) mod acme;
/// `[ban]` and `[auto-ban.NAME]`.
pub(super) mod ban;
/// `[acme.dns]`.
pub(super) mod dns;
/// What a listener says of floods.
pub(super) mod guard;
/// `health = { … }`.
pub(super) mod health;
/// `[kernel]` and `[admin]`.
pub(super) mod kernel;
/// `[limit.NAME]`.
pub(super) mod limit;
/// `limits = { … }` of a listener.
pub(super) mod limits;
/// `[listener.NAME]`.
pub(super) mod listener;
/// `[middleware.NAME]`, whose keys a route can have too.
pub(super) mod middleware;
/// `[pool.NAME]`.
pub(super) mod pool;
/// What a pool says of TLS to its backends.
pub(super) mod pool_tls;
/// What a pool does with requests.
pub(super) mod pool_web;
/// `[[route]]`.
pub(super) mod route;
/// `[server]` and `[access_log]`.
pub(super) mod server;
/// What listeners and routes say of connections that are steered by their ClientHello.
pub(super) mod steer;
/// `[tls]`, and what listeners, routes and pools say of TLS.
pub(super) mod tls;

use super::table::Section;

/// The tables of the file, in the order of the reference.
pub(super) static SECTIONS: [&Section; 13] = [
    &kernel::KERNEL,
    &listener::LISTENER,
    &route::ROUTE,
    &middleware::MIDDLEWARE,
    &pool::POOL,
    &limit::LIMIT,
    &ban::BAN,
    &ban::AUTO_BAN,
    &tls::TLS,
    &acme::ACME,
    &server::SERVER,
    &server::ACCESS_LOG,
    &kernel::ADMIN,
];
