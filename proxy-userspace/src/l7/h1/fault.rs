//! What can be wrong with a head.

use http::StatusCode;

use crate::l7::cause::Cause;

/// What is wrong with a head, or with trailers. The answer to such a request has [`Fault::status`], and the connection
/// ends: where the next message would begin is anyone's guess.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// A line that ends without CR (RFC 9112 §2.2).
    #[error("a line ends without CR")]
    BareLf,
    /// Too many empty lines before it (RFC 9112 §2.2).
    #[error("empty lines where a request should begin")]
    EmptyLines,
    /// Not a method, a target and a version, with one space between them (RFC 9112 §3).
    #[error("the first line is malformed")]
    FirstLine,
    /// Another version (RFC 9110 §15.6.6).
    #[error("not HTTP/1.1 or HTTP/1.0")]
    Version,
    /// CONNECT (RFC 9110 §9.3.6).
    #[error("CONNECT is not served")]
    Connect,
    /// A method that is too long.
    #[error("the method is too long")]
    Method,
    /// A target that is none, or not for this method (RFC 9112 §3.2).
    #[error("the request target is malformed")]
    Target,
    /// A target that is too long (RFC 9110 §15.5.15).
    #[error("the request target is too long")]
    TargetTooLong,
    /// More bytes than allowed (RFC 6585 §5).
    #[error("the head is too long")]
    TooLong,
    /// More fields than allowed (RFC 6585 §5).
    #[error("there are too many fields")]
    TooMany,
    /// A field without a colon, with a space before it, or with bytes that may not be in it (RFC 9112 §5).
    #[error("a field is malformed")]
    Field,
    /// A field that goes on in the next line (RFC 9112 §5.2).
    #[error("a field is folded")]
    Folded,
    /// No Host, or two, or one that is none (RFC 9112 §3.2).
    #[error("there must be one Host, and it must name a host")]
    Host,
    /// A Content-Length that is no number, or two of them (RFC 9112 §6.3).
    #[error("there must be one Content-Length, and it must be a number")]
    Length,
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.1).
    #[error("Content-Length beside Transfer-Encoding")]
    LengthAndEncoding,
    /// Transfer-Encoding in HTTP/1.0, or twice (RFC 9112 §6.1).
    #[error("Transfer-Encoding where it cannot be")]
    Encoding,
    /// A transfer coding other than chunked (RFC 9112 §6.1).
    #[error("a transfer coding other than chunked")]
    EncodingUnknown,
    /// An expectation other than 100-continue (RFC 9110 §10.1.1).
    #[error("an expectation other than 100-continue")]
    Expectation,
    /// Chunks that are none (RFC 9112 §7.1).
    #[error("the body is not framed as chunks are")]
    Chunks,
    /// It did not come in time.
    #[error("the head did not come in time")]
    TooSlow,
    /// A 101 that nobody asked for (RFC 9110 §7.8).
    #[error("the protocol was switched to what was not asked for")]
    Switched,
}

impl Fault {
    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Method | Self::EncodingUnknown => StatusCode::NOT_IMPLEMENTED,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => self.cause().status(),
        }
    }

    /// Why it is refused, as metrics and the access log say it.
    pub fn cause(self) -> Cause {
        match self {
            Self::TooSlow => Cause::SlowHead,
            Self::TargetTooLong => Cause::UriTooLong,
            Self::TooLong | Self::TooMany => Cause::HeadTooLong,
            Self::Connect => Cause::NoTunnels,
            Self::Target => Cause::BadTarget,
            Self::Host => Cause::BadHost,
            Self::Length
            | Self::LengthAndEncoding
            | Self::Encoding
            | Self::EncodingUnknown
            | Self::Chunks => Cause::BadBody,
            _ => Cause::BadRequest,
        }
    }
}
