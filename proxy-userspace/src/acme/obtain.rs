//! What is to be done for a name: alone among all who share the storage, from what is there, what is missing.

use super::context::Context;
use super::held::Held;
use super::issue::{Given, Issue, NotYet};
use super::protocol::ari;
use super::protocol::failure::FailureKind;
use super::protocol::journal::Journal;
use super::protocol::shared::{show, waiting};
use super::status::Kind;
use super::storage::{Generation, Meta};
use super::task::{Done, Task};

/// A storage that failed is tried again after this, in seconds.
const STORAGE_AGAIN: u64 = 60;

/// Does what is to be done.
pub(super) async fn work(context: &Context, task: Task) -> Done {
    let guard = match context.shelf.lock(task.name.to_string()).await {
        Ok(Some(guard)) => Some(guard),
        Ok(None) => return busy(context, task).await,
        // Two might order, where nobody can be alone: better than nobody.
        Err(error) => {
            tracing::warn!("{}: nobody can be kept from ordering too: {error}", task.name);
            None
        }
    };
    let mut task = Task { waits: None, ..task };
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
async fn busy(context: &Context, task: Task) -> Done {
    // As long as this is locked, the other one gives us time to find the proof.
    let waits = match task.waits {
        Some(waits) => Some(waits),
        None => context.shelf.lock(waiting(&task.name)).await.ok().flatten(),
    };
    let shown = show(&context.shelf, &context.solvers, &task.name).await;
    Done::Busy { shown, waits }
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
                let given = Given {
                    issuer: "internal".into(),
                    directory: "".into(),
                    key_pem: issued.key_pem,
                    chain_pem: issued.chain_pem,
                };
                self.keep(given).await
            }
            Err(failure) => {
                self.context.lasting.counts.ended("internal", failure.kind.label());
                Done::Failed { cause: failure.cause, again: self.now() + STORAGE_AGAIN }
            }
        }
    }

    async fn acme(&self) -> Done {
        // Before an order is spent: can its certificate be kept?
        let probed = self.context.shelf.run(|storage| storage.probe()).await;
        if let Err(error) = &probed {
            if self.task.held.as_ref().is_some_and(|held| held.is_comfortable(self.context.clock())) {
                self.context.lasting.counts.ended("none", FailureKind::Storage.label());
                return Done::Failed { cause: error.to_string().into(), again: self.now() + STORAGE_AGAIN };
            }
            tracing::error!("{}: the next certificate will be in memory only: {error}", self.task.name);
        }
        match Issue::new(self.context, self.task, probed.is_ok()).await.run().await {
            Ok(given) => self.keep(given).await,
            Err(NotYet { cause, again }) => Done::Failed { cause, again },
        }
    }

    /// Keeps a new certificate; if that fails, in memory.
    async fn keep(&self, given: Given) -> Done {
        let name = self.task.name.clone();
        let meta = Meta {
            name: name.clone(),
            issuer: given.issuer.clone(),
            directory: given.directory,
            obtained: self.now(),
            on_demand: self.task.on_demand,
        };
        let generation = Generation { key_pem: given.key_pem, chain_pem: given.chain_pem, meta };
        let (owned, kept) = (name.clone(), generation.clone());
        let id = match self.context.shelf.run(move |storage| storage.store(&owned, &kept)).await {
            Ok(id) => {
                // Now, and not before, the order is over.
                Journal::new(self.context.shelf.clone(), false).end(&name).await;
                Some(id)
            }
            Err(error) => {
                tracing::error!(
                    "{name}: the certificate is served from memory: a restart would lose it: {error}"
                );
                None
            }
        };
        let Some(held) = Held::of(&name, id, generation) else {
            let cause = format!("{}: its certificate cannot be served", given.issuer).into();
            return Done::Failed { cause, again: self.now() + STORAGE_AGAIN };
        };
        tracing::info!("{name}: certificate from {}, serial {}", given.issuer, held.certificate.serial);
        let held = self.look_after(held).await;
        held.remember(&self.context.shelf, &name).await;
        Done::Serve(held)
    }
}
