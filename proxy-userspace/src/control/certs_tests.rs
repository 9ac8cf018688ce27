//! Facts about certificates as the supervisor has them made.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::super::certs_list::list;
use super::*;
use crate::config::parse;

const SOON: Duration = Duration::from_secs(30);

/// A storage that goes with the test.
struct Storage(PathBuf);

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Storage {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("pn-certs-{}-{name}", std::process::id())))
    }

    fn config(&self, more: &str) -> Arc<Config> {
        let text = format!("[acme]\nstorage = {:?}\n{more}", self.0);
        Arc::new(parse(&text, "proxy.toml").unwrap())
    }
}

fn put(certs: &mut Certs, config: &Arc<Config>) {
    certs.put(config, CertFiles::marks(config));
}

const HTTPS: &str = "[listener.web]\nbind = \"127.0.0.1:8443\"\nprotocol = \"https\"\n\
    [[route]]\nlistener = \"web\"\nhost = \"app.internal\"\nrespond = { status = 200 }\n";

#[test]
fn a_host_that_no_public_ca_vouches_for_has_a_certificate_of_our_own_and_is_listed() {
    let storage = Storage::new("internal");
    let mut certs = Certs::default();
    put(&mut certs, &storage.config(HTTPS));
    let since = Instant::now();
    let served = loop {
        assert!(since.elapsed() < SOON, "{:?}", list(&certs));
        match certs.store.find("app.internal") {
            // What is served is listed a moment later.
            Some(served) if list(&certs).certificates[0].serial.is_some() => break served,
            _ => std::thread::yield_now(),
        }
    };
    let rows = list(&certs).certificates;
    let row = &rows[0];
    assert_eq!((rows.len(), row.name.as_str(), row.from.as_str()), (1, "app.internal", "internal"));
    assert_eq!(row.serial.as_deref(), Some(&*served.serial));
    assert!(row.stored && row.last_error.is_none(), "{row:?}");
    // Two thirds of a week.
    assert!(row.renews_in.is_some_and(|seconds| seconds > 4 * 86_400), "{row:?}");
    assert!(storage.0.join("ca/root.pem").exists());

    certs.leave();
    assert!(certs.manager().is_none() && list(&certs).certificates.is_empty());
}

#[test]
fn the_internal_ca_serves_once_its_address_is_free_and_no_longer_than_it_is_wanted() {
    let storage = Storage::new("serve");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let serve =
        format!("[acme.internal]\nserve = {{ bind = \"{at}\", host = \"ca.test\", names = [\"*.test\"] }}\n");
    let config = storage.config(&serve);
    let mut certs = Certs::default();
    put(&mut certs, &config);
    assert!(certs.server.is_none());
    assert!(certs.refused.as_ref().is_some_and(|why| why.contains(&at.to_string())), "{:?}", certs.refused);
    certs.look(&config);
    assert!(certs.server.is_none(), "it is still somebody else's");
    drop(taken);
    certs.look(&config);
    let directory = certs.server.as_ref().map(|(.., server)| server.directory().to_owned());
    assert_eq!(directory, Some(format!("https://ca.test:{}/directory", at.port())));
    assert_eq!(certs.refused, None);

    put(&mut certs, &storage.config(""));
    assert!(certs.server.is_none());
    assert!(TcpListener::bind(at).is_ok(), "its address is free again");
}
