//! OCSP (RFC 6960): what a responder is asked of a certificate, and what of its answer is shown to clients. Whoever
//! has sockets asks; nothing here does.

/// What a responder answers.
mod answer;
/// As much DER as OCSP needs.
mod der;
/// What goes wrong with OCSP.
mod fault;
/// What a responder is asked.
mod question;
/// A responder, for tests.
#[cfg(test)]
mod responder;
/// When it is asked, and what is stapled meanwhile.
mod staple;

pub use fault::OcspFault;
#[cfg(test)]
pub(super) use responder::answer_for_tests;
pub(super) use staple::Staple;
