//! Facts about the ACME server, as a client of another make sees it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, ChallengeType, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
    RevocationRequest,
};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use super::super::super::clock::Clock;
use super::super::super::http::Client;
use super::super::super::solve::Solvers;
use super::super::super::solver::Proof;
use super::*;
use crate::config::{self, AcmeConfig, HostPattern, InternalAcmeConfig, InternalCaConfig};
use crate::tls::{Certificate, Challenges};

/// A CA that serves other machines, and a machine that proves names to it.
struct World {
    folder: PathBuf,
    server: Option<AcmeServer>,
    shown: Arc<Challenges>,
    ports: Ports,
    at: SocketAddr,
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl World {
    async fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("pn-acme-server-{}-{name}", std::process::id()));
        let shown = Arc::<Challenges>::default();
        let ports = Ports { http: show_http(shown.clone()).await, tls: show_tls(shown.clone()).await };
        // Known before it serves: a restart serves at the same place.
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut world = Self { folder, server: None, shown, ports, at };
        world.start();
        world
    }

    fn start(&mut self) {
        let names = vec![HostPattern::Exact("localhost".into()), HostPattern::Exact("127.0.0.1".into())];
        let serve = InternalAcmeConfig { bind: self.at, host: "localhost".into(), names };
        let ca = InternalCaConfig::default();
        let started = AcmeServer::start(&self.folder, &ca, &serve, Clock::system(), self.ports);
        self.server = Some(started.unwrap());
    }

    fn client(&self) -> Box<Client> {
        Box::new(Client::new(Some(&self.folder.join("root.pem"))).unwrap())
    }

    async fn account(&self) -> (Account, instant_acme::AccountCredentials) {
        let new = NewAccount {
            contact: &["mailto:ops@example.com"],
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let directory = self.server.as_ref().unwrap().directory().to_owned();
        Account::builder_with_http(self.client()).create(&new, directory, None).await.unwrap()
    }

    /// Proves all names of an order, and says that they are.
    async fn prove(&self, order: &mut Order, kind: ChallengeType) {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.unwrap();
            let mut challenge = authorization.challenge(kind.clone()).unwrap();
            let authorization = challenge.key_authorization();
            let name = match challenge.identifier().identifier {
                Identifier::Dns(name) => name.clone(),
                Identifier::Ip(address) => address.to_string(),
                other => panic!("{other:?}"),
            };
            match kind {
                ChallengeType::Http01 => {
                    assert!(self.shown.put_http(&challenge.token, authorization.as_str()));
                }
                _ => {
                    let proof = Proof {
                        name: name.into(),
                        wildcard: false,
                        token: challenge.token.as_str().into(),
                        key_authorization: authorization.as_str().into(),
                        dns_value: authorization.dns_value().into(),
                        digest: authorization.digest().as_ref().try_into().unwrap(),
                    };
                    let config = AcmeConfig::default();
                    let solvers = Solvers::new(&config, self.shown.clone(), *self.client(), Clock::system());
                    solvers.present(config::ChallengeType::TlsAlpn01, &proof).await.unwrap();
                }
            }
            challenge.set_ready().await.unwrap();
        }
    }
}

/// Answers by HTTP as a listener of ours would.
async fn show_http(shown: Arc<Challenges>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            let head = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let token = head.split(['/', ' ']).find_map(|word| shown.http(word));
            let answer = match token {
                Some(text) => format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()),
                None => "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

#[derive(Debug)]
struct Shown(Arc<Challenges>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.alpn(hello.server_name()?)
    }
}

/// Shows certificates as a listener of ours would.
async fn show_tls(shown: Arc<Challenges>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_no_client_auth().with_cert_resolver(Arc::new(Shown(shown)));
    config.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A name that is not shown ends here.
            drop(acceptor.accept(stream).await);
        }
    });
    port
}

fn run(what: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(what);
}

fn patient() -> RetryPolicy {
    RetryPolicy::new().initial_delay(Duration::from_millis(20)).timeout(Duration::from_secs(20))
}

fn dns(name: &str) -> Identifier {
    Identifier::Dns(name.into())
}

/// The order's certificate, for these names.
async fn certificate(order: &mut Order, names: &[&str]) -> String {
    let state = order.poll_ready(&patient()).await.unwrap();
    let mut problems = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        problems.extend(authorization.unwrap().challenges.iter().filter_map(|one| one.error.clone()));
    }
    assert_eq!(state, OrderStatus::Ready, "{problems:?}");
    let (csr, key) = csr(names);
    order.finalize_csr(&csr).await.unwrap();
    let chain = order.poll_certificate(&patient()).await.unwrap();
    assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
    let served = Certificate::from_pem(chain.as_bytes(), key.as_bytes()).unwrap();
    assert!(names.iter().all(|name| served.covers(name)), "{served:?}");
    chain
}

