//! Handshakes over sockets, from the client's first byte.

use std::io::IoSlice;
use std::rc::Rc;

use proxy_common::client_hello::{self, ClientHello};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::*;
use crate::config::{
    GuardConfig, ListenerTlsConfig, TicketsConfig, TlsConfig, TlsPolicy, WebLimits, WebListenerConfig,
};
use crate::net::epoll::EpollStream;
use crate::net::tls::Fault;
use crate::net::tls::testing::{TestCa, client_end};
use crate::telemetry::abuse::{self, Deed};
use crate::telemetry::handshakes::{self, Alpn, Version};
use crate::telemetry::prometheus::Text;
use crate::tls::fingerprint::{self, Over};
use crate::tls::{Certificate, Challenges, ListenerTls, Origin, Store, Tickets};

/// A listener with a certificate for `a.test`.
struct Front {
    ca: TestCa,
    store: Arc<Store>,
    challenges: Arc<Challenges>,
    listener: Arc<TlsListener>,
    counts: Rc<Handshakes>,
    time: Duration,
    watched: Option<Watched>,
}

type Served = Option<(TlsStream<EpollStream>, TlsInfo)>;

impl Front {
    fn new() -> Self {
        Self::with(None, &TlsConfig::default())
    }

    fn with(on_demand: Option<(crate::tls::OnDemand, Duration)>, tls: &TlsConfig) -> Self {
        let (ca, store, challenges) = (TestCa::new(), Arc::<Store>::default(), Arc::<Challenges>::default());
        let front = config();
        let tickets = Arc::new(Tickets::new(&TicketsConfig::default()).unwrap());
        let rules = ListenerTls::build(&front, tls, &store, &challenges, &tickets).unwrap().unwrap();
        let listener = Arc::new(TlsListener::new(&front, rules, on_demand, (true, [].into())));
        store.add(Origin::Files, certificate(&ca, "a.test"));
        let (counts, time) = (Rc::default(), Duration::from_secs(5));
        Self { ca, store, challenges, listener, counts, time, watched: None }
    }

    /// A client's socket, and what becomes of its handshake.
    fn connect(&self) -> (UnixStream, tokio::task::JoinHandle<Served>) {
        let (client, server) = UnixStream::pair().unwrap();
        let (listener, counts, time) = (Arc::clone(&self.listener), Rc::clone(&self.counts), self.time);
        let watched = self.watched.clone();
        let task = tokio::task::spawn_local(async move {
            let terms = Terms {
                listener: &listener,
                client: "192.0.2.7:1".parse().unwrap(),
                local: "192.0.2.1:443".parse().unwrap(),
                since: Instant::now(),
                time,
                counts: &counts,
                watched: watched.as_ref(),
                limits: None,
            };
            shake(EpollStream::Unix(server), BytesMut::new(), None, terms).await
        });
        (client, task)
    }

    /// A client that asks for this name.
    async fn shake(
        &self,
        name: &str,
        config: ClientConfig,
    ) -> (Result<TlsStream<EpollStream>, Fault>, Served) {
        let (socket, served) = self.connect();
        let mut client = client_end(EpollStream::Unix(socket), config, name);
        let shaken = poll_fn(|context| client.poll_handshake(context)).await;
        if shaken.is_ok() {
            poll_fn(|context| client.poll_flush(context)).await.unwrap();
        }
        (shaken.map(|()| client), served.await.unwrap())
    }

    fn metrics(&self) -> String {
        let mut text = Text::default();
        handshakes::write(&mut text, &[("web", &self.counts)]);
        text.finish()
    }

    fn failed(&self, why: &str) -> bool {
        self.metrics().contains(&format!("reason=\"{why}\"}} 1\n"))
    }
}

fn config() -> WebListenerConfig {
    WebListenerConfig {
        name: "web".into(),
        bind: Vec::new(),
        http2: true,
        proxy_protocol: false,
        trusted_proxies: Vec::new(),
        limits: WebLimits::default(),
        access_log: false,
        guard: GuardConfig::default(),
        tls: Some(ListenerTlsConfig {
            policy: TlsPolicy::Intermediate,
            strict_sni: true,
            default: None,
            client_auth: None,
            hsts: None,
        }),
        steer: crate::config::SteerConfig::default(),
        redirect_https: None,
    }
}

