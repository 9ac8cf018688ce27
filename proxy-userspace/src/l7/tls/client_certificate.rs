//! Certificates that clients have shown, as backends are told of them.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate that a client has shown, and that was found to be in order.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// Whose it is (RFC 4514).
    pub subject: Box<str>,
    /// Who issued it.
    pub issuer: Box<str>,
    /// Its number, hexadecimal.
    pub serial: Box<str>,
    /// SHA-256 of it, hexadecimal.
    pub fingerprint: Box<str>,
    /// The fields that backends are told by.
    fields: [(HeaderName, HeaderValue); 5],
}

const SUBJECT: HeaderName = HeaderName::from_static("x-client-cert-subject");
const ISSUER: HeaderName = HeaderName::from_static("x-client-cert-issuer");
const SERIAL: HeaderName = HeaderName::from_static("x-client-cert-serial");
const FINGERPRINT: HeaderName = HeaderName::from_static("x-client-cert-fingerprint");
/// RFC 9440 §2.2.
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

impl ClientCertificate {
    /// What it says. None: it cannot be read, which who checked it should have found.
    pub(super) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject().to_string();
        let issuer = certificate.issuer().to_string();
        let serial = hex(certificate.raw_serial());
        let fingerprint = hex(digest(&SHA256, der).as_ref());
        // RFC 8941 §3.3.5: a byte sequence stands between colons.
        let whole = format!(":{}:", BASE64_STANDARD.encode(der));
        let fields = [
            (SUBJECT, shown(&subject)),
            (ISSUER, shown(&issuer)),
            (SERIAL, shown(&serial)),
            (FINGERPRINT, shown(&fingerprint)),
            (CLIENT_CERT, shown(&whole)),
        ];
        Some(Self {
            subject: subject.into(),
            issuer: issuer.into(),
            serial: serial.into(),
            fingerprint: fingerprint.into(),
            fields,
        })
    }

    /// Tells a backend.
    pub fn present(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.fields {
            headers.insert(name, value.clone());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As a field's value: whatever is not visible ASCII by its number (RFC 4514 §2.4), since the CA chose it, not we.
fn shown(text: &str) -> HeaderValue {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' => value.push(char::from(byte)),
            _ => {
                let _ = write!(value, "\\{byte:02X}");
            }
        }
    }
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::testing::TestCa;

    #[test]
    fn backends_are_told_whose_certificate_it_is() {
        let (chain, _) = TestCa::new().issue(&["alice.test"]);
        let certificate = ClientCertificate::of(&chain[0]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(SUBJECT, HeaderValue::from_static("CN=mallory"));
        certificate.present(&mut headers);
        assert_eq!(headers.len(), 5);
        assert_eq!(headers[SUBJECT], &*certificate.subject);
        assert_eq!(headers[FINGERPRINT].len(), 64);
        let whole = headers[CLIENT_CERT].to_str().unwrap().trim_matches(':');
        assert_eq!(BASE64_STANDARD.decode(whole).unwrap(), chain[0].as_ref());
    }

    #[test]
    fn what_a_ca_wrote_never_ends_a_line() {
        assert_eq!(shown("CN=a\r\nx: y\u{e4}"), "CN=a\\0D\\0Ax: y\\C3\\A4");
    }
}
