//! A certificate from the first issuer that gives one: orders begun, or gone on with, and what follows where one fails.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::attempts::Attempts;
use super::context::Context;
use super::internal::generate;
use super::ledger;
use super::limits::Ledger;
use super::protocol::account::{Accounts, Ready};
use super::protocol::ari;
use super::protocol::failure::{Failure, FailureKind};
use super::protocol::journal::{Journal, Order};
use super::protocol::order::Machine;
use super::protocol::pace::soon;
use super::protocol::prove::Prover;
use super::solve;
use super::storage::Document;
use super::task::Task;
use crate::config::IssuerConfig;

/// Orders that one piece of work may lead to: each way of proving, staging, each issuer; it ends somewhere.
const MOST_ORDERS: usize = 12;
/// An order that could not be gone on with so often is given up where there is another issuer.
const PATIENCE: u32 = 3;
/// A storage that failed is tried again after this, in seconds.
const STORAGE_AGAIN: u64 = 60;
/// Let's Encrypt gives addresses certificates of this profile only.
const SHORT: &str = "shortlived";

/// Gets one certificate.
pub(super) struct Issue<'a> {
    context: &'a Context,
    task: &'a Task,
    journal: Journal,
    attempts: Attempts,
    /// An order to go on with.
    found: Option<Order>,
    /// Issuers, and ways at issuers, that failed in this work.
    spent: BTreeSet<Box<str>>,
    /// When it goes on, in seconds since 1970.
    again: u64,
    cause: Option<Box<str>>,
}

/// A certificate that an issuer gave.
pub(super) struct Given {
    pub(super) issuer: Box<str>,
    pub(super) directory: Box<str>,
    pub(super) key_pem: String,
    pub(super) chain_pem: String,
}

/// There is none, or not yet.
pub(super) struct NotYet {
    pub(super) cause: Box<str>,
    /// When it is tried again, in seconds since 1970.
    pub(super) again: u64,
}

/// What follows from one order.
enum Next {
    Again,
    Over,
    Given(Given),
}

