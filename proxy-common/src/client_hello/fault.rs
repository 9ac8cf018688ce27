//! Why there is no ClientHello.

use core::fmt;

/// Why there is no ClientHello.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoHello {
    /// These are no records of TLS.
    NotTls,
    /// An alert came.
    Alert,
    /// A record came that does not carry a handshake: its content type (RFC 8446 §5.1).
    ContentType(u8),
    /// A record without content, which no handshake has (RFC 8446 §5.1).
    EmptyRecord,
    /// A record with more than 2^14 bytes of content: how many.
    RecordTooLong(u16),
    /// Another message of a handshake: its type (RFC 8446 §4).
    NotAClientHello(u8),
    /// The message is longer than anybody's: how many bytes.
    TooLong(u32),
    /// It goes on in another record.
    Split,
    /// It ends where more should follow: after how many bytes.
    Truncated(usize),
    /// Lengths in it contradict each other.
    Malformed(Part),
    /// An extension is not what its number says it is.
    Extension(u16),
    /// An extension comes twice (RFC 8446 §4.2): two readers may believe two things.
    Repeated(u16),
}

/// A part of a ClientHello.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// The length of the message.
    Message,
    /// `legacy_session_id`: at most 32 bytes.
    SessionId,
    /// `cipher_suites`: two bytes each.
    CipherSuites,
    /// `legacy_compression_methods`: at least one.
    CompressionMethods,
    /// The list of extensions.
    Extensions,
}

impl fmt::Display for NoHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTls => f.write_str("no TLS"),
            Self::Alert => f.write_str("an alert instead of a ClientHello"),
            Self::ContentType(number) => {
                write!(f, "a record of content type {number}, 22 carries a handshake")
            }
            Self::EmptyRecord => f.write_str("an empty record"),
            Self::RecordTooLong(length) => write!(f, "a record of {length} bytes, 16384 is the most"),
            Self::NotAClientHello(number) => write!(f, "a message of type {number}, a ClientHello is 1"),
            Self::TooLong(length) => write!(f, "a ClientHello of {length} bytes, 65536 is the most"),
            Self::Split => f.write_str("a ClientHello in several records"),
            Self::Truncated(at) => write!(f, "a ClientHello that ends after {at} bytes"),
            Self::Malformed(part) => write!(f, "a ClientHello with wrong {part}"),
            Self::Extension(id) => write!(f, "a ClientHello whose extension {id:#06x} is malformed"),
            Self::Repeated(id) => write!(f, "a ClientHello with extension {id:#06x} twice"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Message => "length",
            Self::SessionId => "session id",
            Self::CipherSuites => "cipher suites",
            Self::CompressionMethods => "compression methods",
            Self::Extensions => "extensions",
        })
    }
}

impl core::error::Error for NoHello {}
