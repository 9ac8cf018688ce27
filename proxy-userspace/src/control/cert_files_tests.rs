//! Facts about certificates of files while the daemon runs.

use std::path::{Path, PathBuf};

use super::*;
use crate::config::parse;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pn-cert-files-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a new pair.
    fn pair(&self, name: &str, host: &str) {
        let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
        std::fs::write(self.path(&format!("{name}.crt")), made.cert.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
}

fn started(config: &str) -> (CertFiles, Arc<Store>) {
    let store = Arc::<Store>::default();
    let files = CertFiles::new(store.clone());
    put(&files, config);
    (files, store)
}

fn put(files: &CertFiles, config: &str) {
    let config = Arc::new(parse(config, "proxy.toml").unwrap());
    files.put(&config, CertFiles::marks(&config));
}

fn looks(files: &CertFiles, times: usize) -> Vec<Found> {
    (0..times).map(|_| lock(&files.held).look()).collect()
}

fn directory(path: &Path) -> String {
    format!("[tls]\ndirectory = {path:?}\n")
}

fn fingerprint(store: &Store, name: &str) -> Option<Box<str>> {
    store.find(name).map(|certificate| certificate.fingerprint.clone())
}

#[test]
fn a_pair_that_changes_is_served_and_until_it_is_whole_the_old_one_is() {
    let folder = Folder::new("change");
    folder.pair("a", "a.test");
    let (files, store) = started(&directory(&folder.0));
    let first = fingerprint(&store, "a.test").unwrap();
    // The first look after a start reads what came meanwhile: nothing.
    looks(&files, 3);
    assert_eq!(looks(&files, 2), [Found::Nothing; 2]);

    let key = std::fs::read(folder.path("a.key")).unwrap();
    folder.pair("a", "a.test");
    let new_key = std::fs::read(folder.path("a.key")).unwrap();
    std::fs::write(folder.path("a.key"), key).unwrap();
    assert_eq!(looks(&files, 2), [Found::Nothing, Found::Certificates]);
    assert_eq!(fingerprint(&store, "a.test").unwrap(), first, "chain and key do not belong together");
    let troubles: Vec<_> = files.troubles().iter().map(ToString::to_string).collect();
    assert!(troubles.iter().any(|trouble| trouble.contains("still served")), "{troubles:?}");

    std::fs::write(folder.path("a.key"), new_key).unwrap();
    assert_eq!(looks(&files, 2), [Found::Nothing, Found::Certificates]);
    assert_ne!(fingerprint(&store, "a.test").unwrap(), first);
    assert!(!files.troubles().iter().any(|trouble| trouble.to_string().contains("still served")));
}

#[test]
fn pairs_come_to_a_directory_and_go() {
    let folder = Folder::new("come");
    let (files, store) = started(&directory(&folder.0));
    assert!(store.first().is_none());
    looks(&files, 3);
    folder.pair("b", "b.test");
    looks(&files, 2);
    assert!(fingerprint(&store, "b.test").is_some());
    looks(&files, 3);
    std::fs::remove_file(folder.path("b.crt")).unwrap();
    std::fs::remove_file(folder.path("b.key")).unwrap();
    looks(&files, 2);
    assert!(fingerprint(&store, "b.test").is_none());
}

#[test]
fn other_files_that_are_named_are_a_reload_once() {
    let folder = Folder::new("named");
    let secret = folder.path("secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    let config = format!("[tls]\ntickets = {{ key_file = {secret:?} }}\n");
    let (files, _) = started(&config);
    assert_eq!(looks(&files, 2), [Found::Nothing; 2]);
    std::fs::write(&secret, [8; 33]).unwrap();
    assert_eq!(looks(&files, 3), [Found::Nothing, Found::Named, Found::Nothing]);
}

#[test]
fn whoever_watches_ends_with_the_files_and_orders_a_reload() {
    let folder = Folder::new("watch");
    let secret = folder.path("secret");
    std::fs::write(&secret, [7; 32]).unwrap();
    let (mut files, _) = started(&format!("[tls]\ntickets = {{ key_file = {secret:?} }}\n"));
    let (orders, mut ordered) = mpsc::channel(1);
    files.watch(orders).unwrap();
    std::fs::write(&secret, [8; 33]).unwrap();
    assert_eq!(ordered.blocking_recv(), Some(Order::Reload("a file that it names changed")));
    drop(files);
    assert_eq!(ordered.blocking_recv(), None, "the thread is gone");
}

/// A responder that answers everything with this, and what it was asked.
fn responder(answer: &'static str) -> (std::net::SocketAddr, Receiver<String>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, asked) = channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = [0; 4096];
            let len = connection.read(&mut head).unwrap();
            let _ = seen.send(String::from_utf8_lossy(&head[..len]).into_owned());
            connection.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, asked)
}

#[test]
fn responders_are_asked_and_what_is_wrong_with_their_answers_is_told() {
    let folder = Folder::new("ocsp");
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = rcgen::CertifiedIssuer::self_signed(params, ca_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["a.test".to_owned()]).unwrap();
    let leaf = params.signed_by(&key, &ca).unwrap();
    std::fs::write(folder.path("a.crt"), leaf.pem() + &ca.pem()).unwrap();
    std::fs::write(folder.path("a.key"), key.serialize_pem()).unwrap();

    let (address, asked) = responder("HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let config = format!(
        "[[tls.certificate]]\ncert = {:?}\nkey = {:?}\nocsp = \"http://{address}/\"\n",
        folder.path("a.crt"),
        folder.path("a.key")
    );
    let (mut files, store) = started(&config);
    assert!(store.find("a.test").is_some(), "served without an answer");
    let (orders, _kept) = mpsc::channel(1);
    files.watch(orders).unwrap();
    let request = asked.recv_timeout(Duration::from_secs(30)).unwrap();
    assert!(request.starts_with("POST / HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("content-type: application/ocsp-request\r\n"), "{request}");
    let told = std::iter::repeat_with(|| {
        thread::yield_now();
        files.troubles().iter().map(ToString::to_string).find(|trouble| trouble.contains("it answers"))
    });
    let begin = std::time::Instant::now();
    let told = told.take_while(|_| begin.elapsed() < Duration::from_secs(30)).flatten().next().unwrap();
    assert!(told.contains("500"), "{told}");
}
