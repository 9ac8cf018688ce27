//! What can be seen of a packet without a key (RFC 8999, RFC 9000 §17.2).

use super::fault::NoFlight;
use super::number::Cursor;

/// QUIC version 1.
pub const V1: u32 = 1;
/// QUIC version 2 (RFC 9369).
pub const V2: u32 = 0x6b33_43cf;

/// A packet with a long head: the other kind comes later in a connection.
const LONG: u8 = 0x80;
/// The longest connection id of the versions that are known.
const MOST_ID: usize = 20;

/// What a packet with a long head is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It brings the ClientHello, or a part of it.
    Initial,
    /// Early data.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// A server wants to see that the client is there.
    Retry,
}

/// The head of one packet of a known version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// [`V1`] or [`V2`].
    pub version: u32,
    /// What it is.
    pub kind: Kind,
    /// Whom it is for; of a client's first packets: what it made up, and keys are made of.
    pub destination: &'a [u8],
    /// Where its packet number begins.
    pub number_at: usize,
    /// Where it ends, and the next one of the datagram begins.
    pub end: usize,
}

impl<'a> Head<'a> {
    /// Of the first packet in these bytes.
    ///
    /// # Errors
    /// It is not such a packet, or not all there.
    pub fn read(bytes: &'a [u8]) -> Result<Self, NoFlight> {
        let mut rest = Cursor(bytes);
        let first = rest.byte().filter(|first| first & LONG != 0).ok_or(NoFlight::NotInitial)?;
        let version = rest.version().ok_or(NoFlight::NotInitial)?;
        // All versions have these (RFC 8999 §5.1).
        let destination = rest.short().ok_or(NoFlight::NotInitial)?;
        let source = rest.short().ok_or(NoFlight::NotInitial)?;
        let kind = match version {
            // Servers alone negotiate versions (RFC 9000 §17.2.1).
            0 => return Err(NoFlight::NotInitial),
            V1 => first >> 4 & 3,
            V2 => (first >> 4).wrapping_sub(1) & 3,
            other => return Err(NoFlight::Version(other)),
        };
        let kind = [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry][usize::from(kind)];
        if destination.len() > MOST_ID || source.len() > MOST_ID {
            return Err(NoFlight::Malformed);
        }
        if kind == Kind::Retry {
            return Ok(Self { version, kind, destination, number_at: bytes.len(), end: bytes.len() });
        }
        if kind == Kind::Initial {
            rest.long().ok_or(NoFlight::Malformed)?;
        }
        let length = rest.number().ok_or(NoFlight::Malformed)?;
        let number_at = bytes.len() - rest.0.len();
        rest.take(length).ok_or(NoFlight::Malformed)?;
        let end = bytes.len() - rest.0.len();
        Ok(Self { version, kind, destination, number_at, end })
    }
}
