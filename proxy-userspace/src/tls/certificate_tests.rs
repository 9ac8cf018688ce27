//! Facts of certificates: names, order, mistakes.

use std::time::Duration;

use super::super::calendar;
use super::super::testing::{Ca, key};
use super::*;

#[test]
fn a_pair_says_what_it_is_for() {
    let ca = Ca::new("Test Root");
    let pair = ca.leaf(&["App.Example.com", "*.dev.example.com", "192.0.2.7", "2001:db8::1"]);
    let certificate = Certificate::from_pem(pair.chain.as_bytes(), pair.key.as_bytes()).unwrap();
    let names: Vec<&str> = certificate.names.iter().map(|name| &**name).collect();
    assert_eq!(names, ["app.example.com", "*.dev.example.com", "192.0.2.7", "2001:db8::1"]);
    assert_eq!(&*certificate.issuer, "Test Root");
    assert_eq!(certificate.fingerprint.len(), 64);
    assert!(certificate.notes.is_empty(), "{:?}", certificate.notes);
    for name in ["app.example.com", "a.dev.example.com", "192.0.2.7", "2001:db8::1"] {
        assert!(certificate.covers(name), "{name}");
    }
    for name in ["example.com", "dev.example.com", "a.b.dev.example.com", "192.0.2.8"] {
        assert!(!certificate.covers(name), "{name}");
    }
}

#[test]
fn a_chain_in_the_wrong_order_is_put_right_and_noted() {
    let root = Ca::new("Root");
    let middle = root.intermediate("Middle");
    let pair = middle.leaf(&["a.test"]);
    let strange = Ca::new("Strange");
    let load =
        |texts: &[&str]| Certificate::from_pem(texts.concat().as_bytes(), pair.key.as_bytes()).unwrap();
    let (leaf, middle, root, strange) = (&*pair.chain, &*middle.0.pem(), &*root.0.pem(), &*strange.0.pem());

    let right = load(&[leaf, middle, root]);
    assert!(right.notes.is_empty());
    let wrong = load(&[middle, root, leaf]);
    assert_eq!(wrong.notes, [CertificateNote::WrongOrder]);
    assert_eq!(wrong.key.cert, right.key.cert);
    let more = load(&[leaf, strange, middle]);
    assert_eq!(more.notes, [CertificateNote::LeftOut(1)]);
    assert_eq!(more.key.cert, load(&[leaf, middle]).key.cert);
}

#[test]
fn key_and_chain_may_be_one_text() {
    let pair = Ca::new("Root").leaf(&["a.test"]);
    let both = pair.key + &pair.chain;
    Certificate::from_pem(both.as_bytes(), both.as_bytes()).unwrap();
}

#[test]
fn every_mistake_has_its_sentence() {
    let ca = Ca::new("Root");
    let pair = ca.leaf(&["a.test", "b.test"]);
    let other = key().serialize_pem();
    let encrypted = pair.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let old =
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    let many = pair.chain.repeat(11);
    let torn = &pair.chain[..pair.chain.len() / 2];
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bad_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let nameless = ca.leaf_with(&[], |params| params.distinguished_name = rcgen::DistinguishedName::new());
    for (chain, key, says) in [
        (&*pair.chain, &*other, "the key is not this certificate's (a.test, b.test): give the key"),
        (&*pair.chain, &*encrypted, "the key is encrypted: write it without a passphrase"),
        (&*pair.chain, old, "the key is encrypted"),
        (&*pair.chain, "", "there is no private key in it"),
        (&*pair.chain, bad_key, "the key cannot be used"),
        ("", &*pair.key, "there is no certificate in it"),
        (&*many, &*pair.key, "it holds 11 certificates"),
        (torn, &*pair.key, "it is not PEM: a section has no end"),
        (garbage, &*pair.key, "certificate 1 of the chain cannot be read"),
        (&*nameless.chain, &*nameless.key, "it is for no name"),
    ] {
        let error = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(says), "{error}");
    }
}

#[test]
fn a_common_name_counts_where_there_is_nothing_else_and_is_noted() {
    let pair = Ca::new("Root").leaf_with(&[], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "old.test");
    });
    let certificate = pair.certificate();
    assert!(certificate.covers("old.test"));
    assert_eq!(certificate.notes, [CertificateNote::NoSubjectAltName]);
}

#[test]
fn an_expired_certificate_and_one_of_tomorrow_load_and_are_told() {
    let ca = Ca::new("Root");
    let now = calendar::now();
    let trouble = |from, to| ca.leaf_for_days(&["a.test"], from, to).certificate().trouble(now);
    assert_eq!(trouble(-1, 1), None);
    let expired = trouble(-20, -10).unwrap();
    assert!(matches!(expired, CertificateNote::Expired(at) if at < now));
    assert!(expired.to_string().starts_with("it expired on 20"), "{expired}");
    let early = trouble(10, 20).unwrap();
    assert!(matches!(early, CertificateNote::NotYetValid(at) if at > now + Duration::from_secs(3600)));
    assert!(early.to_string().contains("not valid before 20"), "{early}");
}

#[test]
fn what_is_printed_of_a_certificate_holds_no_key() {
    let pair = Ca::new("Root").leaf(&["a.test"]);
    let certificate = pair.certificate();
    assert_eq!(format!("{certificate:?}"), format!("Certificate(a.test, serial {})", certificate.serial));
}
