//! The kinds of values: how each is read, and how it is described.

/// What CAs and DNS providers are told.
mod acme;
/// Addresses to bind, of backends, and of the balancer itself.
mod address;
/// What answers have, and what is decided by it.
mod answer;
/// What bans are told.
mod ban;
/// What limits are told.
mod limit;
/// Lists.
mod list;
/// Tables whose keys are names that the user gives.
mod map;
/// What middleware is told: users, media types, texts with variables.
mod middleware;
/// Numbers, durations, ports and statuses: everything with a range.
mod number;
/// Texts that a function reads.
mod parsed;
/// How many a second.
mod per_second;
/// What requests have: hosts, paths, methods, fields, networks of clients.
mod request;
/// Numbers of bytes.
mod size;
/// What a ClientHello has.
mod steer;
/// Texts: paths, names, file modes.
mod text;
/// What certificates are told.
mod tls;
/// Words from a fixed set.
mod words;
/// A value that is not what is wanted.
mod wrong;

pub(super) use acme::{EMAIL, ISSUER, NAME_SERVER, SOCKET_ADDRESS, Secret, WEB_ADDRESS};
pub(super) use address::{BackendAddress, Bind, HostAddress};
pub(super) use answer::{AccessLogTo, Condition, Failure, RetryOn, Status, TextOrFlag};
pub(super) use ban::BAN_LIST;
pub(super) use limit::{LISTENER_NAME, PER, RateOf};
pub(super) use list::{List, OneOrMore};
pub(super) use map::{Map, Named};
pub(super) use middleware::{
    BCRYPT, FIELD_TEMPLATE, MEDIA_TYPE, PATH_TEMPLATE, REALM, USER, check_hash, check_user,
};
pub(super) use number::{Flag, Lasting, MaybePort, Number, Port, PortOrFlag, PortRange, Share, StatusRange};
pub(super) use parsed::{Parsed, PlainText};
pub(super) use per_second::{PerSecond, PerSecondOrOff};
pub(super) use request::{
    COOKIE_NAME, FIELD_NAME, FIELD_VALUE, HOST_PATTERN, LOCATION, METHOD, NETWORK, PATH, REGEX, TEXT,
};
pub(super) use size::Size;
pub(super) use steer::{ALPN, CIPHER, GROUP, JA4};
pub(super) use text::{FileMode, HostName, HttpPath, Interface, Name, Path, SocketPath, check_name};
pub(super) use tls::{ONE_HOST, Ocsp};
pub(super) use words::{Word, Words};
pub(super) use wrong::WrongKind;