fn certificate(ca: &TestCa, name: &str) -> Arc<Certificate> {
    let (chain, key) = ca.issue(&[name]);
    Arc::new(Certificate::from_der(chain, any_supported_type(&key).unwrap()).unwrap())
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

async fn heard(socket: &mut UnixStream) -> Vec<u8> {
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).await.unwrap();
    heard
}

#[test]
fn a_client_agrees_on_http_2_and_is_served_with_the_certificate_of_its_name() {
    run(async {
        let front = Front::new();
        let mut config = front.ca.client();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (client, served) = front.shake("a.test", config).await;
        assert_eq!(client.unwrap().alpn(), Some(&b"h2"[..]));
        let (_, info) = served.unwrap();
        assert_eq!((info.agreed.alpn, info.agreed.version), (Alpn::H2, Version::Tls13));
        assert_eq!(info.sni(), Some("a.test"));
        // Which groups and ciphers this library offers is its own matter.
        let ja4 = info.ja4.as_deref().unwrap();
        assert!(ja4.starts_with("t13d") && ja4[8..].starts_with("h2_") && ja4.len() == 36, "{ja4}");
        assert!(front.listener.rules.serves(&info.served, "a.test"));
        assert!(!front.listener.rules.serves(&info.served, "b.test"));
        assert!(front.metrics().contains("alpn=\"h2\",resumed=\"no\"} 1\n"));
    });
}

#[test]
fn a_client_of_a_listed_kind_and_one_that_fails_are_told_of() {
    run(async {
        let mut front = Front::new();
        let (sink, mut events) = abuse::channel();
        let sink = sink.wanting([Deed::Ja4, Deed::Handshake, Deed::UnknownSni]);
        front.watched = Watched::of(&sink, "192.0.2.7".parse().unwrap(), &Arc::new(config()));
        let (_, served) = front.shake("a.test", front.ca.client()).await;
        let ja4 = served.unwrap().1.ja4.unwrap();
        assert_eq!(events.waiting(), None);
        Arc::get_mut(&mut front.listener).unwrap().listed_ja4.insert(ja4.clone());
        assert!(front.shake("a.test", front.ca.client()).await.1.is_some(), "who bans is elsewhere");
        let event = events.waiting().unwrap();
        assert_eq!((event.deed, event.ja4, &*event.listener), (Deed::Ja4, Some(ja4), "web"));
        // Of an unknown name both are told.
        assert!(front.shake("b.test", front.ca.client()).await.1.is_none());
        assert_eq!(events.waiting().unwrap().deed, Deed::Ja4);
        assert_eq!(events.waiting().unwrap().deed, Deed::UnknownSni);
        let (mut socket, served) = front.connect();
        socket.write_all(&[22; 100]).await.unwrap();
        assert!(served.await.unwrap().is_none());
        assert_eq!(events.waiting().unwrap().deed, Deed::Handshake);
    });
}

#[test]
fn a_session_goes_on() {
    run(async {
        let front = Front::new();
        let config = front.ca.client();
        for resumed in [false, true] {
            let (client, served) = front.shake("a.test", config.clone()).await;
            let mut client = client.unwrap();
            let (mut server, info) = served.unwrap();
            assert_eq!(info.agreed.resumed, resumed);
            // The ticket goes with what is said first.
            poll_fn(|context| server.poll_write(context, &[IoSlice::new(b"hello")])).await.unwrap();
            let mut read = BytesMut::with_capacity(100);
            poll_fn(|context| client.poll_read(context, &mut read)).await.unwrap();
            assert_eq!(&read[..], b"hello");
        }
    });
}

