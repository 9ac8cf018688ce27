//! Facts of handshakes, with real ones in memory.

use std::path::PathBuf;

use rustls::{ClientConfig, HandshakeKind, NamedGroup, ProtocolVersion};

use super::super::store::Origin;
use super::super::testing::{Ca, Pair, ask, client, client_with, shake};
use super::*;
use crate::config::{GuardConfig, HostPattern, HostTlsConfig, ListenerName, WebLimits};

/// Everything that a listener is made from.
struct World {
    listener: WebListenerConfig,
    tls: TlsConfig,
    store: Arc<Store>,
    challenges: Arc<Challenges>,
    tickets: Arc<Tickets>,
}

impl World {
    fn new(pairs: &[&Pair]) -> Self {
        let tls = TlsConfig::default();
        let tickets = Arc::new(Tickets::new(&tls.tickets).unwrap());
        let store = Arc::new(Store::default());
        store.put(Origin::Files, pairs.iter().map(|pair| pair.certificate()).collect());
        let own = ListenerTlsConfig {
            policy: TlsPolicy::Intermediate,
            strict_sni: false,
            default: None,
            client_auth: None,
            hsts: None,
        };
        let listener = WebListenerConfig {
            name: name("web"),
            bind: Vec::new(),
            http2: true,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            limits: WebLimits::default(),
            access_log: false,
            guard: GuardConfig::default(),
            tls: Some(own),
            steer: crate::config::SteerConfig::default(),
            redirect_https: None,
        };
        Self { listener, tls, store, challenges: Arc::default(), tickets }
    }

    fn own(&mut self) -> &mut ListenerTlsConfig {
        self.listener.tls.as_mut().unwrap()
    }

    fn host(&mut self, pattern: HostPattern, from: CertificateFrom, client_auth: Option<ClientAuthConfig>) {
        let host = HostTlsConfig { listeners: vec![name("web")], from, client_auth };
        self.tls.hosts.insert(pattern, host);
    }

    fn build(&self) -> ListenerTls {
        ListenerTls::build(&self.listener, &self.tls, &self.store, &self.challenges, &self.tickets)
            .unwrap()
            .unwrap()
    }
}

fn name(name: &str) -> ListenerName {
    ListenerName::from(name)
}

fn exact(name: &str) -> HostPattern {
    HostPattern::Exact(name.into())
}

fn with_alpn(mut client: ClientConfig, alpn: &[&str]) -> Arc<ClientConfig> {
    client.alpn_protocols = alpn.iter().map(|one| one.as_bytes().to_vec()).collect();
    Arc::new(client)
}