impl<'a> Issue<'a> {
    /// What was begun before, and what has become of asking. The caller is alone at the name.
    pub(super) async fn new(context: &'a Context, task: &'a Task, strict: bool) -> Self {
        let (shelf, name) = (&context.shelf, &task.name);
        let attempts: Option<Attempts> = shelf.read(Document::Attempts, name).await.ok().flatten();
        let found = match Journal::load(shelf, name).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("{name}: an order that is under way may be forgotten: {error}");
                None
            }
        };
        Self {
            journal: Journal::new(shelf.clone(), strict),
            attempts: attempts.unwrap_or_default(),
            found,
            spent: BTreeSet::new(),
            again: u64::MAX,
            cause: None,
            context,
            task,
        }
    }

    /// Asks, until somebody gives one or there is nobody left.
    pub(super) async fn run(mut self) -> Result<Given, NotYet> {
        for _ in 0..MOST_ORDERS {
            let next = self.attempt().await;
            self.keep_attempts().await;
            match next {
                Next::Again => {}
                Next::Given(given) => return Ok(given),
                Next::Over => break,
            }
        }
        let cause = self.cause.take().unwrap_or_else(|| self.old_causes());
        let again = if self.again == u64::MAX { self.now() + STORAGE_AGAIN } else { self.again };
        Err(NotYet { cause, again: again.max(self.now() + 1) })
    }

    /// One order, begun or gone on with.
    async fn attempt(&mut self) -> Next {
        let found = self.found.take();
        let resumed = found.is_some();
        let mut order = match found {
            Some(order) => order,
            None => match self.begin().await {
                Some(order) => order,
                None => return Next::Over,
            },
        };
        let context = self.context;
        let Some(issuer) = context.issuer(&order.issuer).filter(|issuer| belongs(issuer, &order)) else {
            tracing::info!("{}: {} is no issuer any more: its order is left", self.task.name, order.issuer);
            self.give_up(&mut order).await;
            return Next::Again;
        };
        let not_before = self.attempts.not_before(&issuer.name);
        if resumed && order.stalls > 0 && not_before > self.now() && !self.task.forced {
            // It is not its time yet.
            if self.is_patient(&order) {
                self.wait(not_before, None);
                return Next::Over;
            }
            self.give_up(&mut order).await;
            return Next::Again;
        }
        match self.drive(issuer, &mut order, resumed).await {
            Ok(_) if *order.directory != *issuer.directory => {
                tracing::info!(
                    "{}: {}'s staging gave a certificate; now itself",
                    self.task.name,
                    issuer.name
                );
                self.attempts.staging_worked(&issuer.name);
                self.give_up(&mut order).await;
                Next::Again
            }
            Ok(chain_pem) => Next::Given(self.given(issuer, order, chain_pem).await),
            Err(failure) => self.failed(issuer, order, failure).await,
        }
    }

    /// The order stays in the journal until its certificate is kept.
    async fn given(&mut self, issuer: &IssuerConfig, mut order: Order, chain_pem: String) -> Given {
        self.context.lasting.counts.ended(&issuer.name, "issued");
        self.attempts.succeeded();
        let (name, renewal) = (self.task.name.clone(), self.task.held.is_some());
        ledger::note(self.context, &issuer.directory, move |ledger, now| ledger.issued(&name, renewal, now))
            .await;
        Prover::clear(&self.context.solvers, &self.context.shelf, &mut order).await;
        Given { issuer: issuer.name.clone(), directory: order.directory, key_pem: order.key_pem, chain_pem }
    }

    async fn drive(
        &mut self,
        issuer: &IssuerConfig,
        order: &mut Order,
        resumed: bool,
    ) -> Result<String, Failure> {
        let client = self.context.client(issuer)?;
        let directory = order.directory.clone();
        let accounts = self.context.accounts(&client, issuer, &directory);
        let ready = self.ready(&accounts).await?;
        if *order.account != *ready.url && order.url.take().is_some() {
            tracing::info!("{}: the account is another one: the order is asked for again", self.task.name);
        }
        order.account = ready.url.clone();
        if order.profile.is_none() && order.url.is_none() && self.task.name.parse::<IpAddr>().is_ok() {
            order.profile = ready.directory.meta.profiles.contains_key(SHORT).then(|| SHORT.into());
        }
        let mut machine = Machine {
            ready: &ready,
            client: &client,
            clock: self.context.clock(),
            shelf: &self.context.shelf,
            journal: &self.journal,
            solvers: &self.context.solvers,
            history: &mut self.attempts.history,
            order,
            resumed,
        };
        let done = machine.drive().await;
        if done.as_ref().is_err_and(|failure| failure.kind == FailureKind::AccountLost) {
            accounts.lost(&ready.url).await;
        }
        done
    }

    /// The account. A CA that cannot be asked now is asked again soon, unless somebody else could be.
    async fn ready(&self, accounts: &Accounts<'_>) -> Result<Ready, Failure> {
        let mut pass = 1;
        loop {
            let failure = match accounts.ready().await {
                Ok(ready) => return Ok(ready),
                Err(failure) => failure,
            };
            let alone = !self.has_another(&accounts.issuer.name);
            let Some(wait) = soon(&failure, pass).filter(|_| alone) else { return Err(failure) };
            tracing::debug!("{}: {failure}; again in {}s", self.task.name, wait.as_secs());
            tokio::time::sleep(wait).await;
            pass += 1;
        }
    }

    /// A new order, kept before anybody hears of it. None: nobody may be asked now.
    async fn begin(&mut self) -> Option<Order> {
        let context = self.context;
        for issuer in &context.config.issuers {
            if self.spent.contains(&issuer.name) {
                continue;
            }
            let not_before = self.attempts.not_before(&issuer.name);
            if not_before > self.now() && !self.task.forced {
                self.wait(not_before, None);
                continue;
            }
            let renewal = self.task.held.is_some();
            if let Some(until) = ledger::blocked(context, &issuer.directory, &self.task.name, renewal).await {
                let cause = format!("{}: its limits would be exceeded, so it is not asked", issuer.name);
                tracing::warn!("{}: {cause}", self.task.name);
                self.wait(until, Some(cause.into()));
                continue;
            }
            return match self.new_order(issuer).await {
                Ok(order) => Some(order),
                Err(cause) => {
                    self.wait(self.now() + STORAGE_AGAIN, Some(cause));
                    None
                }
            };
        }
        None
    }

    async fn new_order(&self, issuer: &IssuerConfig) -> Result<Order, Box<str>> {
        let staging = issuer.staging.as_ref().filter(|_| self.attempts.trial(&issuer.name));
        let directory = staging.unwrap_or(&issuer.directory).clone();
        let kind = self.context.config.key_type;
        let key = tokio::task::spawn_blocking(move || generate(kind).map(|key| key.serialize_pem())).await;
        let key_pem = match key {
            Ok(key) => key.map_err(|error| format!("no key could be made: {error}"))?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        let held = self.task.held.as_ref().filter(|held| held.generation.meta.directory == directory);
        let replaces = held.and_then(|held| ari::identifier(held.certificate.leaf()));
        let order = Order {
            name: self.task.name.clone(),
            issuer: issuer.name.clone(),
            directory: directory.clone(),
            account: "".into(),
            begun: self.now(),
            key_pem,
            url: None,
            replaces: replaces.map(|replaces| replaces.to_string().into()),
            profile: issuer.profile.clone(),
            way: None,
            shown: Vec::new(),
            stalls: 0,
        };
        self.journal.begin(&order).await.map_err(|error| error.to_string())?;
        ledger::note(self.context, &directory, Ledger::ordered).await;
        Ok(order)
    }

    /// What follows from a failure.
    async fn failed(&mut self, issuer: &IssuerConfig, mut order: Order, failure: Failure) -> Next {
        let name = &self.task.name;
        tracing::warn!("{name}: no certificate from {}: {failure}", issuer.name);
        self.context.lasting.counts.ended(&issuer.name, failure.kind.label());
        let cause: Box<str> = format!("{}: {failure}", issuer.name).into();
        self.cause = Some(cause.clone());
        if matches!(failure.kind, FailureKind::AccountLost | FailureKind::OrderLost | FailureKind::Replaces)
            && self.spent.insert(format!("again {}", issuer.name).into())
        {
            // Once: the account is made again, or the order asked for again.
            self.give_up(&mut order).await;
            return Next::Again;
        }
        if failure.kind == FailureKind::Unproved {
            let failed = name.clone();
            ledger::note(self.context, &order.directory, move |ledger, now| ledger.failed(&failed, now))
                .await;
            if issuer.staging.is_some() {
                self.attempts.try_staging(&issuer.name);
            }
            let way = order.way.take().unwrap_or_default();
            if self.spent.insert(tried(&way, issuer)) && self.has_other_way(issuer) {
                self.give_up(&mut order).await;
                return Next::Again;
            }
        }
        self.attempts.failed(&issuer.name, &failure, self.now(), fastrand::f64());
        self.wait(self.attempts.not_before(&issuer.name), Some(cause));
        self.spent.insert(issuer.name.clone());
        if failure.kind.keeps_order() {
            order.stalls += 1;
            if self.is_patient(&order) {
                self.journal.note(&order).await;
                return Next::Over;
            }
        }
        self.give_up(&mut order).await;
        Next::Again
    }

    /// Whether another way of proving is left that has not failed in this work.
    fn has_other_way(&self, issuer: &IssuerConfig) -> bool {
        let bare = self.task.name.strip_prefix("*.");
        let (name, wildcard) = (bare.unwrap_or(&self.task.name), bare.is_some());
        let ways = self.context.solvers.order(name, wildcard, &self.attempts.history);
        ways.iter().any(|way| !self.spent.contains(&tried(solve::name(*way), issuer)))
    }

    /// Whether an order that cannot be gone on with now is waited for: it is, unless somebody else could be asked, and
    /// then for a while if what is served lasts.
    fn is_patient(&self, order: &Order) -> bool {
        let served = self.task.held.as_ref().is_some_and(|held| held.is_comfortable(self.context.clock()));
        let patience = if order.url.is_some() && served { PATIENCE } else { 1 };
        !self.has_another(&order.issuer) || order.stalls < patience
    }

    /// Whether somebody else could be asked now.
    fn has_another(&self, issuer: &str) -> bool {
        let now = self.now();
        let mut others = self.context.config.issuers.iter().filter(|other| *other.name != *issuer);
        others.any(|other| self.attempts.not_before(&other.name) <= now && !self.spent.contains(&other.name))
    }

    /// The order leads nowhere.
    async fn give_up(&self, order: &mut Order) {
        Prover::clear(&self.context.solvers, &self.context.shelf, order).await;
        self.journal.end(&order.name).await;
    }

    fn wait(&mut self, until: u64, cause: Option<Box<str>>) {
        self.again = self.again.min(until);
        if cause.is_some() {
            self.cause = cause;
        }
    }

    /// Why nobody is asked now.
    fn old_causes(&self) -> Box<str> {
        let causes = self.context.config.issuers.iter().filter_map(|issuer| {
            let trouble = self.attempts.issuers.get(&issuer.name)?;
            Some(format!("{}: {}", issuer.name, trouble.cause))
        });
        causes.collect::<Vec<_>>().join("; ").into()
    }

    async fn keep_attempts(&self) {
        let kept = self.context.shelf.write(Document::Attempts, &self.task.name, &self.attempts).await;
        if let Err(error) = kept {
            tracing::debug!("{}: what failed is not kept: {error}", self.task.name);
        }
    }

    fn now(&self) -> u64 {
        self.context.clock().unix()
    }
}

/// How a way that failed at an issuer is remembered.
fn tried(way: &str, issuer: &IssuerConfig) -> Box<str> {
    format!("{way} at {}", issuer.name).into()
}

/// Whether an order is one of this issuer's, as it is configured now.
fn belongs(issuer: &IssuerConfig, order: &Order) -> bool {
    order.directory == issuer.directory || issuer.staging.as_ref() == Some(&order.directory)
}
