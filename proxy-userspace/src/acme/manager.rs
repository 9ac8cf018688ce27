//! The thread that gets certificates and keeps them.

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::clock::Clock;
use super::context::{Context, Lasting};
use super::counts::Counts;
use super::entry::{Ended, Waiter};
use super::handle::{Ask, AskError, Board, Handle, Reason};
use super::obtain::work;
use super::on_demand::{Gate, serve};
use super::revoke::revoke;
use super::roster::{Found, Roster, changed};
use super::status::Metrics;
use super::storage::{FileStorage, Generation};
use super::task::Done;
use crate::config::Config;
use crate::tls::{Certificate, Challenges, Denied, Store, Wanted};

/// Questions that wait.
const MOST_ASKS: usize = 64;
/// Names of CAs that are worked on at a time, and as many of our own.
const AT_ONCE: usize = 16;
/// What has changed is shown no more often than this, unless somebody waits for it.
const SHOW: Duration = Duration::from_millis(100);
/// Files and other daemons are looked at this often.
const LOOK: Duration = Duration::from_secs(30);
/// The clock may step: what is due is looked at no more seldom than this.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What is said to who asks too late.
const ENDING: &str = "the daemon is about to end";

/// Gets certificates and keeps them.
#[derive(Debug)]
pub struct Manager {
    settings: Settings,
    asks: mpsc::Receiver<Ask>,
    board: Arc<Board>,
    lasting: Lasting,
    context: Arc<Context>,
    roster: Roster,
    gate: Arc<Gate>,
    tasks: JoinSet<Output>,
    /// Which name a task works on.
    working: HashMap<Id, Box<str>>,
    /// Certificates are there that handshakes do not find yet.
    unserved: bool,
    /// What others see is not how it is.
    hidden: bool,
}

/// What it works with.
#[derive(Debug)]
pub struct Settings {
    /// Where certificates go.
    pub store: Arc<Store>,
    /// Where proofs are shown.
    pub challenges: Arc<Challenges>,
    /// Names that handshakes ask for.
    pub on_demand: mpsc::Receiver<Wanted>,
    /// What to manage. When its sender is dropped, the manager ends.
    pub config: watch::Receiver<Arc<Config>>,
    /// What time it is.
    pub clock: Clock,
}

/// What a task has done.
#[derive(Debug)]
enum Output {
    Work(Done),
    Revoked(Result<(), AskError>, oneshot::Sender<Result<(), AskError>>),
    /// Somebody else has got newer certificates for these.
    Changed(Vec<Box<str>>),
    Nothing,
}