/// A ClientHello that a client sends, with an extension of so many zeros more (RFC 7685), in one record.
fn padded(front: &Front, zeros: u16) -> Vec<u8> {
    let name = "a.test".to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(front.ca.client()), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let more = zeros + 4;
    let longer = |length: u16| (length + more).to_be_bytes();
    let at = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
    // Behind the version, the random bytes, the session, the ciphers and the compressions.
    let session = 5 + 4 + 2 + 32;
    let ciphers = session + 1 + usize::from(hello[session]);
    let compressions = ciphers + 2 + usize::from(at(ciphers));
    let extensions = compressions + 1 + usize::from(hello[compressions]);
    for (place, length) in [(3, at(3)), (7, at(7)), (extensions, at(extensions))] {
        hello[place..place + 2].copy_from_slice(&longer(length));
    }
    hello.extend([0, 21]);
    hello.extend(zeros.to_be_bytes());
    hello.resize(hello.len() + usize::from(zeros), 0);
    hello
}

#[test]
fn who_cannot_be_told_gets_past_nobody_who_wants_to_know() {
    run(async {
        for (zeros, wants, first) in [(0, true, 22), (16_300, true, 21), (16_300, false, 22)] {
            let mut front = Front::new();
            Arc::get_mut(&mut front.listener).unwrap().wants_ja4 = wants;
            let hello = padded(&front, zeros);
            assert_eq!(hello.len() > 5 + (16 << 10), zeros > 0, "{}", hello.len());
            let (mut socket, served) = front.connect();
            socket.write_all(&hello).await.unwrap();
            let mut record = [0; 7];
            socket.read_exact(&mut record).await.unwrap();
            assert_eq!(record[0], first, "{record:?}");
            drop(socket);
            assert!(served.await.unwrap().is_none());
            if first == 21 {
                assert_eq!(record[6], 50, "decode_error");
                assert!(front.failed("protocol"), "{}", front.metrics());
            }
        }
    });
}

#[test]
fn a_hello_may_come_byte_by_byte() {
    run(async {
        let front = Front::new();
        let mut hello = Vec::new();
        let name = "a.test".to_owned().try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(front.ca.client()), name).unwrap();
        client.write_tls(&mut hello).unwrap();
        let (mut socket, _served) = front.connect();
        for byte in hello {
            socket.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = [0; 6];
        socket.read_exact(&mut answer).await.unwrap();
        // A handshake's record, with a ServerHello in it.
        assert_eq!((answer[0], answer[5]), (22, 2));
    });
}

