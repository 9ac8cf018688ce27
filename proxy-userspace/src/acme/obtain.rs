//! From a name to its certificate: alone among all who share the storage, from what was begun before, from the first issuer
//! that gives one.

use std::collections::BTreeSet;

use super::attempts::Attempts;
use super::context::Context;
use super::held::Held;
use super::internal::generate;
use super::limits::{Ledger, Limits};
use super::protocol::ari;
use super::protocol::failure::{Failure, FailureKind};
use super::protocol::journal::{Journal, Order};
use super::protocol::order::Machine;
use super::protocol::prove::Prover;
use super::protocol::shared::{show, waiting};
use super::status::Kind;
use super::storage::{Document, Generation, Meta, StorageError};
use super::task::{Done, Task};
use crate::config::IssuerConfig;
use crate::tls::Certificate;

/// Orders that one piece of work may lead to: each way of proving, staging, each issuer; it ends somewhere.
const MOST_ORDERS: usize = 12;
/// An order that could not be gone on with so often is given up where there is another issuer.
const PATIENCE: u32 = 3;
/// Somebody else has the name: looked at again after this, in seconds.
const STORAGE_AGAIN: u64 = 60;

/// Does what is to be done.
pub(super) async fn work(context: &Context, task: Task) -> Done {
    let guard = match context.shelf.lock(task.name.to_string()).await {
        Ok(Some(guard)) => Some(guard),
        Ok(None) => return busy(context, &task).await,
        // Two might order, where nobody can be alone: better than nobody.
        Err(error) => {
            tracing::warn!("{}: nobody can be kept from ordering too: {error}", task.name);
            None
        }
    };
    let mut task = task;
    match Held::load(&context.shelf, &task.name, task.held.as_ref().and_then(|held| held.id.as_ref())).await {
        Ok(Some(found)) if is_newer(&found, task.held.as_ref()) => {
            // Somebody else got it, or this is the start.
            let done = !found.renewal.is_due(context.clock().unix());
            if done && !task.forced {
                return Done::Serve(found);
            }
            task.held = Some(found);
        }
        Ok(_) => {}
        Err(error) => tracing::warn!("{}: what is kept cannot be read: {error}", task.name),
    }
    let done = Work { context, task: &task }.run().await;
    drop(guard);
    done
}

/// What whoever has the name wants to be seen is shown here too.
async fn busy(context: &Context, task: &Task) -> Done {
    // As long as this is locked, the other one gives us time.
    let told = context.shelf.lock(waiting(&task.name)).await;
    let shown = show(&context.shelf, &context.solvers, &task.name).await;
    drop(told);
    Done::Busy(shown)
}

fn is_newer(found: &Held, held: Option<&Held>) -> bool {
    held.is_none_or(|held| held.certificate.fingerprint != found.certificate.fingerprint)
}

struct Work<'a> {
    context: &'a Context,
    task: &'a Task,
}