impl Manager {
    /// Starts the thread. When this is done, what the storage has is served. It ends when the sender of the configuration
    /// is dropped.
    pub fn start(mut settings: Settings) -> io::Result<(Handle, JoinHandle<()>)> {
        let (asking, asks) = mpsc::channel(MOST_ASKS);
        let board = Arc::new(Board::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let lasting = Lasting {
            clock: settings.clock.clone(),
            challenges: Arc::clone(&settings.challenges),
            counts: Arc::new(Counts::default()),
            directories: Arc::default(),
            accounts: Arc::default(),
        };
        let config = Arc::clone(&settings.config.borrow_and_update());
        let mut roster = Roster::default();
        let names = roster.missing(&config, &settings.store, &settings.clock);
        let found = Found::in_storage(&FileStorage::new(&config.acme.storage), &names, true);
        roster.arrange(&config, &settings.store, found, &settings.clock);
        let context = Arc::new(Context::new(lasting.clone(), &config.acme));
        let gate = Arc::new(Gate::new(&config.acme.on_demand, context.client_of_others()));
        let handle = Handle::new(Arc::clone(&board), asking.clone(), Arc::clone(&gate));
        let wanted = std::mem::replace(&mut settings.on_demand, mpsc::channel(1).1);
        let (tasks, working) = (JoinSet::new(), HashMap::new());
        let mut manager = Self {
            settings,
            asks,
            board,
            lasting,
            context,
            roster,
            gate,
            tasks,
            working,
            unserved: true,
            hidden: true,
        };
        manager.show();
        let run = async move {
            let gate = Arc::clone(&manager.gate);
            let demands = tokio::spawn(serve(wanted, gate, move |name| demand(asking.clone(), name)));
            manager.run().await;
            demands.abort();
        };
        let thread = std::thread::Builder::new().name("acme".into()).spawn(move || runtime.block_on(run))?;
        Ok((handle, thread))
    }

    async fn run(&mut self) {
        let mut look = Instant::now() + LOOK;
        let mut shown = Instant::now();
        loop {
            let wake = self.begin_due().min(look);
            // Thousands may come at once: each is shown, but not each by itself.
            let now = Instant::now();
            let wake = match self.hidden {
                true if now < shown + SHOW => wake.min(shown + SHOW),
                true => {
                    self.show();
                    shown = now;
                    wake
                }
                false => wake,
            };
            let task = async {
                match self.tasks.join_next_with_id().await {
                    Some(ended) => ended,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = self.settings.config.changed() => match changed {
                    Ok(()) => self.configure().await,
                    // What is under way is gone on with by whoever starts next.
                    Err(_) => return,
                },
                Some(ask) = self.asks.recv() => self.ask(ask),
                ended = task => self.ended(ended),
                () = sleep_until(wake) => {
                    if Instant::now() >= look {
                        look = Instant::now() + LOOK;
                        self.look().await;
                    }
                }
            }
        }
    }

    fn clock(&self) -> &Clock {
        &self.lasting.clock
    }

    /// Begins what is due. When something is due next, by the clock of timers.
    fn begin_due(&mut self) -> Instant {
        let now = self.clock().now();
        let (acme, internal) = self.roster.working();
        let due = self.roster.due(now, AT_ONCE.saturating_sub(acme), AT_ONCE.saturating_sub(internal));
        for name in due {
            let Some(entry) = self.roster.get(&name) else { continue };
            let task = entry.begin(&name);
            let context = Arc::clone(&self.context);
            let started = self.tasks.spawn(async move { Output::Work(work(&context, task).await) });
            self.working.insert(started.id(), name);
            self.hidden = true;
        }
        let wait = self.roster.next_after(now).map_or(LONGEST_SLEEP, |next| self.clock().until(next));
        Instant::now() + wait.min(LONGEST_SLEEP)
    }

    fn ended(&mut self, ended: Result<(Id, Output), tokio::task::JoinError>) {
        let (id, output) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!("work on a certificate ended in an unexpected way: {error}");
                let cause = "the work on it ended in an unexpected way; the log says more".into();
                (error.id(), Output::Work(Done::Failed { cause, again: self.clock().unix() + 60 }))
            }
        };
        let name = self.working.remove(&id);
        match (output, name) {
            (Output::Work(done), Some(name)) => self.done(&name, done),
            (Output::Revoked(Ok(()), answer), Some(name)) => self.renew(&name, answer),
            (Output::Revoked(refused, answer), _) => {
                // Who asked may be gone.
                let _ = answer.send(refused);
            }
            (Output::Changed(names), _) => self.roster.refresh(&names, self.lasting.clock.now()),
            (Output::Work(_), None) | (Output::Nothing, _) => {}
        }
    }

    fn done(&mut self, name: &str, done: Done) {
        // It may have left the configuration meanwhile.
        let Some(entry) = self.roster.get(name) else { return };
        let Ended { serves, told, shown } = entry.end(done, &self.lasting.clock);
        self.hidden = true;
        self.unserved |= serves;
        if let Some(told) = told
            && entry.is_awaited()
        {
            // Who waits looks for it as soon as it is told.
            self.show();
            if let Some(entry) = self.roster.get(name) {
                entry.tell(name, &told);
            }
        }
        if !shown.is_empty() {
            let context = Arc::clone(&self.context);
            self.tasks.spawn(async move {
                for shown in shown {
                    if let Err(error) = context.solvers.cleanup(shown).await {
                        tracing::debug!("a proof is still shown: {error}");
                    }
                }
                Output::Nothing
            });
        }
        self.roster.drop_idle(name, self.lasting.clock.now());
    }

    async fn configure(&mut self) {
        let config = Arc::clone(&self.settings.config.borrow_and_update());
        if config.acme != self.context.config {
            self.context = Arc::new(Context::new(self.lasting.clone(), &config.acme));
            self.gate.set(&config.acme.on_demand, self.context.client_of_others());
        }
        self.arrange(&config).await;
    }