/// A request for these names, and its key.
fn csr(names: &[&str]) -> (Vec<u8>, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let csr = params.serialize_request(&key).unwrap();
    (csr.der().to_vec(), key.serialize_pem())
}

#[test]
fn names_and_addresses_are_certified_once_they_are_proved_either_way() {
    run(async {
        let world = World::new("either").await;
        let (account, _) = world.account().await;
        for kind in [ChallengeType::Http01, ChallengeType::TlsAlpn01] {
            let names = [dns("localhost"), Identifier::Ip("127.0.0.1".parse().unwrap())];
            let mut order = account.new_order(&NewOrder::new(&names)).await.unwrap();
            world.prove(&mut order, kind).await;
            certificate(&mut order, &["127.0.0.1", "localhost"]).await;
        }
    });
}

#[test]
fn what_is_not_proved_or_not_permitted_is_not_certified() {
    run(async {
        let world = World::new("refused").await;
        let (account, _) = world.account().await;
        for name in ["example.com", "localhost.example.com", "*.localhost", "a b"] {
            let refused =
                account.new_order(&NewOrder::new(&[dns(name)])).await.map(drop).unwrap_err().to_string();
            assert!(refused.contains("rejectedIdentifier"), "{name}: {refused}");
        }
        let mut order = account.new_order(&NewOrder::new(&[dns("localhost")])).await.unwrap();
        assert!(
            order
                .finalize_csr(&csr(&["localhost"]).0)
                .await
                .unwrap_err()
                .to_string()
                .contains("orderNotReady")
        );
        {
            let mut authorizations = order.authorizations();
            let mut authorization = authorizations.next().await.unwrap().unwrap();
            // Nothing is shown.
            authorization.challenge(ChallengeType::Http01).unwrap().set_ready().await.unwrap();
        }
        let state = order.poll_ready(&patient()).await;
        assert!(matches!(state, Ok(OrderStatus::Invalid)), "{state:?}");
    });
}

#[test]
fn an_account_outlives_a_restart_and_changes_its_key_and_is_nobody_elses() {
    run(async {
        let mut world = World::new("account").await;
        let (mut account, before) = world.account().await;
        let order = account.new_order(&NewOrder::new(&[dns("localhost")])).await.unwrap().url().to_owned();
        let (other, _) = world.account().await;
        let refused = other.order(order).await.map(drop).unwrap_err().to_string();
        assert!(refused.contains("unauthorized"), "{refused}");

        let after = account.update_key().await.unwrap();
        drop(world.server.take());
        world.start();
        let again = async |credentials| {
            Account::builder_with_http(world.client()).from_credentials(credentials).await
        };
        let mut same = again(after).await.unwrap();
        let mut order = same.new_order(&NewOrder::new(&[dns("localhost")])).await.unwrap();
        world.prove(&mut order, ChallengeType::Http01).await;
        certificate(&mut order, &["localhost"]).await;
        same.update_contacts(&["mailto:other@example.com"]).await.unwrap();
        let old = again(before).await.unwrap().new_order(&NewOrder::new(&[dns("localhost")])).await;
        assert!(old.is_err(), "its old key is of no use any more");
        let _ = same.update_key().await.unwrap();
        same.deactivate().await.unwrap();
    });
}

#[test]
fn a_certificate_is_revoked_by_its_orderer_and_only_once() {
    run(async {
        let world = World::new("revoke").await;
        let (account, _) = world.account().await;
        let mut order = account.new_order(&NewOrder::new(&[dns("localhost")])).await.unwrap();
        world.prove(&mut order, ChallengeType::TlsAlpn01).await;
        let chain = certificate(&mut order, &["localhost"]).await;
        let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        let revocation = || RevocationRequest { certificate: &leaf, reason: None };
        let (other, _) = world.account().await;
        assert!(other.revoke(&revocation()).await.unwrap_err().to_string().contains("unauthorized"));
        account.revoke(&revocation()).await.unwrap();
        assert!(account.revoke(&revocation()).await.unwrap_err().to_string().contains("alreadyRevoked"));
        let listed = std::fs::read_to_string(world.folder.join("revoked.json")).unwrap();
        assert!(listed.contains("\"reason\":0"), "{listed}");
    });
}
