//! Facts of files: what is read, what is kept, what is told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::testing::{Ca, Pair as Made};
use super::*;
use crate::config::{CertificateFiles, OcspConfig};

/// A folder of one test, empty.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("proxy-now-files-{}-{name}", std::process::id()));
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir(&folder).unwrap();
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    // As everybody replaces certificates: another file by the same name.
    fs::write(file.with_extension("tmp"), text).unwrap();
    fs::set_permissions(file.with_extension("tmp"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(file.with_extension("tmp"), file).unwrap();
}

fn write_pair(folder: &Path, name: &str, pair: &Made) {
    write(folder, &format!("{name}.crt"), &pair.chain);
    write(folder, &format!("{name}.key"), &pair.key);
}

fn named(folder: &Path, names: &[&str]) -> TlsConfig {
    let files = |name: &&str| CertificateFiles {
        chain: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
        ocsp: None,
    };
    TlsConfig { certificates: names.iter().map(files).collect(), ..TlsConfig::default() }
}

fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.certificates.iter().map(|one| &*one.names[0]).collect()
}

fn told(loaded: &Loaded) -> Vec<String> {
    loaded.troubles.iter().map(ToString::to_string).collect()
}

#[test]
fn named_pairs_come_in_the_order_of_the_configuration() {
    let (ca, folder) = (Ca::new("Root"), folder("named"));
    write_pair(&folder, "b", &ca.leaf(&["b.test"]));
    write_pair(&folder, "a", &ca.leaf(&["a.test"]));
    let mut files = Files::default();
    let loaded = files.load(&named(&folder, &["b", "a", "b"]));
    assert_eq!(names(&loaded), ["b.test", "a.test"]);
    assert!(told(&loaded).is_empty(), "{:?}", loaded.troubles);
    assert_eq!(files.watched().len(), 4);
}

#[test]
fn a_directory_holds_pairs_by_name_and_pairs_in_one_file() {
    let (ca, folder) = (Ca::new("Root"), folder("directory"));
    write_pair(&folder, "b", &ca.leaf(&["b.test"]));
    let pem = ca.leaf(&["a.test"]);
    write(&folder, "a.pem", &(pem.chain.clone() + &pem.key));
    let beside = ca.leaf(&["c.test"]);
    write(&folder, "c.pem", &beside.chain);
    write(&folder, "c.key", &beside.key);
    write(&folder, "ca.pem", &ca.0.pem());
    write(&folder, "README", "no certificate");
    write(&folder, ".hidden.pem", "no certificate");
    write(&folder, "lonely.key", &beside.key);
    let config = TlsConfig { directories: vec![folder.clone()], ..TlsConfig::default() };
    let mut files = Files::default();
    let loaded = files.load(&config);
    assert_eq!(names(&loaded), ["a.test", "b.test", "c.test"]);
    assert!(told(&loaded).is_empty(), "{:?}", told(&loaded));
    assert!(files.watched().contains(&folder));

    write(&folder, "d.crt", &ca.leaf(&["d.test"]).chain);
    fs::remove_file(folder.join("b.crt")).unwrap();
    let loaded = files.load(&config);
    assert_eq!(names(&loaded), ["a.test", "c.test"], "who is gone is gone");
    let d = folder.join("d");
    let says =
        format!("{0}.crt: there is no key in it, and no {0}.key beside it; it is not served", d.display());
    assert_eq!(told(&loaded), [says]);
}

#[test]
fn a_changed_pair_is_read_again_and_the_others_are_not() {
    let (ca, folder) = (Ca::new("Root"), folder("changed"));
    write_pair(&folder, "a", &ca.leaf(&["a.test"]));
    write_pair(&folder, "b", &ca.leaf(&["b.test"]));
    let config = named(&folder, &["a", "b"]);
    let mut files = Files::default();
    let first = files.load(&config).certificates;
    let again = files.load(&config).certificates;
    assert!(first.iter().zip(&again).all(|(one, other)| Arc::ptr_eq(one, other)));
    write_pair(&folder, "b", &ca.leaf(&["b.test"]));
    let changed = files.load(&config).certificates;
    assert!(Arc::ptr_eq(&first[0], &changed[0]));
    assert_ne!(first[1].serial, changed[1].serial);
}

#[test]
fn a_broken_pair_keeps_its_old_certificate_until_it_is_whole_again() {
    let (ca, folder) = (Ca::new("Root"), folder("broken"));
    let (old, new) = (ca.leaf(&["a.test"]), ca.leaf(&["a.test"]));
    write_pair(&folder, "a", &old);
    write_pair(&folder, "b", &ca.leaf(&["b.test"]));
    let config = named(&folder, &["a", "b"]);
    let mut files = Files::default();
    files.load(&config);
    let serial = |loaded: &Loaded| loaded.certificates[0].serial.clone();
    let (old_serial, new_serial) = (old.certificate().serial.clone(), new.certificate().serial.clone());
    let key = folder.join("a.key").display().to_string();
    let still = "; the certificate that was there before is still served";

    write(&folder, "a.crt", &new.chain);
    let loaded = files.load(&config);
    assert_eq!((names(&loaded), serial(&loaded)), (vec!["a.test", "b.test"], old_serial.clone()));
    let says = told(&loaded);
    assert!(says.len() == 1 && says[0].starts_with(&key) && says[0].ends_with(still), "{says:?}");
    assert!(says[0].contains("the key is not this certificate's (a.test)"), "{says:?}");
    assert_eq!(told(&files.load(&config)), says, "as long as it is broken");

    for torn in ["", "garbage", &new.key[..40]] {
        write(&folder, "a.key", torn);
        let loaded = files.load(&config);
        assert_eq!(serial(&loaded), old_serial, "{torn:?}");
        assert!(told(&loaded)[0].ends_with(still), "{:?}", told(&loaded));
    }
    fs::remove_file(folder.join("a.key")).unwrap();
    let loaded = files.load(&config);
    assert!(
        told(&loaded)[0].starts_with(&format!("{key}: it cannot be read: No such file")),
        "{:?}",
        told(&loaded)
    );
    assert_eq!(serial(&loaded), old_serial);

    write(&folder, "a.key", &new.key);
    let loaded = files.load(&config);
    assert_eq!((serial(&loaded), told(&loaded).len()), (new_serial, 0));
}

