//! What stands in the extensions that are read. Others are counted, and skipped.

use super::cursor::{Cursor, only_long, only_short};
use super::extension::{Extension, id};
use super::fault::NoHello;
use super::lists::{KeyShares, Protocols, Words};
use super::server_name::ServerName;

/// How a client hides its real ClientHello (RFC 9849 §5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ech {
    /// This one hides another, or pretends to.
    Outer,
    /// This one was hidden.
    Inner,
}

/// What stands in the extensions that are read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Known<'a> {
    /// Which of them were there: one bit each.
    seen: u8,
    pub(super) server_name: Option<ServerName<'a>>,
    pub(super) groups: Words<'a>,
    pub(super) point_formats: &'a [u8],
    pub(super) signature_algorithms: Words<'a>,
    pub(super) protocols: Option<Protocols<'a>>,
    pub(super) versions: Words<'a>,
    pub(super) key_shares: Option<KeyShares<'a>>,
    pub(super) ech: Option<Ech>,
}

impl<'a> Known<'a> {
    /// Takes in an extension.
    pub(super) fn take(&mut self, extension: Extension<'a>) -> Result<(), NoHello> {
        let Some(bit) = bit(extension.id) else { return Ok(()) };
        if self.seen & bit != 0 {
            return Err(NoHello::Repeated(extension.id));
        }
        self.seen |= bit;
        self.read(extension).ok_or(NoHello::Extension(extension.id))
    }

    fn read(&mut self, Extension { id, body }: Extension<'a>) -> Option<()> {
        match id {
            id::SERVER_NAME => self.server_name = ServerName::read(body)?,
            id::SUPPORTED_GROUPS => self.groups = words(only_long(body)?)?,
            id::EC_POINT_FORMATS => self.point_formats = only_short(body)?,
            id::SIGNATURE_ALGORITHMS => self.signature_algorithms = words(only_long(body)?)?,
            id::ALPN => self.protocols = Some(protocols(body)?),
            id::SUPPORTED_VERSIONS => self.versions = words(only_short(body)?)?,
            id::KEY_SHARE => self.key_shares = Some(key_shares(body)?),
            id::ENCRYPTED_CLIENT_HELLO => self.ech = Some(ech(body)?),
            _ => {}
        }
        Some(())
    }

    /// Whether the client has sent `server_name`, even one that names no host.
    pub(super) fn has_server_name(&self) -> bool {
        bit(id::SERVER_NAME).is_some_and(|bit| self.seen & bit != 0)
    }
}

/// The bit of an extension that is read.
const fn bit(id: u16) -> Option<u8> {
    Some(match id {
        id::SERVER_NAME => 1,
        id::SUPPORTED_GROUPS => 1 << 1,
        id::EC_POINT_FORMATS => 1 << 2,
        id::SIGNATURE_ALGORITHMS => 1 << 3,
        id::ALPN => 1 << 4,
        id::SUPPORTED_VERSIONS => 1 << 5,
        id::KEY_SHARE => 1 << 6,
        id::ENCRYPTED_CLIENT_HELLO => 1 << 7,
        _ => return None,
    })
}

fn words(list: &[u8]) -> Option<Words<'_>> {
    list.len().is_multiple_of(2).then_some(Words(list))
}

/// All of them, or none: what a list hands out later it was seen to have. Empty names are let through: whoever judges
/// the handshake refuses them.
fn protocols(body: &[u8]) -> Option<Protocols<'_>> {
    let list = Protocols(Cursor(only_long(body)?));
    let mut rest = list;
    while rest.next().is_some() {}
    rest.0.is_empty().then_some(list)
}

fn key_shares(body: &[u8]) -> Option<KeyShares<'_>> {
    let list = KeyShares(Cursor(only_long(body)?));
    let mut rest = list;
    while rest.next().is_some() {}
    rest.0.is_empty().then_some(list)
}

fn ech(body: &[u8]) -> Option<Ech> {
    match body {
        [0, ..] => Some(Ech::Outer),
        [1] => Some(Ech::Inner),
        _ => None,
    }
}