    /// Files may have come or gone; other daemons may have got certificates.
    async fn look(&mut self) {
        let config = Arc::clone(&self.settings.config.borrow());
        self.arrange(&config).await;
        let (context, known) = (Arc::clone(&self.context), self.roster.known());
        self.tasks.spawn(async move {
            match context.shelf.run(|storage| changed(storage, known)).await {
                Ok(names) => Output::Changed(names),
                Err(error) => {
                    tracing::debug!("{error}");
                    Output::Nothing
                }
            }
        });
    }

    async fn arrange(&mut self, config: &Config) {
        let names = self.roster.missing(config, &self.settings.store, &self.lasting.clock);
        let found = match names.is_empty() {
            true => Found::default(),
            false => {
                let read = move |storage: &dyn super::storage::Storage| {
                    Ok(Found::in_storage(storage, &names, false))
                };
                self.context.shelf.run(read).await.unwrap_or_default()
            }
        };
        if self.roster.arrange(config, &self.settings.store, found, &self.lasting.clock) {
            self.unserved = true;
        }
        self.hidden = true;
    }

    fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Renew(name, answer) => self.renew(&name, answer),
            Ask::Revoke(name, reason, answer) => self.revoke(name, reason, answer),
            Ask::Export(name, answer) => {
                let exported = self.export(&name);
                // Who asked may be gone.
                let _ = answer.send(exported);
            }
            Ask::Demand(name, answer) => {
                let now = self.clock().now();
                let Some(entry) = self.roster.demand(&name, now) else {
                    let _ = answer.send(Err(Denied::TooMany));
                    return;
                };
                match entry.held.as_ref().filter(|held| held.certificate.is_valid(now)) {
                    Some(held) => {
                        let _ = answer.send(Ok(Arc::clone(&held.certificate)));
                    }
                    None => entry.wait(Waiter::Handshake(answer)),
                }
            }
        }
    }

    fn renew(&mut self, name: &str, answer: oneshot::Sender<Result<(), AskError>>) {
        let now = self.clock().now();
        match self.roster.get(name) {
            Some(entry) => entry.force(Waiter::Asked(answer), now),
            None => {
                let _ = answer.send(Err(AskError::Unknown(name.into())));
            }
        }
    }

    fn revoke(&mut self, name: Box<str>, reason: Reason, answer: oneshot::Sender<Result<(), AskError>>) {
        let held = match self.roster.get(&name) {
            None => Err(AskError::Unknown(name.clone())),
            Some(entry) => entry.held.clone().ok_or_else(|| AskError::None(name.clone())),
        };
        let held = match held {
            Ok(held) => held,
            Err(error) => {
                let _ = answer.send(Err(error));
                return;
            }
        };
        let (context, revoked) = (Arc::clone(&self.context), name.clone());
        let started = self.tasks.spawn(async move {
            let done = revoke(&context, &held, reason).await;
            let failed = |failure: super::protocol::failure::Failure| AskError::Failed {
                name: revoked,
                cause: failure.cause,
            };
            Output::Revoked(done.map_err(failed), answer)
        });
        self.working.insert(started.id(), name);
    }

    fn export(&mut self, name: &str) -> Result<Generation, AskError> {
        let entry = self.roster.get(name).ok_or_else(|| AskError::Unknown(name.into()))?;
        let held = entry.held.as_ref().ok_or_else(|| AskError::None(name.into()))?;
        Ok(Generation::clone(&held.generation))
    }

    /// What handshakes find, and what others see.
    fn show(&mut self) {
        if self.unserved {
            self.roster.serve(&self.settings.store);
        }
        (self.unserved, self.hidden) = (false, false);

        let list = self.roster.list();
        let metrics = Metrics {
            issued: self.lasting.counts.issued(),
            in_flight: self.working.len() as u64,
            storage_failures: self.lasting.counts.failures.load(Ordering::Relaxed),
            unstored: list.iter().filter(|status| !status.stored).count() as u64,
        };
        self.board.list.store(Arc::new(list));
        self.board.metrics.store(Arc::new(metrics));
    }
}

/// A certificate for a name that is permitted.
async fn demand(asks: mpsc::Sender<Ask>, name: Box<str>) -> Result<Arc<Certificate>, Denied> {
    let (answer, answered) = oneshot::channel();
    asks.send(Ask::Demand(name, answer)).await.map_err(|_| Denied::Failed(ENDING.into()))?;
    answered.await.unwrap_or(Err(Denied::Failed(ENDING.into())))
}