#[test]
fn a_pair_that_never_was_good_is_not_served_and_the_others_are() {
    let (ca, folder) = (Ca::new("Root"), folder("never"));
    write_pair(&folder, "a", &ca.leaf(&["a.test"]));
    write(&folder, "a.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n");
    write_pair(&folder, "b", &ca.leaf(&["b.test"]));
    let loaded = Files::default().load(&named(&folder, &["a", "b", "nowhere"]));
    assert_eq!(names(&loaded), ["b.test"]);
    let says = told(&loaded);
    assert_eq!(says.len(), 2);
    assert!(says[0].contains("the key is encrypted") && says[0].ends_with("; it is not served"), "{says:?}");
    assert!(says[1].contains("nowhere.crt: it cannot be read"), "{says:?}");
}

#[test]
fn what_is_odd_is_told_and_served() {
    let (ca, folder) = (Ca::new("Root"), folder("odd"));
    write_pair(&folder, "a", &ca.leaf_for_days(&["a.test"], -20, -10));
    fs::set_permissions(folder.join("a.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let loaded = Files::default().load(&named(&folder, &["a"]));
    assert_eq!(names(&loaded), ["a.test"]);
    let says = told(&loaded);
    assert!(says[0].contains("a.crt: it expired on 20"), "{says:?}");
    assert!(says[1].contains("a.key: everybody on this machine may read the key (mode 0644)"), "{says:?}");
}

#[test]
fn a_directory_that_is_gone_keeps_what_it_had() {
    let (ca, folder) = (Ca::new("Root"), folder("gone"));
    let below = folder.join("certificates");
    fs::create_dir(&below).unwrap();
    write_pair(&below, "a", &ca.leaf(&["a.test"]));
    let config = TlsConfig { directories: vec![below.clone()], ..TlsConfig::default() };
    let mut files = Files::default();
    files.load(&config);
    fs::rename(&below, folder.join("elsewhere")).unwrap();
    let loaded = files.load(&config);
    assert_eq!(names(&loaded), ["a.test"]);
    let gone = told(&loaded).remove(0);
    assert!(gone.starts_with(&format!("{}: it cannot be read: ", below.display())), "{gone}");
    assert!(gone.ends_with("is still served"), "{gone}");
    assert!(Files::default().load(&config).certificates.is_empty());
}

#[test]
fn many_pairs_are_read_by_several_threads_and_stay_in_order() {
    let (ca, folder) = (Ca::new("Root"), folder("many"));
    let pair = ca.leaf(&["a.test"]);
    let all: Vec<String> = (0..3 * PAIRS_A_THREAD).map(|i| format!("{i:03}")).collect();
    all.iter().for_each(|name| write_pair(&folder, name, &pair));
    let config = TlsConfig { directories: vec![folder], ..TlsConfig::default() };
    let mut files = Files::default();
    assert_eq!(files.load(&config).certificates.len(), all.len());
    assert_eq!(files.watched().len(), 2 * all.len() + 1);
    assert!(files.load(&config).troubles.is_empty());
}

#[test]
fn a_responders_answer_is_stapled_and_stays_when_files_are_touched() {
    let (ca, folder) = (Ca::new("Root"), folder("ocsp"));
    let leaf = ca.leaf(&["a.test"]);
    write_pair(&folder, "a", &Made { chain: leaf.chain.clone() + &ca.0.pem(), key: leaf.key.clone() });
    write_pair(&folder, "b", &leaf);
    let mut config = named(&folder, &["a", "b"]);
    config
        .certificates
        .iter_mut()
        .for_each(|one| one.ocsp = Some(OcspConfig::Url("http://ocsp.test/".into())));
    let mut files = Files::default();
    let loaded = files.load(&config);
    assert_eq!(loaded.certificates.len(), 2, "without an answer too");
    let says = told(&loaded);
    assert!(
        says.len() == 1 && says[0].contains("b.crt: ocsp: the chain does not hold who issued"),
        "{says:?}"
    );

    let now = calendar::now();
    let (questions, changed) = files.ocsp_due(now);
    assert!(questions.len() == 1 && !changed && &*questions[0].url == "http://ocsp.test/");
    assert!(files.ocsp_due(now).0.is_empty(), "one question at a time");
    assert!(files.ocsp_next().unwrap() > now);
    assert!(!files.ocsp_answered(&questions[0], Ok(b"nothing"), now));
    assert!(files.load(&config).troubles[0].to_string().contains("ocsp: the answer cannot be read"));

    let answer = ca.ocsp_answer(&questions[0].body, now);
    assert!(files.ocsp_answered(&questions[0], Ok(&answer), now));
    let stapled = |certificates: Vec<Arc<Certificate>>| certificates[0].key.ocsp.clone();
    assert_eq!(stapled(files.certificates()), Some(answer.clone()));
    write(&folder, "a.key", &leaf.key);
    assert_eq!(stapled(files.load(&config).certificates), Some(answer), "read again, and the same");
    let later = now + std::time::Duration::from_secs(8 * 86_400);
    assert!(files.ocsp_due(later).1, "run out");
    assert_eq!(stapled(files.certificates()), None);
}
