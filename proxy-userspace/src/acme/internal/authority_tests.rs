//! Facts about the CA.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName, UnixTime};

use super::*;

/// Somewhen in January 2027.
fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("pn-ca-{}-{name}", std::process::id())))
    }

    fn open(&self, now: SystemTime) -> Authority {
        Authority::open(&self.0, &InternalCaConfig::default(), now).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn names(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|&name| name.into()).collect()
}

/// Whether a client that trusts this root, at this time, accepts this chain for this name.
fn accepts(root_pem: &str, chain_pem: &str, name: &str, now: SystemTime) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect::<Result<_, _>>().unwrap();
    let now = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now).is_ok()
}

#[test]
fn who_trusts_the_root_accepts_names_patterns_and_addresses() {
    let folder = Folder::new("trust");
    let now = start();
    let authority = folder.open(now);
    let root = authority.root_pem();
    for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
        let own = ["vault.internal", "*.dev.internal", "10.0.0.1", "fd00::1"];
        let Issued { chain_pem, key_pem } = authority.issue(&names(&own), key_type, now).unwrap();
        PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).unwrap();
        for name in ["vault.internal", "a.dev.internal", "10.0.0.1", "fd00::1"] {
            assert!(accepts(&root, &chain_pem, name, now), "{name}");
        }
        assert!(!accepts(&root, &chain_pem, "other.internal", now));
        assert!(!accepts(&root, &chain_pem, "vault.internal", now + 8 * DAY), "it lives for seven days");
    }
}

#[test]
fn a_name_longer_than_a_common_name_is_certified_too() {
    let folder = Folder::new("long");
    let now = start();
    let authority = folder.open(now);
    let long = format!("{}.internal", "a".repeat(63));
    let chain = authority.issue(&names(&[&long]), KeyType::P256, now).unwrap().chain_pem;
    assert!(accepts(&authority.root_pem(), &chain, &long, now));
}

#[test]
fn the_root_stays_and_the_intermediate_is_replaced_in_time() {
    let folder = Folder::new("time");
    let begin = start();
    let first = folder.open(begin);
    let root = first.root_pem();
    let public = std::fs::read_to_string(folder.0.join("root.pem")).unwrap();
    assert_eq!(public, root);
    let intermediate = |chain: &str| chain.split_once("-----END").unwrap().1.to_owned();
    let one = names(&["a.internal"]);
    let before = first.issue(&one, KeyType::P256, begin).unwrap().chain_pem;
    let again = folder.open(begin + 30 * DAY);
    assert_eq!(again.root_pem(), root);
    let month = again.issue(&one, KeyType::P256, begin + 30 * DAY).unwrap().chain_pem;
    assert_eq!(intermediate(&before), intermediate(&month), "a restart keeps it");

    let late = begin + 300 * DAY;
    let renewed = again.issue(&one, KeyType::P256, late).unwrap().chain_pem;
    assert_ne!(intermediate(&before), intermediate(&renewed), "while it runs, too");
    assert!(accepts(&root, &renewed, "a.internal", late + 6 * DAY));
}

#[test]
fn keys_are_for_their_owner_alone_and_what_is_broken_is_told_by_name() {
    let folder = Folder::new("keys");
    let now = start();
    drop(folder.open(now));
    for name in ["root.key.pem", "intermediate.key.pem"] {
        let mode = std::fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let left: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "nothing is left aside: {left:?}");

    std::fs::write(folder.0.join("root.key.pem"), "garbage").unwrap();
    let error = Authority::open(&folder.0, &InternalCaConfig::default(), now).unwrap_err().to_string();
    assert!(error.contains("root.key.pem") && error.contains("backup"), "{error}");
}

#[test]
fn an_intermediate_of_another_root_is_not_used() {
    let (one, other) = (Folder::new("one"), Folder::new("other"));
    let now = start();
    drop((one.open(now), other.open(now)));
    std::fs::copy(one.0.join("intermediate.key.pem"), other.0.join("intermediate.key.pem")).unwrap();
    let authority = other.open(now);
    let chain = authority.issue(&names(&["a.internal"]), KeyType::P256, now).unwrap().chain_pem;
    assert!(accepts(&authority.root_pem(), &chain, "a.internal", now));
}

#[test]
fn two_daemons_that_begin_at_once_have_one_root() {
    let folder = Folder::new("two");
    let now = start();
    let roots: Vec<_> = std::thread::scope(|scope| {
        let open = || folder.open(now).root_pem();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(roots.iter().all(|root| *root == roots[0]));
}