fn only(version: &'static rustls::SupportedProtocolVersion) -> Arc<ClientConfig> {
    let client = client();
    let mut roots = rustls::RootCertStore::empty();
    roots.extend([]);
    let mut only = ClientConfig::builder_with_provider(Arc::clone(client.crypto_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    only.dangerous().set_certificate_verifier(super::super::testing::credulous());
    Arc::new(only)
}

fn served(listener: &ListenerTls, name: &str) -> Served {
    match ask(listener, &Arc::new(client()), name).2 {
        Answer::Serve(chosen) => chosen.served,
        other => panic!("{name}: {other:?}"),
    }
}

fn refused(listener: &ListenerTls, name: &str) -> Refusal {
    match ask(listener, &Arc::new(client()), name).2 {
        Answer::Refuse(refusal) => refusal,
        other => panic!("{name}: {other:?}"),
    }
}

/// What the client saw of the server's certificate.
fn leaf(connection: &rustls::ClientConnection) -> &[u8] {
    &connection.peer_certificates().unwrap()[0]
}

fn write(name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let file = std::env::temp_dir().join(format!("proxy-now-listener-{}-{name}", std::process::id()));
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn every_name_gets_its_certificate() {
    let ca = Ca::new("Root");
    let (a, wide, b) = (ca.leaf(&["a.test"]), ca.leaf(&["*.w.test"]), ca.leaf(&["b.test"]));
    let world = World::new(&[&a, &wide, &b]);
    let listener = world.build();
    let client = Arc::new(client());
    for (name, pair) in
        [("a.test", &a), ("b.test", &b), ("B.test", &b), ("x.w.test", &wide), ("other.test", &a)]
    {
        let (seen, _) = shake(&listener, &client, name).unwrap();
        assert_eq!(leaf(&seen), pair.certificate().leaf(), "{name}");
    }
    assert_eq!(served(&listener, "b.test").certificate.leaf(), b.certificate().leaf());
}

#[test]
fn a_default_of_another_name_and_strict_names() {
    let ca = Ca::new("Root");
    let (a, b) = (ca.leaf(&["a.test"]), ca.leaf(&["b.test"]));
    let mut world = World::new(&[&a, &b]);
    world.own().default = Some("b.test".into());
    assert_eq!(served(&world.build(), "other.test").certificate.leaf(), b.certificate().leaf());
    assert_eq!(served(&world.build(), "192.0.2.1").certificate.leaf(), b.certificate().leaf(), "no name");
    world.own().strict_sni = true;
    assert_eq!(refused(&world.build(), "other.test"), Refusal::UnknownName);
    assert_eq!(refused(&world.build(), "192.0.2.1"), Refusal::NoName);
    assert_eq!(Refusal::UnknownName.record(), [21, 3, 3, 0, 2, 2, 112]);
    served(&world.build(), "a.test");
}

#[test]
fn without_any_certificate_handshakes_are_refused_until_there_is_one() {
    let ca = Ca::new("Root");
    let world = World::new(&[]);
    let listener = world.build();
    assert_eq!(refused(&listener, "a.test"), Refusal::NoCertificate);
    world.store.add(Origin::Internal, ca.leaf(&["a.test"]).certificate());
    served(&listener, "a.test");
}

#[test]
fn a_client_that_comes_to_an_address_sees_the_certificate_of_that_address() {
    let ca = Ca::new("Root");
    let (a, address) = (ca.leaf(&["a.test"]), ca.leaf(&["192.0.2.1"]));
    let listener = World::new(&[&a, &address]).build();
    let mut client =
        rustls::ClientConnection::new(Arc::new(client()), "192.0.2.1".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let accepted = super::super::testing::accept(&hello);
    let Answer::Serve(chosen) = listener.config_for(&accepted.client_hello(), Some([192, 0, 2, 1].into()))
    else {
        panic!("refused")
    };
    assert_eq!(chosen.served.certificate.leaf(), address.certificate().leaf());
    let mut server = accepted.into_connection(chosen.config).map_err(|(error, _)| error).unwrap();
    let mut flight = Vec::new();
    server.write_tls(&mut flight).unwrap();
    client.read_tls(&mut &flight[..]).unwrap();
    client.process_new_packets().unwrap();
    assert_eq!(leaf(&client), address.certificate().leaf());
}

#[test]
fn protocols_are_the_listeners_and_no_overlap_is_an_alert() {
    let pair = Ca::new("Root").leaf(&["a.test"]);
    let mut world = World::new(&[&pair]);
    let alpn = |world: &World, offered: &[&str]| {
        let (_, server) = shake(&world.build(), &with_alpn(client(), offered), "a.test")?;
        Ok::<_, rustls::Error>(server.alpn_protocol().map(|one| String::from_utf8_lossy(one).into_owned()))
    };
    assert_eq!(alpn(&world, &["http/1.1", "h2"]), Ok(Some("h2".into())));
    assert_eq!(alpn(&world, &["http/1.1"]), Ok(Some("http/1.1".into())));
    assert_eq!(alpn(&world, &[]), Ok(None));
    assert_eq!(alpn(&world, &["spdy/3"]), Err(rustls::Error::NoApplicationProtocol));
    world.listener.http2 = false;
    assert_eq!(alpn(&world, &["h2", "http/1.1"]), Ok(Some("http/1.1".into())));
}

#[test]
fn policies_differ_in_versions_and_prefer_the_hybrid_group() {
    let pair = Ca::new("Root").leaf(&["a.test"]);
    let mut world = World::new(&[&pair]);
    let (tls12, tls13) = (only(&rustls::version::TLS12), only(&rustls::version::TLS13));
    let version =
        |world: &World, client| Ok(shake(&world.build(), client, "a.test")?.1.protocol_version().unwrap());
    assert_eq!(version(&world, &tls12), Ok(ProtocolVersion::TLSv1_2));
    assert_eq!(version(&world, &tls13), Ok(ProtocolVersion::TLSv1_3));
    world.own().policy = TlsPolicy::Modern;
    assert!(
        version(&world, &tls12).is_err_and(|error: rustls::Error| error.to_string().contains("incompatible"))
    );
    assert_eq!(version(&world, &tls13), Ok(ProtocolVersion::TLSv1_3));
    let groups =
        policy::provider(TlsPolicy::Modern).kx_groups.iter().map(|one| one.name()).collect::<Vec<_>>();
    let hybrid =
        [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];
    assert_eq!(groups, hybrid);
    let mut provider = policy::provider(TlsPolicy::Modern);
    Arc::make_mut(&mut provider).kx_groups.truncate(2);
    let mut new = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    new.dangerous().set_certificate_verifier(super::super::testing::credulous());
    let (_, server) = shake(&world.build(), &Arc::new(new), "a.test").unwrap();
    assert_eq!(server.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
}

#[test]
fn a_proof_is_shown_to_who_asks_by_acme_tls_alone() {
    let ca = Ca::new("Root");
    let (pair, proof) = (ca.leaf(&["a.test"]), ca.leaf(&["b.test"]));
    let mut world = World::new(&[&pair]);
    world.own().strict_sni = true;
    let listener = world.build();
    let acme = with_alpn(client(), &["acme-tls/1"]);
    let refusal = |answer| match answer {
        Answer::Refuse(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal(ask(&listener, &acme, "b.test").2), Refusal::NoProof);
    assert_eq!(refusal(ask(&listener, &acme, "a.test").2), Refusal::NoProof, "a certificate is no proof");
    assert!(world.challenges.put_alpn("b.test", Arc::clone(&proof.certificate().key)));
    let (client, server) = shake(&listener, &acme, "b.test").unwrap();
    assert_eq!(server.alpn_protocol(), Some(ACME_TLS));
    assert_eq!(leaf(&client), proof.certificate().leaf());
    let both = with_alpn(super::super::testing::client(), &["acme-tls/1", "h2"]);
    let (client, server) = shake(&listener, &both, "a.test").unwrap();
    assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(leaf(&client), pair.certificate().leaf());
    world.challenges.remove_alpn("b.test");
    assert_eq!(refusal(ask(&listener, &acme, "b.test").2), Refusal::NoProof);
}

#[test]
fn names_on_demand_are_asked_for_once_there_is_no_certificate() {
    let ca = Ca::new("Root");
    let mut world = World::new(&[&ca.leaf(&["a.test"])]);
    world.own().strict_sni = true;
    world.host(HostPattern::Wildcard("shop.test".into()), CertificateFrom::OnDemand, None);
    let listener = world.build();
    let wanted =
        |name| matches!(ask(&listener, &Arc::new(client()), name).2, Answer::Ask(asked) if &*asked == name);
    assert!(wanted("one.shop.test"));
    assert!(wanted("deep.one.shop.test"));
    assert_eq!(refused(&listener, "shop.test"), Refusal::UnknownName);
    world.store.add(Origin::Acme, ca.leaf(&["one.shop.test"]).certificate());
    assert!(!wanted("one.shop.test"));
    served(&listener, "one.shop.test");
}

#[test]
fn a_client_comes_back_with_a_ticket_whatever_the_version() {
    let pair = Ca::new("Root").leaf(&["a.test", "b.test"]);
    let world = World::new(&[&pair]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = only(version);
        let first = shake(&world.build(), &client, "a.test").unwrap().1;
        assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
        // Another configuration, the same tickets: a reload.
        let second = shake(&world.build(), &client, "a.test").unwrap().1;
        assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed), "{version:?}");
        let third = shake(&world.build(), &client, "b.test").unwrap().1;
        assert_eq!(third.handshake_kind(), Some(HandshakeKind::Full), "another name: {version:?}");
    }
}

#[test]
fn a_client_with_the_right_certificate_is_let_in_and_no_other() {
    let (clients, servers, strangers) = (Ca::new("Clients"), Ca::new("Servers"), Ca::new("Strangers"));
    let mut world = World::new(&[&servers.leaf(&["a.test", "b.test"])]);
    let ca = write("clients.pem", clients.0.pem());
    let mut asked = ClientAuthConfig { ca, optional: false, crl: None, headers: true };
    world.own().client_auth = Some(asked.clone());
    let enter = |world: &World, client: ClientConfig| {
        let (_, server) = shake(&world.build(), &Arc::new(client), "a.test")?;
        Ok::<_, rustls::Error>(server.peer_certificates().map(<[_]>::len))
    };
    let good = clients.leaf(&["someone"]);
    assert_eq!(enter(&world, client_with(&good)), Ok(Some(1)));
    assert!(enter(&world, client()).is_err());
    assert!(enter(&world, client_with(&strangers.leaf(&["someone"]))).is_err());
    assert!(enter(&world, client_with(&clients.leaf_for_days(&["someone"], -9, -2))).is_err());
    assert!(served(&world.build(), "a.test").client_headers);
    asked.optional = true;
    world.own().client_auth = Some(asked);
    assert_eq!(enter(&world, client()), Ok(None));
    assert!(enter(&world, client_with(&strangers.leaf(&["someone"]))).is_err());
}

#[test]
fn a_certificate_is_shown_in_each_handshake_and_no_ticket_stands_for_it() {
    let (clients, servers) = (Ca::new("Clients"), Ca::new("Servers"));
    let mut world = World::new(&[&servers.leaf(&["a.test"])]);
    let ca = write("each.pem", clients.0.pem());
    for optional in [false, true] {
        world.own().client_auth =
            Some(ClientAuthConfig { ca: ca.clone(), optional, crl: None, headers: false });
        let client = Arc::new(client_with(&clients.leaf(&["someone"])));
        for _ in 0..3 {
            let server = shake(&world.build(), &client, "a.test").unwrap().1;
            assert_eq!(
                server.handshake_kind(),
                Some(HandshakeKind::Full),
                "whether it has expired is looked at"
            );
            assert_eq!(server.peer_certificates().map(<[_]>::len), Some(1));
        }
    }
}

#[test]
fn a_revoked_certificate_counts_neither_anew_nor_by_a_ticket() {
    let (clients, servers) = (Ca::new("Clients"), Ca::new("Servers"));
    let mut world = World::new(&[&servers.leaf(&["a.test"])]);
    let ca = write("revoked-ca.pem", clients.0.pem());
    let crl = write("revoked.crl", clients.revoke(&[99]));
    world.own().client_auth =
        Some(ClientAuthConfig { ca, optional: false, crl: Some(crl.clone()), headers: false });
    let pair = clients.leaf_with(&["someone"], |params| params.serial_number = Some(vec![42].into()));
    let client = Arc::new(client_with(&pair));
    let kind = |world: &World| {
        shake(&world.build(), &client, "a.test").map(|(_, server)| server.handshake_kind().unwrap())
    };
    assert_eq!(kind(&world), Ok(HandshakeKind::Full));
    std::fs::write(&crl, clients.revoke(&[42])).unwrap();
    let error = kind(&world).unwrap_err();
    assert!(format!("{error:?}").contains("Revoked"), "{error:?}");
}

#[test]
fn hosts_ask_for_what_they_like_and_no_ticket_carries_over() {
    let (clients, servers) = (Ca::new("Clients"), Ca::new("Servers"));
    let mut world = World::new(&[&servers.leaf(&["open.test", "closed.test"])]);
    let asked = ClientAuthConfig {
        ca: write("hosts-ca.pem", clients.0.pem()),
        optional: false,
        crl: None,
        headers: false,
    };
    world.host(exact("open.test"), CertificateFrom::Auto, None);
    let open = world.build();
    let client = Arc::new(client());
    shake(&open, &client, "open.test").unwrap();
    world.host(exact("closed.test"), CertificateFrom::Auto, Some(asked.clone()));
    let listener = world.build();
    assert!(shake(&listener, &client, "closed.test").is_err());
    let (_, server) = shake(&listener, &client, "open.test").unwrap();
    assert_eq!(server.handshake_kind(), Some(HandshakeKind::Resumed));
    world.host(exact("open.test"), CertificateFrom::Auto, Some(asked));
    assert!(
        shake(&world.build(), &client, "open.test").is_err(),
        "its ticket was made when nothing was asked"
    );
}

#[test]
fn a_connection_serves_what_its_certificate_covers_and_what_asks_no_more() {
    let ca = Ca::new("Root");
    let (pair, other) = (ca.leaf(&["a.test", "b.test", "closed.test"]), ca.leaf(&["other.test"]));
    let mut world = World::new(&[&pair, &other]);
    let open = served(&world.build(), "a.test");
    assert!(world.build().serves(&open, "b.test"));
    assert!(!world.build().serves(&open, "other.test"));
    let default = served(&world.build(), "strange.test");
    assert!(world.build().serves(&default, "strange.test"), "the very name that was asked for");
    assert!(!world.build().serves(&default, "other.test"));
    assert!(
        world.build().serves(&served(&world.build(), "192.0.2.1"), "other.test"),
        "no name was asked for"
    );
    let asked = ClientAuthConfig {
        ca: write("serves-ca.pem", ca.0.pem()),
        optional: true,
        crl: None,
        headers: false,
    };
    world.host(exact("closed.test"), CertificateFrom::Auto, Some(asked));
    let listener = world.build();
    assert!(listener.serves(&open, "b.test"));
    assert!(!listener.serves(&open, "closed.test"));
    assert!(listener.serves(&served(&listener, "closed.test"), "closed.test"));
    assert!(!listener.serves(&served(&listener, "192.0.2.1"), "closed.test"));
    assert!(listener.serves_nobody(&open) && listener.serves_nobody(&served(&listener, "192.0.2.1")));
    assert!(
        !listener.serves_nobody(&served(&listener, "closed.test")),
        "who names no host is asked as all are"
    );
}

#[test]
fn what_is_wrong_with_client_auth_is_told() {
    let pair = Ca::new("Root").leaf(&["a.test"]);
    let mut world = World::new(&[&pair]);
    let good = write("told-ca.pem", Ca::new("Clients").0.pem());
    let empty = write("told-empty.pem", "");
    for (ca, crl, says) in [
        (PathBuf::from("/nowhere/ca.pem"), None, "listener web: client_auth: /nowhere/ca.pem: No such file"),
        (empty.clone(), None, "there is no certificate in it"),
        (good.clone(), Some(empty), "it holds no revocation list that can be read"),
        (good.clone(), Some(good), "it holds no revocation list that can be read"),
    ] {
        world.own().client_auth = Some(ClientAuthConfig { ca, optional: false, crl, headers: false });
        let error =
            ListenerTls::build(&world.listener, &world.tls, &world.store, &world.challenges, &world.tickets)
                .unwrap_err()
                .to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_listener_without_tls_has_none() {
    let mut world = World::new(&[]);
    world.listener.tls = None;
    let built =
        ListenerTls::build(&world.listener, &world.tls, &world.store, &world.challenges, &world.tickets);
    assert!(built.unwrap().is_none());
}

#[test]
fn certificates_are_compressed_for_who_can_unpack_them_and_an_answer_is_stapled() {
    let ca = Ca::new("Root");
    let pair = ca.leaf(&["a.test"]);
    let chain = Pair { chain: pair.chain.clone() + &ca.0.pem(), key: pair.key };
    let world = World::new(&[]);
    let stapled = chain.certificate().with_ocsp(Some(b"an answer".repeat(100)));
    world.store.put(Origin::Files, vec![Arc::new(stapled)]);
    let flight = |client: ClientConfig| {
        let (mut client, mut acceptor, answer) = ask(&world.build(), &Arc::new(client), "a.test");
        let Answer::Serve(chosen) = answer else { panic!("{answer:?}") };
        let accepted = acceptor.accept().map_err(|(error, _)| error).unwrap().unwrap();
        let mut server = accepted.into_connection(chosen.config).map_err(|(error, _)| error).unwrap();
        let mut flight = Vec::new();
        server.write_tls(&mut flight).unwrap();
        client.read_tls(&mut &flight[..]).unwrap();
        client.process_new_packets().unwrap();
        assert_eq!(client.peer_certificates().unwrap().len(), 2);
        flight.len()
    };
    let mut plain = client();
    plain.cert_decompressors = Vec::new();
    let plain = flight(plain);
    for decompressor in rustls::compress::default_cert_decompressors() {
        let mut can = client();
        can.cert_decompressors = vec![*decompressor];
        let small = flight(can);
        assert!(small + 500 < plain, "{small} of {plain}");
    }
}
