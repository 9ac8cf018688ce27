//! What is tried again.

use http::{Method, StatusCode};

use super::cause::Cause;
use super::cut::BodyError;
use super::origin::Unconnected;
use crate::config::RetryConfig;

/// Why a try has failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No connection came about: nothing was sent.
    Unconnected(Unconnected),
    /// The connection broke after something was sent, before the answer's head was there. Of a `worn` one, which had been
    /// idle, the backend may not have read it.
    Reset { worn: bool },
    /// A connection that others had used turned out to be closed, or about to be: nothing was processed.
    Closed,
    /// No answer in time.
    TooSlow,
    /// What came is no HTTP.
    Protocol,
    /// The request has no form in what the backend speaks.
    Request,
    /// The client's body was cut: nobody but the client is to blame.
    Body(BodyError),
}

impl Trouble {
    /// Whether it speaks against the backend.
    pub(super) fn blames(&self) -> bool {
        !matches!(self, Self::Body(_) | Self::Request | Self::Closed | Self::Reset { worn: true })
    }

    /// Whether the configuration wants another try.
    pub(super) fn again(&self, retry: &RetryConfig, method: &Method) -> bool {
        let repeatable = || retry.methods.contains(method);
        match self {
            Self::Unconnected(_) | Self::Closed => retry.on_connect,
            Self::Reset { .. } => retry.on_reset && repeatable(),
            Self::TooSlow => retry.on_timeout && repeatable(),
            Self::Protocol | Self::Body(_) | Self::Request => false,
        }
    }

    /// What the client is told.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::Unconnected(Unconnected::Refused(_) | Unconnected::NoHttp2) => Cause::ConnectFailed,
            Self::Unconnected(Unconnected::TooSlow) => Cause::ConnectTimeout,
            Self::Unconnected(Unconnected::Stranger(_)) => Cause::BackendCertificate,
            Self::Unconnected(Unconnected::NoTls(_)) => Cause::BackendTls,
            Self::Reset { .. } | Self::Closed => Cause::BackendReset,
            Self::TooSlow => Cause::FirstByteTimeout,
            Self::Protocol => Cause::BackendProtocol,
            Self::Request => Cause::BadTarget,
            Self::Body(error) => (*error).into(),
        }
    }
}

/// Whether a request may have to be sent again after some of it was sent: then its body is kept.
pub(super) fn keeps(retry: &RetryConfig, method: &Method) -> bool {
    let may = retry.on_reset || retry.on_timeout || !retry.on_status.is_empty();
    retry.attempts > 0 && may && retry.methods.contains(method)
}

/// Whether an answer with this status is not what the client gets, if another try can be made.
pub(super) fn refused(retry: &RetryConfig, method: &Method, status: StatusCode) -> bool {
    retry.on_status.contains(&status.as_u16()) && retry.methods.contains(method)
}

/// Whether a status speaks against the backend.
pub(super) fn blames(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_been_processed_is_repeated_for_methods_that_may_be_only() {
        let retry = RetryConfig { on_timeout: true, ..RetryConfig::default() };
        let reset = Trouble::Reset { worn: false };
        let unconnected = Trouble::Unconnected(Unconnected::TooSlow);
        assert!(reset.again(&retry, &Method::GET) && !reset.again(&retry, &Method::POST));
        assert!(
            Trouble::TooSlow.again(&retry, &Method::PUT) && !Trouble::TooSlow.again(&retry, &Method::PATCH)
        );
        assert!(unconnected.again(&retry, &Method::POST));
        assert!(!Trouble::Protocol.again(&retry, &Method::GET));
        assert!(!Trouble::Body(BodyError::Gone).again(&retry, &Method::GET));
    }

    #[test]
    fn the_client_and_a_worn_connection_speak_against_nobody() {
        assert!(!Trouble::Body(BodyError::TooSlow).blames());
        assert!(!Trouble::Reset { worn: true }.blames());
        assert!(Trouble::Reset { worn: false }.blames());
        assert!(blames(StatusCode::SERVICE_UNAVAILABLE) && !blames(StatusCode::INTERNAL_SERVER_ERROR));
    }
}
