//! Facts of finding certificates.

use std::time::Duration;

use super::super::calendar;
use super::super::testing::Ca;
use super::*;

const DAY: Duration = Duration::from_secs(86_400);

#[test]
fn exact_names_come_before_patterns_and_origins_in_their_order() {
    let ca = Ca::new("Root");
    let store = Store::default();
    let wide = ca.leaf(&["*.a.test"]).certificate();
    let exact = ca.leaf(&["x.a.test"]).certificate();
    let acme = ca.leaf(&["x.a.test"]).certificate();
    store.put(Origin::Files, vec![wide.clone(), exact.clone()]);
    store.add(Origin::Acme, acme.clone());
    let now = calendar::now();
    let serial = |name, from| store.find_from(name, from, now).map(|found| found.serial.clone());
    assert_eq!(serial("x.a.test", CertificateFrom::Auto), Some(exact.serial.clone()));
    assert_eq!(serial("y.a.test", CertificateFrom::Auto), Some(wide.serial.clone()));
    assert_eq!(serial("x.a.test", CertificateFrom::Acme), Some(acme.serial.clone()));
    assert_eq!(serial("y.a.test", CertificateFrom::Acme), Some(wide.serial.clone()), "better than none");
    assert_eq!(serial("a.test", CertificateFrom::Auto), None);
    assert_eq!(serial("y.x.a.test", CertificateFrom::Auto), None, "a pattern covers one label");
    store.put(Origin::Files, Vec::new());
    assert_eq!(serial("x.a.test", CertificateFrom::Files), None);
    assert_eq!(serial("x.a.test", CertificateFrom::Auto), Some(acme.serial.clone()));
}

#[test]
fn an_expired_certificate_is_not_served_while_another_is_valid() {
    let ca = Ca::new("Root");
    let store = Store::default();
    let old = ca.leaf_for_days(&["a.b.test"], -20, -10).certificate();
    store.put(Origin::Files, vec![old.clone()]);
    let serial = |from| store.find_from("a.b.test", from, calendar::now()).map(|found| found.serial.clone());
    assert_eq!(serial(CertificateFrom::Auto), Some(old.serial.clone()), "better than none");
    let wide = ca.leaf(&["*.b.test"]).certificate();
    store.put(Origin::Files, vec![old.clone(), wide.clone()]);
    assert_eq!(serial(CertificateFrom::Auto), Some(wide.serial.clone()));
    let acme = ca.leaf(&["a.b.test"]).certificate();
    store.add(Origin::Acme, acme.clone());
    assert_eq!(serial(CertificateFrom::Auto), Some(acme.serial.clone()));
    let new = ca.leaf(&["a.b.test"]).certificate();
    store.put(Origin::Files, vec![old, new.clone()]);
    assert_eq!(serial(CertificateFrom::Auto), Some(new.serial.clone()), "the one that is valid the longest");
}

#[test]
fn a_renewed_certificate_takes_the_old_ones_place() {
    let ca = Ca::new("Root");
    let store = Store::default();
    store.add(Origin::Acme, ca.leaf_for_days(&["a.test"], -2, 90).certificate());
    let renewed = ca.leaf_for_days(&["a.test"], -1, 80).certificate();
    store.add(Origin::Acme, renewed.clone());
    assert_eq!(store.all(Origin::Acme).len(), 1);
    let later = calendar::now() + DAY;
    let found = store.find_from("a.test", CertificateFrom::Auto, later).unwrap();
    assert_eq!(found.serial, renewed.serial);
    assert_eq!(store.first().unwrap().serial, renewed.serial);
}
