//! Revocation (RFC 8555 §7.6).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;

use super::super::super::clock::unix;
use super::core::{Asked, Core};
use super::jwk::Jwk;
use super::problem::{Kind, Problem};
use super::reply::Reply;

/// Where revoked certificates are written down.
const REVOKED: &str = "revoked.json";
/// Reasons that a subscriber may give (RFC 5280 §5.3.1).
const REASONS: [u8; 5] = [0, 1, 3, 4, 5];

#[derive(Deserialize)]
struct Revoke {
    certificate: String,
    #[serde(default)]
    reason: Option<u8>,
}

/// What is written down of a revoked certificate, by its serial number.
#[derive(Serialize, Deserialize)]
struct Revoked {
    at: u64,
    until: i64,
    reason: u8,
}

/// `revokeCert`: by the account that ordered it, or by the certificate's own key.
pub(super) fn revoke(core: &Core, asked: &Asked) -> Result<Reply, Problem> {
    let wanted: Revoke = asked.jws.payload()?;
    let reason = wanted.reason.unwrap_or(0);
    if !REASONS.contains(&reason) {
        return Err(Problem::new(
            Kind::BadRevocationReason,
            "a subscriber may give the reasons 0, 1, 3, 4 and 5",
        ));
    }
    let der = URL_SAFE_NO_PAD.decode(wanted.certificate);
    let der = der.map_err(|_| Problem::malformed("the certificate is no base64url"))?;
    let parsed = x509_parser::parse_x509_certificate(&der);
    let (_, certificate) = parsed.map_err(|_| Problem::malformed("the certificate is none"))?;
    if !core.authority.has_signed(&certificate) {
        return Err(Problem::new(
            Kind::Unauthorized,
            "the certificate is not by this CA's present intermediate",
        ));
    }
    let serial = certificate.raw_serial_as_string();
    let may = match &asked.account {
        Some(account) => core.tables().ordered(account, &serial),
        None => is_key_of(&asked.key, &certificate),
    };
    if !may {
        return Err(Problem::new(Kind::Unauthorized, "neither its orderer nor its key asks for this"));
    }
    write_down(core, &serial, reason, certificate.validity().not_after.timestamp())?;
    tracing::info!(serial, reason, "a certificate of the internal CA is revoked");
    Ok(Reply::empty(StatusCode::OK))
}

fn write_down(core: &Core, serial: &str, reason: u8, until: i64) -> Result<(), Problem> {
    let failed = |error: &dyn std::fmt::Display| {
        tracing::warn!("not revoked: {error}");
        Problem::new(Kind::ServerInternal, "the revocation could not be written down")
    };
    let keep = core.authority.keep();
    // One at a time: the list is read and written as a whole.
    let _tables = core.tables();
    let text = keep.document(REVOKED).map_err(|error| failed(&error))?;
    let mut list: BTreeMap<String, Revoked> =
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let now = unix(core.clock.now());
    list.retain(|_, revoked| revoked.until > i64::try_from(now).unwrap_or(i64::MAX));
    if list.contains_key(serial) {
        return Err(Problem::new(Kind::AlreadyRevoked, "the certificate is revoked already"));
    }
    list.insert(serial.to_owned(), Revoked { at: now, until, reason });
    let text = serde_json::to_string(&list).map_err(|error| failed(&error))?;
    keep.keep_document(REVOKED, &text).map_err(|error| failed(&error))
}

/// Whether a certificate is for this key.
fn is_key_of(key: &Jwk, certificate: &X509Certificate<'_>) -> bool {
    key.bits().is_ok_and(|bits| *bits == *certificate.public_key().subject_public_key.data)
}