impl Work<'_> {
    async fn run(&self) -> Done {
        if let Some(held) = &self.task.held
            && !self.task.forced
        {
            let held = self.look_after(held.clone()).await;
            if !held.renewal.is_due(self.now()) {
                return Done::Stay(held);
            }
        }
        match self.task.kind {
            Kind::Internal => self.internal().await,
            Kind::Acme => self.acme().await,
        }
    }

    fn now(&self) -> u64 {
        self.context.clock().unix()
    }

    /// Keeps what is in memory only, and asks what the CA suggests.
    async fn look_after(&self, mut held: Held) -> Held {
        if held.id.is_none() {
            let (name, generation) = (self.task.name.clone(), Generation::clone(&held.generation));
            held.id = self.context.shelf.run(move |storage| storage.store(&name, &generation)).await.ok();
            if held.id.is_some() {
                tracing::info!("{}: the certificate is kept now", self.task.name);
                Journal::new(self.context.shelf.clone(), false).end(&self.task.name).await;
            }
        }
        if self.task.kind == Kind::Acme && held.renewal.ask <= self.now() {
            self.suggested(&mut held).await;
            held.remember(&self.context.shelf, &self.task.name).await;
        } else if self.task.kind == Kind::Internal && held.renewal.ask != u64::MAX {
            held.renewal.ask = u64::MAX;
            held.remember(&self.context.shelf, &self.task.name).await;
        }
        held
    }

    async fn suggested(&self, held: &mut Held) {
        let meta = &held.generation.meta;
        let now = self.now();
        let Some(issuer) = self.context.issuer(&meta.issuer) else { return held.renewal.asked(now, None) };
        let asked = async {
            let client = self.context.client(issuer)?;
            let directories = &self.context.lasting.directories;
            let directory = directories.get(&client, self.context.clock(), &meta.directory).await?;
            ari::window(&client, self.context.clock(), &directory, held.certificate.leaf()).await
        };
        match asked.await {
            Ok(Some((window, again))) => {
                held.renewal.suggested(window, &held.certificate, fastrand::f64());
                held.renewal.asked(now, again);
            }
            Ok(None) => held.renewal.asked(now, None),
            Err(failure) => {
                tracing::debug!("{}: what {} suggests is not known: {failure}", self.task.name, issuer.name);
                held.renewal.asked(now, failure.retry_after);
            }
        }
    }

    async fn internal(&self) -> Done {
        match self.context.certify(&self.task.name).await {
            Ok(issued) => {
                self.context.lasting.counts.ended("internal", "issued");
                self.keep("internal", "", issued.key_pem, issued.chain_pem, None).await
            }
            Err(failure) => {
                self.context.lasting.counts.ended("internal", failure.kind.label());
                Done::Failed { cause: failure.cause, again: self.now() + STORAGE_AGAIN }
            }
        }
    }

    async fn acme(&self) -> Done {
        let shelf = &self.context.shelf;
        let mut attempts: Attempts =
            shelf.read(Document::Attempts, &self.task.name).await.ok().flatten().unwrap_or_default();
        let mut state =
            State { order: None, resumed: false, spent: BTreeSet::new(), again: u64::MAX, cause: None };
        match Journal::load(shelf, &self.task.name).await {
            Ok(found) => (state.resumed, state.order) = (found.is_some(), found),
            Err(error) => {
                tracing::warn!("{}: an order that is under way may be forgotten: {error}", self.task.name);
            }
        }
        let strict = match shelf.run(|storage| storage.probe()).await {
            Ok(()) => true,
            Err(error)
                if self.task.held.as_ref().is_some_and(|held| held.is_comfortable(self.context.clock())) =>
            {
                self.context.lasting.counts.ended("none", FailureKind::Storage.label());
                return Done::Failed { cause: error.to_string().into(), again: self.now() + STORAGE_AGAIN };
            }
            Err(error) => {
                tracing::error!("{}: the next certificate will be in memory only: {error}", self.task.name);
                false
            }
        };
        let journal = Journal::new(shelf.clone(), strict);
        for _ in 0..MOST_ORDERS {
            match self.attempt(&journal, &mut attempts, &mut state).await {
                Next::Again => {}
                Next::Done(done) => {
                    self.note(&attempts).await;
                    return *done;
                }
                Next::Over => break,
            }
            self.note(&attempts).await;
        }
        self.note(&attempts).await;
        let cause = state.cause.unwrap_or_else(|| self.waits(&attempts));
        let again = if state.again == u64::MAX { self.now() + STORAGE_AGAIN } else { state.again };
        Done::Failed { cause, again: again.max(self.now() + 1) }
    }

    /// Why nobody is asked now.
    fn waits(&self, attempts: &Attempts) -> Box<str> {
        let causes = self.context.config.issuers.iter().filter_map(|issuer| {
            let trouble = attempts.issuers.get(&issuer.name)?;
            Some(format!("{}: {}", issuer.name, trouble.cause))
        });
        causes.collect::<Vec<_>>().join("; ").into()
    }

    async fn note(&self, attempts: &Attempts) {
        if let Err(error) = self.context.shelf.write(Document::Attempts, &self.task.name, attempts).await {
            tracing::debug!("{}: what failed is not kept: {error}", self.task.name);
        }
    }

    /// One order, begun or gone on with.
    async fn attempt(&self, journal: &Journal, attempts: &mut Attempts, state: &mut State) -> Next {
        let mut order = match state.order.take() {
            Some(order) => order,
            None => match self.begin(journal, attempts, state).await {
                Some(order) => order,
                None => return Next::Over,
            },
        };
        let Some(issuer) = self.context.issuer(&order.issuer).filter(|issuer| belongs(issuer, &order)) else {
            tracing::info!(
                "{}: {} is no issuer any more: its order is left alone",
                self.task.name,
                order.issuer
            );
            self.give_up(journal, &mut order).await;
            return Next::Again;
        };
        let not_before = attempts.not_before(&issuer.name);
        if state.resumed && not_before > self.now() && !self.task.forced && order.stalls > 0 {
            // It is not its time yet.
            if self.patient(&order, attempts) {
                state.wait(not_before, None);
                return Next::Over;
            }
            self.give_up(journal, &mut order).await;
            state.resumed = false;
            return Next::Again;
        }
        match self.drive(journal, attempts, issuer, &mut order, state.resumed).await {
            Ok((chain, _)) if *order.directory != *issuer.directory => {
                tracing::info!(
                    "{}: {}'s staging gave a certificate; now itself",
                    self.task.name,
                    issuer.name
                );
                drop(chain);
                attempts.staging_worked(&issuer.name);
                self.give_up(journal, &mut order).await;
                state.resumed = false;
                Next::Again
            }
            Ok((chain, certificate)) => {
                self.context.lasting.counts.ended(&issuer.name, "issued");
                attempts.succeeded();
                let renewal = self.task.held.is_some();
                let name = self.task.name.clone();
                self.ledger(&issuer.directory, move |ledger, now| ledger.issued(&name, renewal, now)).await;
                Prover::clear(&self.context.solvers, &self.context.shelf, &mut order).await;
                let done =
                    self.keep(&issuer.name, &order.directory, order.key_pem, chain, Some(journal)).await;
                drop(certificate);
                Next::Done(Box::new(done))
            }
            Err(failure) => self.failed(journal, attempts, issuer, order, failure, state).await,
        }
    }

    async fn drive(
        &self,
        journal: &Journal,
        attempts: &mut Attempts,
        issuer: &IssuerConfig,
        order: &mut Order,
        resumed: bool,
    ) -> Result<(String, Certificate), Failure> {
        let client = self.context.client(issuer)?;
        let directory = order.directory.clone();
        let ready = self.context.accounts(&client, issuer, &directory).ready().await?;
        if *order.account != *ready.url && order.url.take().is_some() {
            tracing::info!("{}: the account is another one: the order is asked for again", self.task.name);
        }
        order.account = ready.url.clone();
        if order.profile.is_none()
            && order.url.is_none()
            && self.task.name.parse::<std::net::IpAddr>().is_ok()
        {
            // Let's Encrypt gives addresses short-lived certificates only.
            let short = "shortlived";
            order.profile = ready.directory.meta.profiles.contains_key(short).then(|| short.into());
        }
        let mut machine = Machine {
            ready: &ready,
            client: &client,
            clock: self.context.clock(),
            shelf: &self.context.shelf,
            journal,
            solvers: &self.context.solvers,
            history: &mut attempts.history,
            order,
            resumed,
        };
        let done = machine.drive().await;
        if let Err(failure) = &done
            && failure.kind == FailureKind::AccountLost
        {
            self.context.accounts(&client, issuer, &directory).lost(&ready.url).await;
        }
        done
    }

    /// A new order, kept before anybody hears of it. None: nobody may be asked now.
    async fn begin(&self, journal: &Journal, attempts: &Attempts, state: &mut State) -> Option<Order> {
        state.resumed = false;
        for issuer in &self.context.config.issuers {
            if state.spent.contains(&issuer.name) {
                continue;
            }
            let not_before = attempts.not_before(&issuer.name);
            if not_before > self.now() && !self.task.forced {
                state.wait(not_before, None);
                continue;
            }
            if let Some(until) = self.blocked(&issuer.directory).await {
                let cause = format!("{}: its limits would be exceeded, so it is not asked", issuer.name);
                tracing::warn!("{}: {cause}", self.task.name);
                state.wait(until, Some(cause.into()));
                continue;
            }
            return match self.new_order(journal, attempts, issuer).await {
                Ok(order) => Some(order),
                Err(cause) => {
                    state.wait(self.now() + STORAGE_AGAIN, Some(cause));
                    None
                }
            };
        }
        None
    }

    async fn new_order(
        &self,
        journal: &Journal,
        attempts: &Attempts,
        issuer: &IssuerConfig,
    ) -> Result<Order, Box<str>> {
        let staging = issuer.staging.as_ref().filter(|_| attempts.trial(&issuer.name));
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
        journal.begin(&order).await.map_err(|error| error.to_string())?;
        self.ledger(&directory, Ledger::ordered).await;
        Ok(order)
    }

    /// What follows from a failure.
    async fn failed(
        &self,
        journal: &Journal,
        attempts: &mut Attempts,
        issuer: &IssuerConfig,
        mut order: Order,
        failure: Failure,
        state: &mut State,
    ) -> Next {
        let name = &self.task.name;
        tracing::warn!("{name}: no certificate from {}: {failure}", issuer.name);
        self.context.lasting.counts.ended(&issuer.name, failure.kind.label());
        let cause: Box<str> = format!("{}: {failure}", issuer.name).into();
        state.cause = Some(cause.clone());
        state.resumed = false;
        match failure.kind {
            FailureKind::AccountLost | FailureKind::OrderLost | FailureKind::Replaces
                if state.spent.insert(format!("again {}", issuer.name).into()) =>
            {
                // Once: the account is made again, or the order asked for again.
                self.give_up(journal, &mut order).await;
                return Next::Again;
            }
            FailureKind::Unproved => {
                let failed = name.clone();
                self.ledger(&order.directory, move |ledger, now| ledger.failed(&failed, now)).await;
                if issuer.staging.is_some() {
                    attempts.try_staging(&issuer.name);
                }
                let way = order.way.clone().unwrap_or_default();
                self.give_up(journal, &mut order).await;
                if state.spent.insert(format!("{way} at {}", issuer.name).into())
                    && self.has_other_way(attempts, state, issuer)
                {
                    return Next::Again;
                }
            }
            kind if kind.keeps_order() => {
                order.stalls += 1;
                attempts.failed(&issuer.name, &failure, self.now(), fastrand::f64());
                state.wait(attempts.not_before(&issuer.name), Some(cause));
                state.spent.insert(issuer.name.clone());
                if self.patient(&order, attempts) {
                    journal.note(&order).await;
                    return Next::Over;
                }
                self.give_up(journal, &mut order).await;
                return Next::Again;
            }
            _ => self.give_up(journal, &mut order).await,
        }
        attempts.failed(&issuer.name, &failure, self.now(), fastrand::f64());
        state.wait(attempts.not_before(&issuer.name), Some(cause));
        state.spent.insert(issuer.name.clone());
        Next::Again
    }

    /// Whether another way of proving is left that has not failed in this work.
    fn has_other_way(&self, attempts: &Attempts, state: &State, issuer: &IssuerConfig) -> bool {
        let bare = self.task.name.strip_prefix("*.");
        let ways =
            self.context.solvers.order(bare.unwrap_or(&self.task.name), bare.is_some(), &attempts.history);
        let tried = |way: &str| state.spent.contains(&*format!("{way} at {}", issuer.name));
        ways.iter().any(|way| !tried(super::solve::name(*way)))
    }

    /// Whether an order that cannot be gone on with now is waited for: it is, unless somebody else could be asked.
    fn patient(&self, order: &Order, attempts: &Attempts) -> bool {
        let now = self.now();
        let another = self
            .context
            .config
            .issuers
            .iter()
            .any(|issuer| issuer.name != order.issuer && attempts.not_before(&issuer.name) <= now);
        let served = self.task.held.as_ref().is_some_and(|held| held.is_comfortable(self.context.clock()));
        let patience = if order.url.is_some() && served { PATIENCE } else { 1 };
        !another || order.stalls < patience
    }

    /// The order leads nowhere.
    async fn give_up(&self, journal: &Journal, order: &mut Order) {
        Prover::clear(&self.context.solvers, &self.context.shelf, order).await;
        journal.end(&order.name).await;
    }

    /// Until when the issuer's limits forbid to ask it.
    async fn blocked(&self, directory: &str) -> Option<u64> {
        let limits = Limits::of(directory)?;
        let ledger: Ledger = self.context.shelf.read(Document::Ledger, directory).await.ok()??;
        ledger.blocked(limits, &self.task.name, self.task.held.is_some(), self.now())
    }

    /// Writes something into an issuer's ledger: alone, and without waiting long for it.
    async fn ledger(&self, directory: &str, write: impl FnOnce(&mut Ledger, u64) + Send + 'static) {
        if Limits::of(directory).is_none() {
            return;
        }
        let (directory, now) = (Box::<str>::from(directory), self.now());
        let done = self.context.shelf.run(move |storage| {
            let lock = format!("ledger {directory}");
            let mut guard = storage.lock(&lock)?;
            for _ in 0..50 {
                if guard.is_some() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
                guard = storage.lock(&lock)?;
            }
            let kept = storage.get(Document::Ledger, &directory)?;
            let mut ledger: Ledger =
                kept.and_then(|kept| serde_json::from_slice(&kept).ok()).unwrap_or_default();
            write(&mut ledger, now);
            let content = serde_json::to_vec(&ledger).map_err(|error| StorageError {
                at: directory.clone(),
                doing: "cannot be written as JSON",
                source: error.into(),
            })?;
            let done = storage.put(Document::Ledger, &directory, &content);
            drop(guard);
            done
        });
        if let Err(error) = done.await {
            tracing::warn!("{}: what was asked for is not counted: {error}", self.task.name);
        }
    }

    /// Keeps a new certificate; if that fails, in memory.
    async fn keep(
        &self,
        issuer: &str,
        directory: &str,
        key_pem: String,
        chain_pem: String,
        journal: Option<&Journal>,
    ) -> Done {
        let name = self.task.name.clone();
        let meta = Meta {
            name: name.clone(),
            issuer: issuer.into(),
            directory: directory.into(),
            obtained: self.now(),
            on_demand: self.task.on_demand,
        };
        let generation = Generation { key_pem, chain_pem, meta };
        let (owned, kept) = (name.clone(), generation.clone());
        let id = match self.context.shelf.run(move |storage| storage.store(&owned, &kept)).await {
            Ok(id) => {
                // Now, and not before, the order is over.
                if let Some(journal) = journal {
                    journal.end(&name).await;
                }
                Some(id)
            }
            Err(error) => {
                tracing::error!(
                    "{name}: the certificate is served from memory, and a restart would lose it: {error}"
                );
                None
            }
        };
        let Some(held) = Held::of(&name, id, generation) else {
            return Done::Failed {
                cause: format!("{issuer}: its certificate cannot be served").into(),
                again: self.now() + STORAGE_AGAIN,
            };
        };
        tracing::info!("{name}: certificate from {issuer}, serial {}", held.certificate.serial);
        let held = self.look_after(held).await;
        held.remember(&self.context.shelf, &name).await;
        Done::Serve(held)
    }
}

/// How far the work of one name is.
struct State {
    /// An order to go on with.
    order: Option<Order>,
    /// It is not of this work.
    resumed: bool,
    /// Issuers, and ways at issuers, that failed in this work.
    spent: BTreeSet<Box<str>>,
    /// When it goes on, in seconds since 1970.
    again: u64,
    cause: Option<Box<str>>,
}

impl State {
    fn wait(&mut self, until: u64, cause: Option<Box<str>>) {
        self.again = self.again.min(until);
        if cause.is_some() {
            self.cause = cause;
        }
    }
}

/// What follows from one order.
enum Next {
    Again,
    Over,
    Done(Box<Done>),
}

/// Whether an order is one of this issuer's, as it is configured now.
fn belongs(issuer: &IssuerConfig, order: &Order) -> bool {
    order.directory == issuer.directory || issuer.staging.as_ref() == Some(&order.directory)
}
