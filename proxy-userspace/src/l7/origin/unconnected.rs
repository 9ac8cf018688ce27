//! Why there is no connection to a backend.

use std::io;

use rustls::CertificateError;

use crate::net::tls::Fault;

/// Why there is no connection. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub(in crate::l7) enum Unconnected {
    /// The backend, or the way to it, refuses.
    #[error("no connection: {0}")]
    Refused(#[from] io::Error),
    /// It took too long.
    #[error("no connection in time")]
    TooSlow,
    /// What is there does not speak HTTP/2.
    #[error("the backend does not speak HTTP/2")]
    NoHttp2,
    /// It is not who it should be.
    #[error("the backend's certificate is not to be trusted: {}", words(.0))]
    Stranger(CertificateError),
    /// TLS came to nothing.
    #[error("no connection by TLS: {0}")]
    NoTls(Fault),
}

impl From<Fault> for Unconnected {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Tls(rustls::Error::InvalidCertificate(error)) => Self::Stranger(error),
            fault => Self::NoTls(fault),
        }
    }
}

/// What is wrong with a certificate: the names that the libraries have for it are for programmers.
fn words(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "no root that is trusted has issued it".to_owned(),
        CertificateError::Other(other) => match other.to_string().as_str() {
            // What `openssl req -x509` makes where nothing else is said.
            "CaUsedAsEndEntity" => {
                "it is that of a CA, and not of a host (basicConstraints = CA:TRUE)".to_owned()
            }
            name => name.to_owned(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_in_words() {
        let said = |error| Unconnected::Stranger(error).to_string();
        let is = |what: &str| format!("the backend's certificate is not to be trusted: {what}");
        assert_eq!(said(CertificateError::UnknownIssuer), is("no root that is trusted has issued it"));
        let authority = OtherError(Arc::new(io::Error::other("CaUsedAsEndEntity")));
        let words = "it is that of a CA, and not of a host (basicConstraints = CA:TRUE)";
        assert_eq!(said(CertificateError::Other(authority)), is(words));
    }
}
