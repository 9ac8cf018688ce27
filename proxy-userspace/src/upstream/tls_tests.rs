//! TLS to backends: trust, names, what is shown and spoken, and mistakes.

use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::*;
use crate::upstream::test_ca::{Folder, Leaf, TestCa};

/// A CA in a file, and what it has issued to a backend.
struct Setting {
    folder: Folder,
    ca: TestCa,
    leaf: Leaf,
}

impl Setting {
    fn new() -> Self {
        let (folder, ca) = (Folder::new(), TestCa::new());
        let leaf = ca.leaf(&["backend.test", "127.0.0.1"]);
        Self { folder, ca, leaf }
    }

    /// `tls = { ca = "..." }`.
    fn trusting(&self, ca: &TestCa) -> PoolTlsConfig {
        let ca = self.folder.put("ca.pem", &ca.pem());
        PoolTlsConfig { verify: true, ca: Some(ca), sni: None, client: None }
    }

    fn client(&self, chain: &str, key: &str) -> CertificateFiles {
        let (chain, key) = (self.folder.put("client.pem", chain), self.folder.put("client.key", key));
        CertificateFiles { chain, key, ocsp: None }
    }
}

fn load(config: &PoolTlsConfig) -> PoolTls {
    PoolTls::load(config, UpstreamProtocol::Auto).unwrap()
}

fn at(backend: &str) -> Endpoint {
    backend.parse().unwrap()
}

