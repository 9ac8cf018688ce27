//! Why handshakes fail, in few words: for metrics, which must not grow with what clients send.

use rustls::{AlertDescription as Alert, CertificateError as Bad, Error, PeerIncompatible as Unlike};

/// Why a handshake failed, in one word of a fixed list.
pub fn failure(error: &Error) -> &'static str {
    match error {
        Error::NoApplicationProtocol => "no-protocol",
        Error::NoCertificatesPresented => "client-certificate-missing",
        Error::InvalidCertificate(bad) => certificate(bad),
        Error::PeerIncompatible(unlike) => incompatible(unlike),
        Error::PeerMisbehaved(_) => "misbehaved",
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord
        | Error::UnsupportedNameType => "not-tls",
        Error::DecryptError => "decrypt",
        Error::AlertReceived(alert) => told(*alert),
        _ => "other",
    }
}

fn certificate(bad: &Bad) -> &'static str {
    match bad {
        Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "client-certificate-expired"
        }
        Bad::Revoked => "client-certificate-revoked",
        Bad::UnknownIssuer => "client-certificate-unknown-issuer",
        _ => "client-certificate-bad",
    }
}

fn incompatible(unlike: &Unlike) -> &'static str {
    match unlike {
        Unlike::Tls12NotOffered
        | Unlike::Tls12NotOfferedOrEnabled
        | Unlike::SupportedVersionsExtensionRequired => "no-version",
        Unlike::NoCipherSuitesInCommon => "no-cipher",
        Unlike::NoKxGroupsInCommon | Unlike::NamedGroupsExtensionRequired => "no-group",
        Unlike::NoSignatureSchemesInCommon | Unlike::SignatureAlgorithmsExtensionRequired => "no-signature",
        _ => "incompatible",
    }
}

/// What the client says is wrong with us: its alert.
fn told(alert: Alert) -> &'static str {
    match alert {
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::CertificateRevoked
        | Alert::UnsupportedCertificate => "client-refused-certificate",
        _ => "client-alert",
    }
}

#[cfg(test)]
mod tests {
    use rustls::InvalidMessage;

    use super::*;

    #[test]
    fn every_failure_has_a_word() {
        for (error, word) in [
            (Error::NoApplicationProtocol, "no-protocol"),
            (Error::NoCertificatesPresented, "client-certificate-missing"),
            (Bad::Revoked.into(), "client-certificate-revoked"),
            (Bad::Expired.into(), "client-certificate-expired"),
            (Bad::UnknownIssuer.into(), "client-certificate-unknown-issuer"),
            (Bad::BadSignature.into(), "client-certificate-bad"),
            (Unlike::NoCipherSuitesInCommon.into(), "no-cipher"),
            (Unlike::Tls12NotOfferedOrEnabled.into(), "no-version"),
            (InvalidMessage::InvalidContentType.into(), "not-tls"),
            (Error::AlertReceived(Alert::UnknownCA), "client-refused-certificate"),
            (Error::AlertReceived(Alert::InternalError), "client-alert"),
            (Error::General("anything".into()), "other"),
        ] {
            assert_eq!(failure(&error), word, "{error:?}");
        }
    }

    #[test]
    fn what_is_no_tls_is_called_so() {
        let mut acceptor = rustls::server::Acceptor::default();
        acceptor.read_tls(&mut &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..]).unwrap();
        let (error, _) = acceptor.accept().err().unwrap();
        assert_eq!(failure(&error), "not-tls");
    }
}
