//! Why the proxy answers by itself, or cuts an answer: one list for statuses, metrics and the access log.

use http::StatusCode;

use super::cut::BodyError;

/// Why the proxy answers by itself, or cuts an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// The request is no HTTP.
    BadRequest,
    /// Its path is none.
    BadTarget,
    /// Its authority is none, or there are two.
    BadHost,
    /// Its body is not framed as the protocol wants.
    BadBody,
    /// Its path cannot be changed as the route wants.
    BadRewrite,
    /// CONNECT: this is no proxy that clients choose (RFC 9110 §9.3.6).
    NoTunnels,
    /// The request target is too long.
    UriTooLong,
    /// The head is too long, or has too many fields.
    HeadTooLong,
    /// The body is too long.
    BodyTooLong,
    /// The head came too slowly.
    SlowHead,
    /// The body came too slowly.
    SlowBody,
    /// The connection is not for this host: the client should open another (RFC 9110 §15.5.20).
    Misdirected,
    /// The request has come round through proxies like this one.
    Loop,
    /// No route wants it.
    NoRoute,
    /// The route does not want this client.
    Denied,
    /// The client has not proved who it is.
    Unauthorized,
    /// The proxy has too much to do, or the listener too many connections.
    Overload,
    /// The proxy is about to stop.
    Stopping,
    /// No backend of the pool can be used.
    NoBackend,
    /// The pool's queue is full.
    QueueFull,
    /// The request has waited too long in the pool's queue.
    QueueTimeout,
    /// The backend cannot be connected to.
    ConnectFailed,
    /// The backend took too long to connect to.
    ConnectTimeout,
    /// The backend is not who it should be, by its certificate.
    BackendCertificate,
    /// TLS with the backend failed.
    BackendTls,
    /// The backend closed the connection before its answer was there.
    BackendReset,
    /// The backend's answer is no HTTP.
    BackendProtocol,
    /// The backend's answer took too long to begin.
    FirstByteTimeout,
    /// The answer took too long as a whole.
    RequestTimeout,
    /// The answer, or a tunnel, stood still for too long.
    IdleTimeout,
    /// The client has gone.
    ClientGone,
    /// It is more than a limit lets through.
    Limited,
    /// Its client is banned.
    Banned,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 33] = [
        Self::BadRequest,
        Self::BadTarget,
        Self::BadHost,
        Self::BadBody,
        Self::BadRewrite,
        Self::NoTunnels,
        Self::UriTooLong,
        Self::HeadTooLong,
        Self::BodyTooLong,
        Self::SlowHead,
        Self::SlowBody,
        Self::Misdirected,
        Self::Loop,
        Self::NoRoute,
        Self::Denied,
        Self::Unauthorized,
        Self::Overload,
        Self::Stopping,
        Self::NoBackend,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::BackendCertificate,
        Self::BackendTls,
        Self::BackendReset,
        Self::BackendProtocol,
        Self::FirstByteTimeout,
        Self::RequestTimeout,
        Self::IdleTimeout,
        Self::ClientGone,
        Self::Limited,
        Self::Banned,
    ];

    /// Their words, in the same order.
    pub const WORDS: [&'static str; Self::ALL.len()] = {
        let mut words = [""; Self::ALL.len()];
        let mut at = 0;
        while at < words.len() {
            words[at] = Self::ALL[at].word();
            at += 1;
        }
        words
    };

    /// The word for it in metrics and in the access log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BadTarget => "bad_target",
            Self::BadHost => "bad_host",
            Self::BadBody => "bad_body",
            Self::BadRewrite => "bad_rewrite",
            Self::NoTunnels => "no_tunnels",
            Self::UriTooLong => "uri_too_long",
            Self::HeadTooLong => "head_too_long",
            Self::BodyTooLong => "body_too_long",
            Self::SlowHead => "slow_head",
            Self::SlowBody => "slow_body",
            Self::Misdirected => "misdirected",
            Self::Loop => "loop",
            Self::NoRoute => "no_route",
            Self::Denied => "denied",
            Self::Unauthorized => "unauthorized",
            Self::Overload => "overload",
            Self::Stopping => "stopping",
            Self::NoBackend => "no_backend",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::BackendCertificate => "backend_certificate",
            Self::BackendTls => "backend_tls",
            Self::BackendReset => "backend_reset",
            Self::BackendProtocol => "backend_protocol",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::ClientGone => "client_gone",
            Self::Limited => "limited",
            Self::Banned => "banned",
        }
    }

    /// The status of the answer, if there is still one to give. A client that has gone sees none: 499 stands for it
    /// in the access log, as with nginx.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::BadTarget | Self::BadHost | Self::BadBody => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Denied | Self::Banned => StatusCode::FORBIDDEN,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoTunnels => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowHead | Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ClientGone => CLIENT_GONE,
            Self::BadRewrite => StatusCode::INTERNAL_SERVER_ERROR,
            Self::ConnectFailed
            | Self::BackendCertificate
            | Self::BackendTls
            | Self::BackendReset
            | Self::BackendProtocol => StatusCode::BAD_GATEWAY,
            Self::Overload | Self::Stopping | Self::NoBackend | Self::QueueFull | Self::QueueTimeout => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::ConnectTimeout | Self::FirstByteTimeout | Self::RequestTimeout | Self::IdleTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Loop => StatusCode::LOOP_DETECTED,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// Nothing of the request was processed, and the same request may do better soon: the answer says when.
    pub const fn passes(self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE)
    }
}

const CLIENT_GONE: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// Of a request's body that ended before its end.
impl From<BodyError> for Cause {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Gone => Self::ClientGone,
            BodyError::Framing | BodyError::Convert => Self::BadBody,
            BodyError::TooLong => Self::BodyTooLong,
            BodyError::TooSlow => Self::SlowBody,
            BodyError::Trailers => Self::HeadTooLong,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_number_and_a_word_of_its_own() {
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number, "{cause:?}");
            assert_eq!(Cause::ALL.iter().filter(|other| other.word() == cause.word()).count(), 1);
        }
    }
}
