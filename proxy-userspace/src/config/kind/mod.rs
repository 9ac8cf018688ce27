//! The kinds of values: how each is read, and how it is described.

/// Addresses to bind, of backends, and of the balancer itself.
mod address;
/// Lists.
mod list;
/// Numbers, durations, ports and statuses: everything with a range.
mod number;
/// Texts: paths, names, file modes.
mod text;
/// Words from a fixed set.
mod words;
/// A value that is not what is wanted.
mod wrong;

pub(super) use address::{BackendAddress, Bind, HostAddress};
pub(super) use list::{List, OneOrMore};
pub(super) use number::{Flag, Lasting, Number, Port, PortRange, Share, StatusRange};
pub(super) use text::{FileMode, HostName, HttpPath, Interface, Name, Path, SocketPath, check_name};
pub(super) use words::{Word, Words};
pub(super) use wrong::WrongKind;