/// What is made of these bytes, which come one by one.
async fn read_hello(bytes: &[u8], wants_ja4: bool) -> Result<Hello, Failed> {
    let (mut client, server) = UnixStream::pair().unwrap();
    let mut server = EpollStream::Unix(server);
    let write = async {
        for byte in bytes {
            client.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let mut read = BytesMut::new();
    tokio::join!(write, Hello::read(&mut server, &mut read, wants_ja4)).1
}

#[test]
fn a_fingerprint_is_made_of_what_came_for_whoever_wants_it() {
    run(async {
        let mut config = TestCa::new().client();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut hello = Vec::new();
        let name = "a.test".to_owned().try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        client.write_tls(&mut hello).unwrap();
        let message = client_hello::whole(&hello).unwrap();
        let expected = fingerprint::ja4(&ClientHello::read(message).unwrap(), Over::Tcp);
        let made = read_hello(&hello, true).await.unwrap();
        assert_eq!(made.ja4.as_deref(), Some(&*expected));
        assert!(read_hello(&hello, false).await.unwrap().ja4.is_none());
        // The same in small records.
        let record = |content: &[u8]| [&[22, 3, 1, 0, content.len() as u8][..], content].concat();
        let small: Vec<u8> = message.chunks(90).flat_map(record).collect();
        assert_eq!(read_hello(&small, true).await.unwrap().ja4.as_deref(), Some(&*expected));
    });
}

#[test]
fn who_speaks_http_without_tls_is_told_so() {
    run(async {
        let front = Front::new();
        let (mut socket, served) = front.connect();
        socket.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await.unwrap();
        let told = String::from_utf8(heard(&mut socket).await).unwrap();
        assert!(told.starts_with("HTTP/1.1 400 ") && told.contains("https://"), "{told}");
        assert!(served.await.unwrap().is_none());
        assert!(front.failed("plain_http"));
    });
}

#[test]
fn what_is_no_hello_ends_with_an_alert() {
    run(async {
        let front = Front::new();
        for bytes in [&b"\x16\x03\x01\xff\xff"[..], b"\x15\x03\x01\x00\x02\x01\x5a", b"\x80\x2e\x01\x00\x02"]
        {
            let (mut socket, served) = front.connect();
            socket.write_all(bytes).await.unwrap();
            socket.write_all(&[b'x'; 100]).await.unwrap();
            let told = heard(&mut socket).await;
            assert!(told.is_empty() || told[0] == 21, "{told:?}");
            assert!(served.await.unwrap().is_none());
        }
    });
}

#[test]
fn who_asks_for_a_name_that_nobody_covers_is_refused() {
    run(async {
        let front = Front::new();
        let (client, served) = front.shake("b.test", front.ca.client()).await;
        let error = client.unwrap_err().to_string();
        assert!(error.contains("UnrecognisedName"), "{error}");
        assert!(served.is_none());
        assert!(front.failed("unknown_name"));
    });
}

#[test]
fn who_speaks_no_protocol_of_ours_is_refused() {
    run(async {
        let front = Front::new();
        let mut config = front.ca.client();
        config.alpn_protocols = vec![b"spdy/3".to_vec()];
        let (client, _) = front.shake("a.test", config).await;
        let error = client.unwrap_err().to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
        assert!(front.failed("alpn"));
    });
}

#[test]
fn who_is_silent_or_stands_still_is_left() {
    run(async {
        let mut front = Front::new();
        front.time = Duration::from_millis(50);
        let (mut silent, served) = front.connect();
        assert!(heard(&mut silent).await.is_empty());
        assert!(served.await.unwrap().is_none());
        let mut hello = Vec::new();
        let name = "a.test".to_owned().try_into().unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(front.ca.client()), name).unwrap();
        client.write_tls(&mut hello).unwrap();
        for sent in [&hello[..40], &hello] {
            let (mut socket, served) = front.connect();
            socket.write_all(sent).await.unwrap();
            let answered = !heard(&mut socket).await.is_empty();
            assert_eq!(answered, sent.len() == hello.len());
            assert!(served.await.unwrap().is_none());
        }
        assert!(front.metrics().contains("reason=\"timeout\"} 3\n"));
    });
}

#[test]
fn a_ca_finds_its_proof_and_nothing_else_is_served() {
    run(async {
        let front = Front::new();
        let mut config = front.ca.client();
        config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
        let (client, _) = front.shake("new.test", config.clone()).await;
        assert!(client.is_err());
        assert!(front.failed("no_proof"));
        front.challenges.put_alpn("new.test", Arc::clone(&certificate(&front.ca, "new.test").key));
        let (client, served) = front.shake("new.test", config).await;
        assert_eq!(client.unwrap().alpn(), Some(&b"acme-tls/1"[..]));
        assert!(served.is_none());
        assert!(front.metrics().contains("alpn=\"acme-tls/1\",resumed=\"no\"} 1\n"));
    });
}

#[test]
fn a_name_gets_its_certificate_while_its_first_client_waits() {
    run(async {
        let (ask, mut asked) = mpsc::channel::<Wanted>(1);
        let mut tls = TlsConfig::default();
        let every = crate::config::HostTlsConfig {
            listeners: vec!["web".into()],
            from: crate::config::CertificateFrom::OnDemand,
            client_auth: None,
        };
        tls.hosts.insert(crate::config::HostPattern::every(), every);
        let front = Front::with(Some((ask, Duration::from_secs(5))), &tls);
        let got = async {
            let wanted = asked.recv().await.unwrap();
            assert_eq!((&*wanted.name, wanted.client.to_string().as_str()), ("new.test", "192.0.2.7"));
            let certificate = certificate(&front.ca, "new.test");
            front.store.add(Origin::Acme, Arc::clone(&certificate));
            wanted.answer.send(Ok(certificate)).unwrap();
            let wanted = asked.recv().await.unwrap();
            wanted.answer.send(Err(Denied::NotPermitted)).unwrap();
        };
        let ask = async {
            let (client, served) = front.shake("new.test", front.ca.client()).await;
            assert!(client.is_ok() && served.is_some());
            let (client, served) = front.shake("evil.test", front.ca.client()).await;
            assert!(client.is_err() && served.is_none());
            assert!(front.failed("not_permitted"));
        };
        tokio::join!(got, ask);
    });
}
