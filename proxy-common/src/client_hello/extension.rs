//! Extensions: their numbers, and one after another.

use super::cursor::Cursor;

/// Numbers of extensions (IANA, "TLS ExtensionType Values").
pub mod id {
    /// `server_name` (RFC 6066 §3).
    pub const SERVER_NAME: u16 = 0;
    /// `supported_groups` (RFC 8446 §4.2.7); once "elliptic_curves".
    pub const SUPPORTED_GROUPS: u16 = 10;
    /// `ec_point_formats` (RFC 8422 §5.1.2).
    pub const EC_POINT_FORMATS: u16 = 11;
    /// `signature_algorithms` (RFC 8446 §4.2.3).
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    /// `application_layer_protocol_negotiation` (RFC 7301).
    pub const ALPN: u16 = 16;
    /// `supported_versions` (RFC 8446 §4.2.1).
    pub const SUPPORTED_VERSIONS: u16 = 43;
    /// `key_share` (RFC 8446 §4.2.8).
    pub const KEY_SHARE: u16 = 51;
    /// `encrypted_client_hello` (RFC 9849 §5).
    pub const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// An extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension<'a> {
    /// Its number.
    pub id: u16,
    /// What stands in it.
    pub body: &'a [u8],
}

/// Extensions, in the client's order. Ends before the first one that is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a>(pub(super) Cursor<'a>);

impl<'a> Extensions<'a> {
    /// How many bytes are left: none after the last one, unless it is cut off.
    #[inline(always)]
    pub(super) fn left(&self) -> usize {
        self.0.0.len()
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Extension<'a>> {
        let mut ahead = self.0;
        let id = ahead.word()?;
        let body = ahead.long()?;
        self.0 = ahead;
        Some(Extension { id, body })
    }
}
