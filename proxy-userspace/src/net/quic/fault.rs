//! Why there is no ClientHello.

use std::fmt;

use proxy_common::client_hello::NoHello;

/// Why a datagram, or a flow, has no ClientHello.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoFlight {
    /// It does not begin like a packet of QUIC that opens a connection.
    NotInitial,
    /// A version whose keys are not known here.
    Version(u32),
    /// An Initial packet in a datagram of fewer than 1200 bytes (RFC 9000 §14.1).
    TooShort(usize),
    /// The keys that its connection id makes do not open it.
    Sealed,
    /// It contradicts itself, or brings what no Initial packet may.
    Malformed,
    /// The message is longer than those that are read.
    TooLong,
    /// The client has closed the connection.
    Closed,
    /// What it brings is no ClientHello.
    Hello(NoHello),
}

impl fmt::Display for NoFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInitial => f.write_str("no Initial packet of QUIC"),
            Self::Version(version) => write!(f, "version {version:#010x} of QUIC, which is not known here"),
            Self::TooShort(bytes) => {
                write!(f, "an Initial packet in a datagram of {bytes} bytes, 1200 is the least")
            }
            Self::Sealed => f.write_str("an Initial packet that its keys do not open"),
            Self::Malformed => f.write_str("an Initial packet with wrong content"),
            Self::TooLong => f.write_str("a ClientHello that is longer than 16384 bytes"),
            Self::Closed => f.write_str("a connection that the client has closed"),
            Self::Hello(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for NoFlight {}
