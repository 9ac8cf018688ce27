//! Facts about certificates at the first handshake, with a permission endpoint of our own.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::super::counts::Counts;
use super::*;
use crate::acme::solve::web_server::WebServer;
use crate::config::OnDemandConfig;

/// Permits what begins with `good`. Remembers its questions.
struct Endpoint {
    server: WebServer,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    async fn start() -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&asked);
        let answer = move |request: &Request<Bytes>| {
            let query = request.uri().query().unwrap().to_owned();
            let status = match query.split_once("domain=").unwrap().1 {
                name if name.starts_with("good") => 200,
                name if name.starts_with("moved") => 302,
                _ => 403,
            };
            own.lock().unwrap().push(query);
            Response::builder().status(status).body(Bytes::new()).unwrap()
        };
        Self { server: WebServer::start(answer).await, asked }
    }

    fn gate(&self, change: impl FnOnce(&mut OnDemandConfig)) -> Arc<Gate> {
        let ask = Some(self.server.url("/may").into());
        let mut config = OnDemandConfig { ask, ..OnDemandConfig::default() };
        change(&mut config);
        Arc::new(Gate::new(&config, self.server.client()))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Counts orders, and finishes them when it is told to.
#[derive(Clone, Default)]
struct Issuer {
    orders: Arc<AtomicUsize>,
    hold: Option<Arc<Notify>>,
}

impl Issuer {
    fn orders(&self) -> usize {
        self.orders.load(Ordering::SeqCst)
    }

    fn start(&self, gate: &Arc<Gate>) -> mpsc::Sender<Wanted> {
        let (sender, receiver) = mpsc::channel(64);
        let issuer = self.clone();
        let issue = move |name: Box<str>| {
            let issuer = issuer.clone();
            async move {
                issuer.orders.fetch_add(1, Ordering::SeqCst);
                if let Some(hold) = &issuer.hold {
                    hold.notified().await;
                }
                if name.contains("fails") {
                    Err(Denied::Failed("the CA is away".into()))
                } else {
                    Ok(certificate(&name))
                }
            }
        };
        tokio::spawn(serve(receiver, Arc::clone(gate), issue));
        sender
    }
}

fn certificate(name: &str) -> Arc<Certificate> {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let chain = params.self_signed(&key).unwrap().pem();
    Arc::new(Certificate::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap())
}

async fn ask(door: &mpsc::Sender<Wanted>, name: &str, client: &str) -> oneshot::Receiver<Outcome> {
    let (answer, outcome) = oneshot::channel();
    door.send(Wanted { name: name.into(), client: client.parse().unwrap(), answer }).await.unwrap();
    outcome
}

async fn want(door: &mpsc::Sender<Wanted>, name: &str) -> Outcome {
    let outcome = ask(door, name, "2001:db8::7").await;
    timeout(Duration::from_secs(10), outcome).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_endpoint_is_told_name_and_client_and_what_it_permits_is_ordered_once() {
    let endpoint = Endpoint::start().await;
    let hold = Arc::new(Notify::new());
    let issuer = Issuer { hold: Some(Arc::clone(&hold)), ..Issuer::default() };
    let gate = endpoint.gate(|_| {});
    let door = issuer.start(&gate);
    let mut waiting = Vec::new();
    for _ in 0..100 {
        waiting.push(ask(&door, "good.example.com", "2001:db8::7").await);
    }
    // One that was given up does not end what others wait for.
    drop(waiting.remove(0));
    hold.notify_one();
    for outcome in waiting {
        let certificate = outcome.await.unwrap().unwrap();
        assert!(certificate.covers("good.example.com"));
    }
    assert_eq!(endpoint.asked(), ["domain=good.example.com&client=2001:db8::7"]);
    assert_eq!(issuer.orders(), 1);
}

#[tokio::test]
async fn ten_thousand_bogus_names_cost_one_question_each_no_order_and_bounded_memory() {
    let endpoint = Endpoint::start().await;
    let issuer = Issuer::default();
    let gate = endpoint.gate(|config| config.remember_most = 500);
    let door = issuer.start(&gate);
    let mut flood = JoinSet::new();
    for client in 0..8 {
        let door = door.clone();
        flood.spawn(async move {
            for number in 0..1250 {
                let name = format!("bogus-{client}-{number}.example.com");
                let outcome = ask(&door, &name, &format!("192.0.2.{client}")).await.await.unwrap();
                assert_eq!(outcome.unwrap_err(), Denied::NotPermitted);
            }
        });
    }
    // Meanwhile somebody who may.
    want(&door, "good.example.com").await.unwrap();
    while let Some(done) = flood.join_next().await {
        done.unwrap();
    }
    assert_eq!(endpoint.asked().len(), 10_001);
    assert_eq!(issuer.orders(), 1);
    assert_eq!(gate.remembered(), 500);
    assert_eq!(gate.counts(), Counts { issued: 1, refused: 10_000, ..Counts::default() });
}

#[tokio::test]
async fn what_was_refused_is_not_asked_again_and_what_is_no_host_never() {
    let endpoint = Endpoint::start().await;
    let issuer = Issuer::default();
    let gate = endpoint.gate(|_| {});
    let door = issuer.start(&gate);
    for name in ["192.0.2.1", "localhost", "a_b.example.com", "*.example.com", "x/?domain=good"] {
        assert_eq!(want(&door, name).await.unwrap_err(), Denied::NotPermitted);
    }
    assert_eq!(endpoint.asked(), [""; 0]);
    for name in ["bad.example.com", "moved.example.com", "bad.example.com"] {
        assert_eq!(want(&door, name).await.unwrap_err(), Denied::NotPermitted);
    }
    assert_eq!(endpoint.asked().len(), 2);
    // The same configuration again changes nothing; another one asks anew.
    let ask =
        |path| OnDemandConfig { ask: Some(endpoint.server.url(path).into()), ..OnDemandConfig::default() };
    gate.set(&ask("/may"), endpoint.server.client());
    want(&door, "bad.example.com").await.unwrap_err();
    assert_eq!(endpoint.asked().len(), 2);
    gate.set(&ask("/may?key=1"), endpoint.server.client());
    want(&door, "bad.example.com").await.unwrap_err();
    assert_eq!(endpoint.asked()[2], "key=1&domain=bad.example.com&client=2001:db8::7");
    assert_eq!(issuer.orders(), 0);
}

#[tokio::test]
async fn more_than_a_minutes_names_are_refused_until_later_and_are_not_remembered() {
    let endpoint = Endpoint::start().await;
    let issuer = Issuer::default();
    let gate = endpoint.gate(|config| config.per_minute = NonZeroU32::new(2).unwrap());
    let door = issuer.start(&gate);
    want(&door, "good1.example.com").await.unwrap();
    want(&door, "good2.example.com").await.unwrap();
    assert_eq!(want(&door, "good3.example.com").await.unwrap_err(), Denied::TooMany);
    assert_eq!(issuer.orders(), 2);
    assert_eq!(gate.remembered(), 0);
}

#[tokio::test]
async fn a_name_that_issuers_fail_for_is_not_ordered_again_for_a_while() {
    let endpoint = Endpoint::start().await;
    let issuer = Issuer::default();
    let gate = endpoint.gate(|_| {});
    let door = issuer.start(&gate);
    for _ in 0..3 {
        let error = want(&door, "good-fails.example.com").await.unwrap_err();
        assert_eq!(error, Denied::Failed("the CA is away".into()));
    }
    assert_eq!((issuer.orders(), endpoint.asked().len()), (1, 1));
}

#[tokio::test]
async fn one_network_cannot_take_all_places() {
    let endpoint = Endpoint::start().await;
    let hold = Arc::new(Notify::new());
    let issuer = Issuer { hold: Some(Arc::clone(&hold)), ..Issuer::default() };
    let gate = endpoint.gate(|config| config.per_minute = NonZeroU32::new(1000).unwrap());
    let door = issuer.start(&gate);
    let mut waiting = Vec::new();
    for number in 0..MOST_OF_CLIENT {
        waiting.push(ask(&door, &format!("good{number}.example.com"), &format!("2001:db8::{number}")).await);
    }
    let one_more = ask(&door, "good-more.example.com", "2001:db8::ffff").await;
    assert_eq!(one_more.await.unwrap().unwrap_err(), Denied::TooMany);
    // Who waits for a name that is under way anyway takes no place.
    waiting.push(ask(&door, "good0.example.com", "2001:db8::ffff").await);
    waiting.push(ask(&door, "good-other.example.com", "2001:db8:0:1::1").await);
    while issuer.orders() < MOST_OF_CLIENT + 1 {
        tokio::task::yield_now().await;
    }
    hold.notify_waiters();
    for outcome in waiting {
        outcome.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn nobody_is_permitted_where_nobody_answers_or_nobody_is_to_be_asked() {
    let endpoint = Endpoint::start().await;
    let issuer = Issuer::default();
    let gone = endpoint.gate(|config| config.ask = Some("http://127.0.0.1:1/may".into()));
    let door = issuer.start(&gone);
    assert_eq!(want(&door, "good.example.com").await.unwrap_err(), Denied::NotPermitted);
    assert_eq!(gone.counts(), Counts { refused: 1, unanswered: 1, ..Counts::default() });
    let nobody = endpoint.gate(|config| config.ask = None);
    let door = issuer.start(&nobody);
    assert_eq!(want(&door, "good.example.com").await.unwrap_err(), Denied::NotPermitted);
    assert_eq!(issuer.orders(), 0);
}
