//! Why there is no handshake: for metrics, for the log, and for the client.

use rustls::server::AcceptedAlert;
use rustls::{Error, PeerIncompatible};

use crate::l7::refuse::Alert;
use crate::net::tls::Fault;
use crate::telemetry::handshakes::Failure;
use crate::tls::{Denied, Refusal};

/// What a client is told that speaks HTTP without TLS. It understands this much.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
    content-length: 69\r\n\r\n400 Bad Request\nThis port speaks HTTPS: use https:// in the address.\n";

/// Why there is no handshake.
#[derive(Debug)]
pub(super) struct Failed {
    /// For metrics.
    pub(super) why: Failure,
    /// For the log.
    pub(super) text: Box<str>,
    /// For the client: an alert, most often. Empty: it was told, or is not there.
    pub(super) last_words: Vec<u8>,
}

impl Failed {
    fn new(why: Failure, text: impl Into<Box<str>>) -> Self {
        Self { why, text: text.into(), last_words: Vec::new() }
    }

    /// It took too long.
    pub(super) fn late() -> Self {
        Self::new(Failure::Timeout, "it took too long")
    }

    /// It began with HTTP.
    pub(super) fn plain_http() -> Self {
        let failed = Self::new(Failure::PlainHttp, "the client speaks HTTP without TLS");
        Self { last_words: PLAIN_HTTP.to_vec(), ..failed }
    }

    /// What it says first can be answered, and not understood.
    pub(super) fn illegible(text: impl Into<Box<str>>) -> Self {
        Self { last_words: Alert::DecodeError.record().to_vec(), ..Self::new(Failure::Protocol, text) }
    }

    /// There is nothing to serve it with.
    pub(super) fn refused(refusal: Refusal) -> Self {
        let why = match refusal {
            Refusal::UnknownName => Failure::UnknownName,
            Refusal::NoName => Failure::NoName,
            Refusal::NoCertificate => Failure::NoCertificate,
            Refusal::NoProof => Failure::NoProof,
        };
        Self { last_words: refusal.record().to_vec(), ..Self::new(why, refusal.to_string()) }
    }

    /// No certificate could be got for the name.
    pub(super) fn denied(denied: &Denied) -> Self {
        let why = match denied {
            Denied::NotPermitted => Failure::NotPermitted,
            Denied::TooMany | Denied::Failed(_) => Failure::NotGot,
        };
        let failed = Self::new(why, denied.to_string());
        Self { last_words: Refusal::UnknownName.record().to_vec(), ..failed }
    }

    /// What was said is not understood, or cannot be agreed to; with an alert that says so.
    pub(super) fn with_alert(error: &Error, mut alert: AcceptedAlert) -> Self {
        let mut failed = Self::new(why(error), error.to_string());
        // A vector takes all there is.
        let _ = alert.write_all(&mut failed.last_words);
        failed
    }
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Closed | Fault::Io(_) => Self::new(Failure::Closed, fault.to_string()),
            Fault::Tls(error) => Self::new(why(&error), error.to_string()),
        }
    }
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        Fault::Io(error).into()
    }
}

fn why(error: &Error) -> Failure {
    match error {
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => Failure::Version,
        Error::PeerIncompatible(_) => Failure::Incompatible,
        Error::NoApplicationProtocol => Failure::Alpn,
        Error::NoCertificatesPresented => Failure::ClientCertificateMissing,
        Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => Failure::ClientCertificate,
        Error::AlertReceived(_) => Failure::Alert,
        Error::General(_)
        | Error::FailedToGetCurrentTime
        | Error::FailedToGetRandomBytes
        | Error::EncryptError => Failure::Internal,
        _ => Failure::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_http_is_told_in_http() {
        let text = std::str::from_utf8(PLAIN_HTTP).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
