//! A responder, for tests: signs that whatever it is asked about is good.

use std::time::{Duration, SystemTime};

use super::der::{BIT_STRING, ENUMERATED, OCTETS, OID, Reader, SEQUENCE, TIME, explicit, implicit, value};

/// ecdsa-with-SHA256.
const ECDSA: [u8; 10] = [OID, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const BASIC: [u8; 11] = [OID, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

/// An `OCSPResponse` to a request, good for a week.
pub(crate) fn answer_for_tests(request: &[u8], now: SystemTime, sign: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut list = Reader(request).enter(SEQUENCE).unwrap().enter(SEQUENCE).unwrap().enter(SEQUENCE).unwrap();
    let id = list.enter(SEQUENCE).unwrap().any().unwrap().whole.to_vec();
    let next = value(explicit(0), &[&time(now + Duration::from_secs(7 * 86_400))]);
    let single = value(SEQUENCE, &[&id, &[implicit(0), 0], &time(now), &next]);
    let by_key = value(explicit(2), &[&value(OCTETS, &[&[0; 20]])]);
    let tbs = value(SEQUENCE, &[&by_key, &time(now), &value(SEQUENCE, &[&single])]);
    let signature = value(BIT_STRING, &[&[0], &sign(&tbs)]);
    let basic = value(SEQUENCE, &[&tbs, &value(SEQUENCE, &[&ECDSA]), &signature]);
    let bytes = value(SEQUENCE, &[&BASIC, &value(OCTETS, &[&basic])]);
    value(SEQUENCE, &[&[ENUMERATED, 1, 0], &value(explicit(0), &[&bytes])])
}

fn time(at: SystemTime) -> Vec<u8> {
    let at = jiff::Timestamp::try_from(at).unwrap();
    value(TIME, &[at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes()])
}
