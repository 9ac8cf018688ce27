//! A ClientHello.

use super::cursor::Cursor;
use super::extension::Extensions;
use super::fault::{NoHello, Part};
use super::known::{Ech, Known};
use super::lists::{KeyShare, KeyShares, Protocols, Words, is_grease};
use super::record::message_length;
use super::server_name::ServerName;

/// Bytes of a message's type and length (RFC 8446 §4).
const HEAD: usize = 4;
/// Bytes of `random`.
const RANDOM: usize = 32;
/// The longest `legacy_session_id`.
const MOST_SESSION_ID: usize = 32;

/// A ClientHello, in place. All of its lengths agree, and so do those of the extensions that are read here.
#[derive(Clone, Copy, Debug)]
pub struct ClientHello<'a> {
    legacy_version: u16,
    session_id: &'a [u8],
    cipher_suites: Words<'a>,
    compression_methods: &'a [u8],
    extensions: Extensions<'a>,
    known: Known<'a>,
}

impl<'a> ClientHello<'a> {
    /// Out of a message of a handshake: all of it, with its type and length.
    ///
    /// # Errors
    /// It is another message, or is not all there, or contradicts itself.
    pub fn read(message: &'a [u8]) -> Result<Self, NoHello> {
        let mut left = Cursor(message);
        let cut = |left: Cursor<'_>| NoHello::Truncated(message.len() - left.0.len());
        let Some(head) = left.take(HEAD) else { return Err(NoHello::Truncated(message.len())) };
        let length = message_length([head[0], head[1], head[2], head[3]])?;
        if left.0.len() > length {
            return Err(NoHello::Malformed(Part::Message));
        }
        // What is missing is told from what is too short for its own content.
        let whole = left.0.len() == length;
        let missing = |left: Cursor<'_>, part| if whole { NoHello::Malformed(part) } else { cut(left) };

        let legacy_version = left.word().ok_or_else(|| missing(left, Part::Message))?;
        left.take(RANDOM).ok_or_else(|| missing(left, Part::Message))?;
        let session_id = left.short().ok_or_else(|| missing(left, Part::SessionId))?;
        let suites = left.long().ok_or_else(|| missing(left, Part::CipherSuites))?;
        let compression_methods = left.short().ok_or_else(|| missing(left, Part::CompressionMethods))?;
        // Before TLS 1.2 there may be none, and then no length either (RFC 5246 §7.4.1.2).
        let extensions = match left.is_empty() && whole {
            true => &[],
            false => left.long().ok_or_else(|| missing(left, Part::Extensions))?,
        };
        if !whole {
            return Err(cut(left));
        }
        for (wrong, part) in [
            (session_id.len() > MOST_SESSION_ID, Part::SessionId),
            (suites.is_empty() || !suites.len().is_multiple_of(2), Part::CipherSuites),
            (compression_methods.is_empty(), Part::CompressionMethods),
            (!left.is_empty(), Part::Extensions),
        ] {
            if wrong {
                return Err(NoHello::Malformed(part));
            }
        }
        let extensions = Extensions(Cursor(extensions));
        let known = known(extensions)?;
        let cipher_suites = Words(suites);
        Ok(Self { legacy_version, session_id, cipher_suites, compression_methods, extensions, known })
    }

    /// `legacy_version`: the highest version of a client that sends no `supported_versions`.
    pub fn legacy_version(&self) -> u16 {
        self.legacy_version
    }

    /// The highest version that the client speaks.
    pub fn version(&self) -> u16 {
        self.supported_versions().without_grease().max().unwrap_or(self.legacy_version)
    }

    /// `legacy_session_id`.
    pub fn session_id(&self) -> &'a [u8] {
        self.session_id
    }

    /// `cipher_suites`, the dearest first, with those that stand for nothing.
    pub fn cipher_suites(&self) -> Words<'a> {
        self.cipher_suites
    }

    /// `legacy_compression_methods`.
    pub fn compression_methods(&self) -> &'a [u8] {
        self.compression_methods
    }

    /// All extensions, in the client's order.
    pub fn extensions(&self) -> Extensions<'a> {
        self.extensions
    }

    /// Numbers of the extensions, in the client's order, without those that stand for nothing.
    pub fn extension_ids(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.extensions.map(|extension| extension.id).filter(|&id| !is_grease(id))
    }

    /// The host that the client names.
    pub fn server_name(&self) -> Option<ServerName<'a>> {
        self.known.server_name
    }

    /// Whether the client has sent `server_name`, even one that names no host.
    pub fn has_server_name(&self) -> bool {
        self.known.has_server_name()
    }

    /// Protocols that the client would speak, the dearest first.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let protocols: Option<Protocols<'a>> = self.known.protocols;
        protocols.into_iter().flatten()
    }

    /// `supported_versions`.
    pub fn supported_versions(&self) -> Words<'a> {
        self.known.versions
    }

    /// `supported_groups`.
    pub fn groups(&self) -> Words<'a> {
        self.known.groups
    }

    /// `signature_algorithms`.
    pub fn signature_algorithms(&self) -> Words<'a> {
        self.known.signature_algorithms
    }

    /// `ec_point_formats`.
    pub fn point_formats(&self) -> &'a [u8] {
        self.known.point_formats
    }

    /// Keys that the client has made.
    pub fn key_shares(&self) -> impl Iterator<Item = KeyShare<'a>> + use<'a> {
        let shares: Option<KeyShares<'a>> = self.known.key_shares;
        shares.into_iter().flatten()
    }

    /// Whether the client hides its real ClientHello.
    pub fn ech(&self) -> Option<Ech> {
        self.known.ech
    }
}

fn known(extensions: Extensions<'_>) -> Result<Known<'_>, NoHello> {
    let mut known = Known::default();
    let mut rest = extensions;
    for extension in rest.by_ref() {
        known.take(extension)?;
    }
    match rest.left() {
        0 => Ok(known),
        _ => Err(NoHello::Malformed(Part::Extensions)),
    }
}

#[cfg(test)]
#[path = "hello_tests.rs"]
mod tests;
