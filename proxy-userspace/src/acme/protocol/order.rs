//! Leads an order to its certificate, from wherever it is: each pass asks the CA how far it is, and goes on from there.

use std::net::IpAddr;
use std::time::Duration;

use instant_acme::{CertificateIdentifier, Identifier, NewOrder, OrderStatus};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use tokio::time::Instant;

use super::super::clock::Clock;
use super::super::http::Client;
use super::super::shelf::Shelf;
use super::super::solve::{History, Solvers};
use super::account::Ready;
use super::failure::{Failure, FailureKind};
use super::find::find;
use super::journal::{Journal, Order};
use super::pace::{Pace, soon};
use super::prove::Prover;
use crate::tls::Certificate;

/// All passes together.
const ORDER_TIME: Duration = Duration::from_secs(600);

/// What leads an order on.
pub(crate) struct Machine<'a> {
    pub(crate) ready: &'a Ready,
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a Clock,
    pub(crate) shelf: &'a Shelf,
    pub(crate) journal: &'a Journal,
    pub(crate) solvers: &'a Solvers,
    pub(crate) history: &'a mut History,
    pub(crate) order: &'a mut Order,
    /// It was found in the journal: the CA may know more of it than we do.
    pub(crate) resumed: bool,
}

impl Machine<'_> {
    /// To the certificate: its chain, PEM. It is one for the name and the key.
    pub(crate) async fn drive(&mut self) -> Result<String, Failure> {
        let until = Instant::now() + ORDER_TIME;
        let mut pass = 1;
        loop {
            let failure = match self.pass(until).await {
                Ok(certificate) => return Ok(certificate),
                Err(failure) => failure,
            };
            let wait = soon(&failure, pass).filter(|wait| Instant::now() + *wait < until);
            let Some(wait) = wait else { return Err(failure) };
            tracing::debug!("{}: {failure}; again in {}s", self.order.name, wait.as_secs());
            tokio::time::sleep(wait).await;
            pass += 1;
            self.resumed = true;
        }
    }

    async fn pass(&mut self, until: Instant) -> Result<String, Failure> {
        let mut theirs = self.open().await?;
        let mut pace = Pace::new(until);
        loop {
            match theirs.state().status {
                OrderStatus::Pending => self.prover(until).prove(&mut theirs).await?,
                OrderStatus::Ready => {
                    self.finalize(&mut theirs).await?;
                    if theirs.state().status == OrderStatus::Valid {
                        continue;
                    }
                }
                OrderStatus::Processing => {}
                OrderStatus::Valid => return self.download(&mut theirs).await,
                OrderStatus::Invalid => return Err(self.invalid(&mut theirs).await),
            }
            pace.pause(&self.ready.tap).await?;
            theirs.refresh().await.map_err(|error| self.failure(error))?;
        }
    }

    /// The order as the CA has it, asked for if it has not.
    async fn open(&mut self) -> Result<instant_acme::Order, Failure> {
        if self.order.url.is_none() && self.resumed {
            let found = find(self.ready, self.client, self.clock, &self.order.name).await?;
            if let Some(url) = found {
                tracing::info!("{}: the CA has the order: {url}", self.order.name);
                self.order.url = Some(url);
                self.journal.note(self.order).await;
            }
        }
        match self.order.url.clone() {
            Some(url) => self.known(&url).await,
            None => self.ask().await,
        }
    }

    async fn known(&self, url: &str) -> Result<instant_acme::Order, Failure> {
        self.ready.account.order(url.to_owned()).await.map_err(|error| {
            let mut failure = self.failure(error);
            // Not this account's, not there any more, not this CA's: whatever it is, it does not lead anywhere.
            if failure.kind == FailureKind::Refused {
                failure.kind = FailureKind::OrderLost;
            }
            failure
        })
    }

    /// Asks for an order. What the CA does not take of what could be left out is left out.
    async fn ask(&mut self) -> Result<instant_acme::Order, Failure> {
        loop {
            let identifiers = [identifier(&self.order.name)];
            let replaces = self.order.replaces.as_deref().and_then(certificate_identifier);
            let mut asked = NewOrder::new(&identifiers);
            if let Some(replaced) = &replaces {
                asked = asked.replaces(replaced.clone());
            }
            if let Some(profile) = &self.order.profile {
                asked = asked.profile(profile);
            }
            let error = match self.ready.account.new_order(&asked).await {
                Ok(theirs) => {
                    self.order.url = Some(theirs.url().into());
                    self.journal.note(self.order).await;
                    return Ok(theirs);
                }
                Err(error) => error,
            };
            let seen = self.ready.tap.seen();
            let unsupported = matches!(error, instant_acme::Error::Unsupported(_));
            let failure = self.failure(error);
            if let Some(url) = seen.location.filter(|_| seen.status == 201) {
                // The order is there, though its answer was cut short, or does not repeat `replaces` (RFC 9773 §5).
                tracing::debug!("{}: {failure}; the order is there all the same", self.order.name);
                self.order.replaces = None;
                self.order.url = Some(url.clone());
                self.journal.note(self.order).await;
                return self.known(&url).await;
            }
            let refused = unsupported || matches!(failure.kind, FailureKind::Replaces | FailureKind::Refused);
            if self.order.replaces.is_some() && refused {
                tracing::debug!("{}: {failure}; again without what it replaces", self.order.name);
                self.order.replaces = None;
            } else if self.order.profile.is_some() && failure.cause.contains("rofile") && refused {
                tracing::warn!("{}: {failure}; again without the profile", self.order.name);
                self.order.profile = None;
            } else {
                return Err(failure);
            }
            self.journal.note(self.order).await;
        }
    }

    /// The same key each time: a CA that has the request already does not mind.
    async fn finalize(&self, theirs: &mut instant_acme::Order) -> Result<(), Failure> {
        let request = request(&self.order.key_pem, &self.order.name).map_err(|error| {
            Failure::new(FailureKind::Refused, format!("no request could be made: {error}"))
        })?;
        match theirs.finalize_csr(&request).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let failure = self.failure(error);
                // Between two answers the CA went on: the next one says how far.
                if failure.cause.contains("orderNotReady") { Ok(()) } else { Err(failure) }
            }
        }
    }

    async fn download(&self, theirs: &mut instant_acme::Order) -> Result<String, Failure> {
        let nonsense = |cause: String| Failure::new(FailureKind::Unreachable, cause);
        let chain = theirs.certificate().await.map_err(|error| self.failure(error))?;
        let chain = chain.ok_or_else(|| nonsense("the CA takes too long".to_owned()))?;
        let certificate = Certificate::from_pem(chain.as_bytes(), self.order.key_pem.as_bytes())
            .map_err(|error| nonsense(format!("the CA's certificate makes no sense: {error}")))?;
        if !certificate.names.contains(&self.order.name) {
            let names = certificate.names.join(", ");
            return Err(Failure::new(FailureKind::Refused, format!("the CA's certificate is for {names}")));
        }
        let now = self.clock.now();
        if now < certificate.not_before {
            tracing::warn!(
                "{}: the certificate is not valid yet: the clock of this machine seems to be in the past",
                self.order.name
            );
        }
        Ok(chain)
    }

    /// Why the CA gave the order up.
    async fn invalid(&mut self, theirs: &mut instant_acme::Order) -> Failure {
        // The authorizations know more than the order.
        match self.prover(Instant::now()).prove(theirs).await {
            Err(failure) if failure.kind == FailureKind::Unproved => failure,
            _ => match &theirs.state().error {
                Some(problem) => {
                    let mut failure = Failure::of_problem(problem, &self.ready.tap.seen());
                    if failure.kind.keeps_order() {
                        failure.kind = FailureKind::OrderLost;
                    }
                    failure
                }
                None => {
                    Failure::new(FailureKind::OrderLost, "the CA gave the order up, and does not say why")
                }
            },
        }
    }

    fn prover(&mut self, until: Instant) -> Prover<'_> {
        Prover {
            solvers: self.solvers,
            shelf: self.shelf,
            journal: self.journal,
            clock: self.clock,
            tap: &self.ready.tap,
            history: self.history,
            order: self.order,
            until,
        }
    }

    fn failure(&self, error: instant_acme::Error) -> Failure {
        Failure::of(error, &self.ready.tap.seen())
    }
}

/// A name as CAs take it (RFC 8555 §9.7.7, RFC 8738 §3).
fn identifier(name: &str) -> Identifier {
    match name.parse::<IpAddr>() {
        Ok(address) => Identifier::Ip(address),
        Err(_) => Identifier::Dns(name.to_owned()),
    }
}

/// RFC 9773 §4.1.
fn certificate_identifier(text: &str) -> Option<CertificateIdentifier<'static>> {
    let (authority, serial) = text.split_once('.')?;
    Some(CertificateIdentifier {
        authority_key_identifier: authority.to_owned().into(),
        serial: serial.to_owned().into(),
    })
}

/// The request for a certificate (PKCS#10), DER.
fn request(key_pem: &str, name: &str) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::from_pem(key_pem)?;
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}
