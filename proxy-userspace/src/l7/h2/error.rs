//! What ends a stream or a connection before its time (RFC 9113 §5.4, §7).

/// An error code (RFC 9113 §7).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorCode {
    /// No error: a shutdown in good order.
    NoError = 0x0,
    /// The protocol was not kept.
    Protocol = 0x1,
    /// The proxy, or what it forwards to, has failed.
    Internal = 0x2,
    /// Flow control was not kept.
    FlowControl = 0x3,
    /// Our settings were not acknowledged in time.
    SettingsTimeout = 0x4,
    /// A frame for a stream whose sender had ended it.
    StreamClosed = 0x5,
    /// A frame of a wrong size.
    FrameSize = 0x6,
    /// A stream that was not looked at.
    RefusedStream = 0x7,
    /// A stream that is no longer wanted.
    Cancel = 0x8,
    /// A field block that cannot be read.
    Compression = 0x9,
    /// Behaviour that costs more than it can be worth.
    EnhanceYourCalm = 0xb,
}

/// The connection cannot go on (§5.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why} ({code:?})")]
pub struct ConnectionError {
    /// What GOAWAY says.
    pub code: ErrorCode,
    /// What its debug data says.
    pub why: &'static str,
}

/// A [`ConnectionError`].
pub fn broken<T>(code: ErrorCode, why: &'static str) -> Result<T, ConnectionError> {
    Err(ConnectionError { code, why })
}
