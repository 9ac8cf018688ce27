//! Facts of OCSP, by questions and answers that OpenSSL made (`openssl ocsp`), good for seven days from [`MADE`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::der;
use super::*;

/// When the answers were made.
const MADE: Duration = Duration::from_secs(1_795_404_540);
const DAY: Duration = Duration::from_secs(86_400);

/// `NAME BASE64` a line.
fn made(name: &str) -> Vec<u8> {
    let line =
        include_str!("openssl.txt").lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    STANDARD.decode(line.unwrap()).unwrap()
}

fn staple(config: &OcspConfig) -> Staple {
    Staple::new(&[made("leaf"), made("ca")], config).unwrap()
}

fn at(days: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + MADE + DAY * days
}

fn fault(answer: &[u8], now: SystemTime) -> Option<OcspFault> {
    let mut staple = staple(&OcspConfig::Named);
    staple.answered(Ok(answer), now);
    staple.fault().cloned()
}

#[test]
fn the_question_is_openssls_and_goes_to_whom_the_certificate_names() {
    assert_eq!(staple(&OcspConfig::Named).question(), ("http://ocsp.test/", made("req")));
    assert_eq!(staple(&OcspConfig::Url("http://other.test/".into())).question().0, "http://other.test/");
}

#[test]
fn a_good_answer_is_stapled_until_it_runs_out() {
    for name in ["good", "delegated"] {
        let mut staple = staple(&OcspConfig::Named);
        assert_eq!((staple.answer(at(0)), staple.ask_at()), (None, SystemTime::UNIX_EPOCH));
        assert!(staple.answered(Ok(&made(name)), at(0)), "{name}: {:?}", staple.fault());
        assert!(!staple.answered(Ok(&made(name)), at(0)), "the same again changes nothing");
        assert_eq!(staple.answer(at(6)), Some(&made(name)[..]));
        assert_eq!(staple.answer(at(7)), None);
        assert_eq!(staple.ask_at(), at(1), "half of seven days, but a day at the most");
        assert_eq!(staple.until(), Some(at(7)));
    }
}

#[test]
fn nothing_is_stapled_that_is_not_good_and_of_now() {
    assert_eq!(fault(&made("good"), at(7)), Some(OcspFault::NotNow));
    assert_eq!(fault(&made("good"), at(0) - DAY), Some(OcspFault::NotNow));
    assert_eq!(fault(&made("good"), at(0) - Duration::from_secs(60)), None, "clocks differ");
    assert_eq!(fault(&made("revoked"), at(0)), Some(OcspFault::Revoked));
    assert_eq!(fault(&made("unknown"), at(0)), Some(OcspFault::Unknown));
    assert_eq!(
        fault(&der::value(der::SEQUENCE, &[&[der::ENUMERATED, 1, 6]]), at(0)),
        Some(OcspFault::Refused(6))
    );
    assert_eq!(fault(b"<html>", at(0)), Some(OcspFault::Unreadable));
}

#[test]
fn an_answer_that_was_changed_anywhere_is_never_stapled() {
    for name in ["good", "delegated"] {
        let answer = made(name);
        for i in 0..answer.len() {
            let mut changed = answer.clone();
            changed[i] ^= 1;
            let mut staple = staple(&OcspConfig::Named);
            staple.answered(Ok(&changed), at(0));
            // What is not signed may differ: padding of lengths, the responder's certificate beside the signature.
            if let Some(stapled) = staple.answer(at(0)) {
                assert!(name == "delegated" && stapled == changed && i > 200, "{name}: byte {i}");
            }
            assert_eq!(fault(&answer[..i], at(0)), Some(OcspFault::Unreadable), "{name}: {i} bytes");
        }
    }
}

#[test]
fn an_answer_about_another_certificate_or_by_somebody_else_does_not_count() {
    let chain = [made("leaf"), made("ca")];
    let mut other = Staple::new(&chain, &OcspConfig::Named).unwrap();
    other.id.serial.push(1);
    other.answered(Ok(&made("good")), at(0));
    assert_eq!(other.fault(), Some(&OcspFault::OtherCertificate));
    let mut strange = Staple::new(&chain, &OcspConfig::Named).unwrap();
    strange.issuer = made("leaf");
    strange.answered(Ok(&made("delegated")), at(0));
    assert_eq!(strange.fault(), Some(&OcspFault::BadSignature));
}

#[test]
fn a_responder_that_is_away_is_asked_ever_less_and_the_old_answer_stays() {
    let mut staple = staple(&OcspConfig::Named);
    staple.answered(Ok(&made("good")), at(0));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert!(!staple.answered(Err("no route".into()), at(1)));
        pauses.push(staple.ask_at().duration_since(at(1)).unwrap().as_secs());
    }
    assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
    assert!(staple.answer(at(1)).is_some());
    let says = staple.fault().unwrap().to_string();
    assert_eq!(says, "ocsp: http://ocsp.test/ cannot be asked: no route");
    assert!(staple.answered(Ok(&made("revoked")), at(1)), "what was good is shown no longer");
    assert_eq!(staple.answer(at(1)), None);
}

#[test]
fn a_chain_without_its_issuer_or_a_certificate_without_a_responder_is_told() {
    let none = Staple::new(&[made("leaf")], &OcspConfig::Named).unwrap_err();
    assert_eq!(none, OcspFault::NoIssuer);
    let wrong = Staple::new(&[made("ca"), made("leaf")], &OcspConfig::Url("http://x/".into())).unwrap_err();
    assert_eq!(wrong, OcspFault::NoIssuer);
    let silent = Staple::new(&[made("ca"), made("ca")], &OcspConfig::Named).unwrap_err();
    assert_eq!(silent, OcspFault::NoResponder);
}
