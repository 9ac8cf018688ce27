//! What goes wrong with OCSP.

/// Why nothing is stapled.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OcspFault {
    /// The chain ends with the leaf.
    #[error("ocsp: the chain does not hold who issued the certificate: add the issuer's certificate to it")]
    NoIssuer,
    /// `ocsp = true`, and no responder.
    #[error("ocsp: the certificate names no responder (http): give its URL")]
    NoResponder,
    /// Nobody answered.
    #[error("ocsp: {url} cannot be asked: {why}")]
    Unreachable {
        /// Who.
        url: Box<str>,
        /// Why.
        why: Box<str>,
    },
    /// It is no OCSP answer.
    #[error("ocsp: the answer cannot be read")]
    Unreadable,
    /// The responder is not willing (RFC 6960 §4.2.1).
    #[error("ocsp: the responder refuses (status {0})")]
    Refused(u8),
    /// Nobody who may has signed it.
    #[error("ocsp: the answer is not signed by the certificate's issuer, nor by whom it appointed")]
    BadSignature,
    /// It is about something else.
    #[error("ocsp: the answer is about another certificate")]
    OtherCertificate,
    /// It is old, or of tomorrow.
    #[error("ocsp: the answer is not valid now: the responder's clock, or this one, is wrong")]
    NotNow,
    /// The worst.
    #[error("ocsp: the certificate has been REVOKED by its issuer: replace it")]
    Revoked,
    /// The responder knows nothing of it.
    #[error("ocsp: the responder does not know the certificate")]
    Unknown,
}