/// A handshake without a network.
fn handshake(
    tls: &BackendTls,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = tls.connect()?;
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    // Once more after the handshake: session tickets.
    for _ in 0..4 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        while server.read_tls(&mut &wire[..]).unwrap() > 0
            && server.process_new_packets()?.tls_bytes_to_write() == 0
        {
            wire.clear();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut wire = &wire[..];
        while !wire.is_empty() {
            client.read_tls(&mut wire).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

#[test]
fn a_backend_is_who_its_certificate_says_or_is_not_spoken_to() {
    let setting = Setting::new();
    let server = setting.leaf.server(&[], None);
    let tls = load(&setting.trusting(&setting.ca));
    for good in ["127.0.0.1:443", "backend.test:443"] {
        handshake(&tls.backend(&at(good)).unwrap(), &server).unwrap();
    }
    for other in ["127.0.0.2:443", "other.test:443", "unix:/run/x.sock"] {
        let error = handshake(&tls.backend(&at(other)).unwrap(), &server).unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{other}: {error}");
    }
    let named = PoolTlsConfig { sni: Some("backend.test".into()), ..setting.trusting(&setting.ca) };
    handshake(&load(&named).backend(&at("unix:/run/x.sock")).unwrap(), &server).unwrap();

    let strange = load(&setting.trusting(&TestCa::new())).backend(&at("127.0.0.1:443")).unwrap();
    let error = handshake(&strange, &server).unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let anybody = PoolTlsConfig { verify: false, ca: None, sni: None, client: None };
    handshake(&load(&anybody).backend(&at("other.test:443")).unwrap(), &server).unwrap();
}

#[test]
fn a_client_certificate_is_shown_to_who_asks() {
    let setting = Setting::new();
    let server = setting.leaf.server(&[], Some(&setting.ca));
    let mut config = setting.trusting(&setting.ca);
    let without = load(&config).backend(&at("127.0.0.1:443")).unwrap();
    assert!(handshake(&without, &server).is_err());
    let own = setting.ca.leaf(&["proxy.test"]);
    config.client = Some(setting.client(&own.chain, &own.key));
    let (_, server) = handshake(&load(&config).backend(&at("127.0.0.1:443")).unwrap(), &server).unwrap();
    let shown = server.peer_certificates().unwrap();
    assert_eq!(shown[0], CertificateDer::from_pem_slice(own.chain.as_bytes()).unwrap());
}

#[test]
fn what_is_spoken_is_what_the_backend_chooses_of_what_the_pool_speaks() {
    let setting = Setting::new();
    let config = setting.trusting(&setting.ca);
    for (protocol, server, chosen) in [
        (UpstreamProtocol::Auto, &["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (UpstreamProtocol::Auto, &["http/1.1"], Some(b"http/1.1")),
        (UpstreamProtocol::Auto, &[], None),
        (UpstreamProtocol::Http1, &["h2", "http/1.1"], Some(b"http/1.1")),
        (UpstreamProtocol::H2c, &["http/1.1", "h2"], Some(b"h2")),
    ] {
        let tls = PoolTls::load(&config, protocol).unwrap().backend(&at("127.0.0.1:443")).unwrap();
        let (client, _) = handshake(&tls, &setting.leaf.server(server, None)).unwrap();
        assert_eq!(client.alpn_protocol(), chosen, "{protocol:?} {server:?}");
    }
    let h2 = PoolTls::load(&config, UpstreamProtocol::H2c).unwrap();
    let server = setting.leaf.server(&["http/1.1"], None);
    assert!(handshake(&h2.backend(&at("127.0.0.1:443")).unwrap(), &server).is_err());
    let (client, _) = handshake(&h2.check(&at("127.0.0.1:443")).unwrap(), &server).unwrap();
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_session_goes_on_with_the_backend_that_it_was_begun_with() {
    let setting = Setting::new();
    let server = setting.leaf.server(&[], None);
    let config = PoolTlsConfig { sni: Some("backend.test".into()), ..setting.trusting(&setting.ca) };
    let pool = load(&config);
    let (one, other) =
        (pool.backend(&at("10.0.0.1:443")).unwrap(), pool.backend(&at("10.0.0.2:443")).unwrap());
    let kind = |tls| handshake(tls, &server).unwrap().0.handshake_kind();
    assert_eq!(kind(&one), Some(HandshakeKind::Full));
    assert_eq!(kind(&one), Some(HandshakeKind::Resumed));
    assert_eq!(kind(&other), Some(HandshakeKind::Full));
}

#[test]
fn what_the_handshake_depends_on_makes_another_backend() {
    let setting = Setting::new();
    let config = setting.trusting(&setting.ca);
    let one = |config: &PoolTlsConfig| load(config).backend(&at("127.0.0.1:443")).unwrap();
    let before = one(&config);
    assert_eq!(before, one(&config), "the same files");
    setting.folder.put("ca.pem", &TestCa::new().pem());
    assert_ne!(before, one(&config), "another root in the same file");
    assert_ne!(before, load(&config).backend(&at("127.0.0.2:443")).unwrap());
    assert_ne!(one(&config), one(&PoolTlsConfig { verify: false, ca: None, sni: None, client: None }));
}

#[test]
fn what_cannot_be_used_is_said() {
    let setting = Setting::new();
    let good = setting.trusting(&setting.ca);
    let (one, other) = (setting.ca.leaf(&["a.test"]), setting.ca.leaf(&["b.test"]));
    let refused =
        |config: &PoolTlsConfig| PoolTls::load(config, UpstreamProtocol::Auto).unwrap_err().to_string();

    let absent = PoolTlsConfig { ca: Some("/nowhere/ca.pem".into()), ..good.clone() };
    assert!(refused(&absent).starts_with("cannot read /nowhere/ca.pem: No such file"));
    let empty = PoolTlsConfig { ca: Some(setting.folder.put("empty", "")), ..good.clone() };
    assert!(refused(&empty).ends_with("empty has no certificate (PEM)"));
    let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbled = PoolTlsConfig { ca: Some(setting.folder.put("bad", garbled)), ..good.clone() };
    assert!(refused(&garbled).contains("certificate 1 of "), "{}", refused(&garbled));

    let with = |chain: &str, key: &str| {
        refused(&PoolTlsConfig { client: Some(setting.client(chain, key)), ..good.clone() })
    };
    assert!(with(&one.chain, &other.key).contains("cannot be shown to backends: "));
    assert!(
        with(&one.chain, "x")
            .ends_with("client.key has no private key that can be used (PEM, not encrypted)")
    );

    let named = PoolTlsConfig { sni: Some("no name".into()), ..good };
    assert!(refused(&named).starts_with("\"no name\" is neither a DNS name nor an address"));
}
