//! Texts: paths, names, file modes.

use std::fmt;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::wrong::{text, wrong_value};
use crate::config::address::SOCKET_PATH_BYTES;
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};

/// The longest name of a listener or pool, in bytes: with `.v6` it fits into the kernel's table of names.
const NAME_BYTES: usize = 60;
/// The longest name of an interface, in bytes (`IFNAMSIZ`, with its NUL: netdevice(7)).
const INTERFACE_BYTES: usize = 15;

/// Why a text will not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(in crate::config) enum BadText {
    #[error("a name has 1 to {NAME_BYTES} letters, digits, - and _")]
    Name,
    #[error("the name of an interface has 1 to {INTERFACE_BYTES} bytes, no space, / or :")]
    Interface,
    #[error("the path must be absolute")]
    RelativePath,
    #[error("the path of a socket has at most {SOCKET_PATH_BYTES} bytes")]
    LongSocketPath,
    #[error("a file mode is four octal digits from \"0000\" to \"0777\"")]
    Mode,
    #[error("a path on a backend begins with / and has no space or #")]
    HttpPath,
    #[error("a host is a name or an address, with a port or without, and has no space or /")]
    Host,
}

/// Whether a text can name a listener or pool.
pub(in crate::config) fn check_name(name: &str) -> Result<(), BadText> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let good = (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed);
    if good { Ok(()) } else { Err(BadText::Name) }
}

fn check_interface(name: &str) -> Result<(), BadText> {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
    let length = (1..=INTERFACE_BYTES).contains(&name.len());
    let good = length && name != "." && name != ".." && name.chars().all(allowed);
    if good { Ok(()) } else { Err(BadText::Interface) }
}

fn check_path(path: &str) -> Result<(), BadText> {
    if path.starts_with('/') && !path.contains('\0') { Ok(()) } else { Err(BadText::RelativePath) }
}

fn check_socket(path: &str) -> Result<(), BadText> {
    check_path(path)?;
    if path.len() <= SOCKET_PATH_BYTES { Ok(()) } else { Err(BadText::LongSocketPath) }
}

fn check_http_path(path: &str) -> Result<(), BadText> {
    let good = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if good { Ok(()) } else { Err(BadText::HttpPath) }
}

fn check_host(host: &str) -> Result<(), BadText> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let good = (1..=255).contains(&host.len()) && host.bytes().all(allowed);
    if good { Ok(()) } else { Err(BadText::Host) }
}

fn parse_mode(mode: &str) -> Result<u32, BadText> {
    let good = mode.len() == 4 && mode.starts_with('0') && mode.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if good { u32::from_str_radix(mode, 8).ok() } else { None };
    parsed.ok_or(BadText::Mode)
}

macro_rules! kind {
    ($(#[$meta:meta])* $kind:ident -> $value:ty, $wanted:literal, $example:literal, $pattern:literal, $parse:expr) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub(in crate::config) struct $kind;

        impl Kind for $kind {
            type Value = $value;

            fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<$value, Reported> {
                let text = text(place, $wanted, concat!("\"", $example, "\""), report)?;
                let parse: fn(&str) -> Result<$value, BadText> = $parse;
                parse(text).map_err(|reason| wrong_value(place, &reason as &dyn fmt::Display, None, report))
            }

            fn wanted(&self) -> String {
                $wanted.to_owned()
            }

            fn schema(&self) -> Json {
                json!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

kind! {
    /// The name of a listener or pool.
    Name -> Box<str>, "a name", "app", "^[A-Za-z0-9_-]{1,60}$", |text| check_name(text).map(|()| text.into())
}
kind! {
    /// The name of an interface.
    Interface -> Box<str>, "the name of an interface", "eth0", "^[^\\s/:]{1,15}$",
    |text| check_interface(text).map(|()| text.into())
}
kind! {
    /// An absolute path.
    Path -> PathBuf, "an absolute path", "/sys/fs/bpf/proxy-now", "^/", |text| check_path(text).map(|()| text.into())
}
kind! {
    /// The path of a Unix socket.
    SocketPath -> PathBuf, "an absolute path", "/run/proxy-now/admin.sock", "^/",
    |text| check_socket(text).map(|()| text.into())
}
kind! {
    /// Permission bits.
    FileMode -> u32, "a file mode", "0660", "^0[0-7]{3}$", parse_mode
}
kind! {
    /// Path and query of a request to a backend.
    HttpPath -> Box<str>, "a path", "/healthz", "^/", |text| check_http_path(text).map(|()| text.into())
}
kind! {
    /// What a Host header can say.
    HostName -> Box<str>, "the name of a host", "app.example.com", "^[A-Za-z0-9._:\\[\\]-]+$",
    |text| check_host(text).map(|()| text.into())
}
