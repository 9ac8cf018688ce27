//! What a responder answers (RFC 6960 §4.2), believed only if it is signed, about our certificate, and of today.

use std::time::{Duration, SystemTime};

use x509_parser::asn1_rs::BitString;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::verify::verify_signature;
use x509_parser::x509::AlgorithmIdentifier;

use super::der::{self, Reader, Value, explicit, implicit};
use super::fault::OcspFault;
use super::question::CertId;

/// id-pkix-ocsp-basic (RFC 6960 §4.2.1).
const BASIC: [u8; 9] = [0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
/// Clocks differ by so much.
const SKEW: Duration = Duration::from_secs(300);
/// For how long an answer is good that does not say it itself.
const UNSAID: Duration = Duration::from_secs(12 * 3600);

/// An answer that may be stapled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Good {
    pub(super) this_update: SystemTime,
    pub(super) next_update: SystemTime,
}

/// Reads an answer about a certificate: `issuer` is its issuer's certificate.
pub(super) fn read(answer: &[u8], about: &CertId, issuer: &[u8], now: SystemTime) -> Result<Good, OcspFault> {
    let basic = basic(answer)?;
    let tbs = signed(basic, issuer)?;
    let good = single(tbs, about)?;
    if good.this_update > now + SKEW || good.next_update <= now {
        return Err(OcspFault::NotNow);
    }
    Ok(good)
}

/// The `BasicOCSPResponse` in an `OCSPResponse`.
fn basic(answer: &[u8]) -> Result<Reader<'_>, OcspFault> {
    let read = || {
        let mut response = Reader(answer).enter(der::SEQUENCE)?;
        let status = *response.take(der::ENUMERATED)?.content.first()?;
        if status != 0 {
            return Some(Err(OcspFault::Refused(status)));
        }
        let mut bytes = response.enter(explicit(0))?.enter(der::SEQUENCE)?;
        let kind = bytes.take(der::OID)?.content;
        let basic = Reader(bytes.take(der::OCTETS)?.content).enter(der::SEQUENCE)?;
        (kind == BASIC).then_some(Ok(basic))
    };
    read().unwrap_or(Err(OcspFault::Unreadable))
}

/// The data of a response whose signature is right (RFC 6960 §4.2.2.2): the issuer's own, or that of a certificate
/// which the issuer has signed for this purpose.
fn signed<'a>(mut basic: Reader<'a>, issuer: &[u8]) -> Result<Reader<'a>, OcspFault> {
    let bad = |_| OcspFault::BadSignature;
    let tbs = basic.take(der::SEQUENCE).ok_or(OcspFault::Unreadable)?;
    let is_named = |value: &Value<'_>| Reader(value.content).take(der::OID).is_some();
    let algorithm = basic.take(der::SEQUENCE).filter(is_named).ok_or(OcspFault::Unreadable)?;
    // Whole bytes: no bit of the last one is left over.
    let whole = |value: &Value<'_>| value.content.first() == Some(&0);
    let signature = basic.take(der::BIT_STRING).filter(whole).ok_or(OcspFault::Unreadable)?;
    let (_, algorithm) = AlgorithmIdentifier::from_der(algorithm.whole).map_err(bad)?;
    let (_, signature) = BitString::from_der(signature.whole).map_err(|_| OcspFault::BadSignature)?;
    let (_, issuer) = X509Certificate::from_der(issuer).map_err(|_| OcspFault::NoIssuer)?;
    let is_by = |who: &X509Certificate<'_>| {
        verify_signature(who.public_key(), &algorithm, &signature, tbs.whole).is_ok()
    };
    let appointed = || {
        let mut certificates = basic.clone().enter(explicit(0))?.enter(der::SEQUENCE)?;
        // Two or three at the most: who sends more wants to see us work.
        (0..4).map_while(|_| certificates.any()).find(|one| may_answer(one, &issuer, &is_by))
    };
    if is_by(&issuer) || appointed().is_some() {
        return Ok(Reader(tbs.content));
    }
    Err(OcspFault::BadSignature)
}

fn may_answer(
    one: &Value<'_>,
    issuer: &X509Certificate<'_>,
    is_by: &dyn Fn(&X509Certificate<'_>) -> bool,
) -> bool {
    let Ok((_, one)) = X509Certificate::from_der(one.whole) else { return false };
    let purpose = one.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.ocsp_signing);
    purpose
        && one.issuer().as_raw() == issuer.subject().as_raw()
        && one.verify_signature(Some(issuer.public_key())).is_ok()
        && is_by(&one)
}

/// What `ResponseData` says of a certificate.
fn single(mut data: Reader<'_>, about: &CertId) -> Result<Good, OcspFault> {
    data.maybe(explicit(0));
    // Who answers, and when: what counts is the signature, and what is said of the certificate.
    let parts = (data.any(), data.take(der::TIME), data.enter(der::SEQUENCE));
    let (Some(_), Some(_), Some(mut responses)) = parts else { return Err(OcspFault::Unreadable) };
    while let Some(mut response) = responses.enter(der::SEQUENCE) {
        let Some(id) = response.take(der::SEQUENCE) else { return Err(OcspFault::Unreadable) };
        if id.whole == about.der() {
            return status(response).unwrap_or(Err(OcspFault::Unreadable));
        }
    }
    Err(OcspFault::OtherCertificate)
}

/// The rest of a `SingleResponse`.
fn status(mut response: Reader<'_>) -> Option<Result<Good, OcspFault>> {
    const GOOD: u8 = implicit(0);
    const REVOKED: u8 = explicit(1);
    match response.any()?.tag {
        GOOD => {}
        REVOKED => return Some(Err(OcspFault::Revoked)),
        _ => return Some(Err(OcspFault::Unknown)),
    }
    let this_update = moment(response.take(der::TIME)?.content)?;
    let next_update = match response.enter(explicit(0)) {
        Some(mut next) => moment(next.take(der::TIME)?.content)?,
        None => this_update + UNSAID,
    };
    Some(Ok(Good { this_update, next_update }))
}

/// `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5.2).
fn moment(text: &[u8]) -> Option<SystemTime> {
    let text = std::str::from_utf8(text).ok()?;
    let at = jiff::civil::DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    let seconds = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}
