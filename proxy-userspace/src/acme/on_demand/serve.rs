//! What is under way: one question and one order for a name, whoever and however many want it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinError, JoinSet};

use crate::net::customer::customer;
use crate::tls::{Certificate, Denied, Wanted};

use super::gate::Gate;

/// So many names are under way at once.
const MOST_FLIGHTS: usize = 256;
/// Of these, so many that the same client asked for first.
const MOST_OF_CLIENT: usize = 32;
/// So many handshakes wait for one name.
const MOST_WAITERS: usize = 1024;

/// What waiting handshakes get.
type Outcome = Result<Arc<Certificate>, Denied>;

/// Answers everybody who wants a certificate, until the last one who could ask is gone. `issue` gets one for a name
/// that is permitted: the one that is there by now, or a new one.
pub async fn serve<I, F>(mut wanted: mpsc::Receiver<Wanted>, gate: Arc<Gate>, issue: I)
where
    I: Fn(Box<str>) -> F + Clone + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut flights = Flights { gate, names: HashMap::new(), tasks: JoinSet::new(), ids: HashMap::new() };
    loop {
        tokio::select! {
            next = wanted.recv() => match next {
                Some(wanted) => flights.want(wanted, &issue),
                None => break,
            },
            Some(done) = flights.tasks.join_next_with_id() => flights.land(done),
        }
    }
    while let Some(done) = flights.tasks.join_next_with_id().await {
        flights.land(done);
    }
}

/// Names that are under way.
struct Flights {
    gate: Arc<Gate>,
    names: HashMap<Box<str>, Flight>,
    tasks: JoinSet<Outcome>,
    ids: HashMap<Id, Box<str>>,
}

struct Flight {
    /// Who asked first.
    network: IpAddr,
    waiters: Vec<oneshot::Sender<Outcome>>,
}

impl Flights {
    fn want<I, F>(&mut self, wanted: Wanted, issue: &I)
    where
        I: Fn(Box<str>) -> F + Clone + Send + 'static,
        F: Future<Output = Outcome> + Send + 'static,
    {
        let Wanted { name, client, answer } = wanted;
        if let Some(denied) = self.gate.known(&name) {
            return self.tell(answer, Err(denied));
        }
        if let Some(flight) = self.names.get_mut(&name) {
            // Who has gone away makes room.
            flight.waiters.retain(|waiter| !waiter.is_closed());
            if flight.waiters.len() < MOST_WAITERS {
                return flight.waiters.push(answer);
            }
            return self.tell(answer, Err(Denied::TooMany));
        }
        let network = customer(client);
        let own = self.names.values().filter(|flight| flight.network == network).count();
        if self.names.len() >= MOST_FLIGHTS || own >= MOST_OF_CLIENT {
            return self.tell(answer, Err(Denied::TooMany));
        }
        let task = fly(Arc::clone(&self.gate), name.clone(), client, issue.clone());
        let id = self.tasks.spawn(task).id();
        self.ids.insert(id, name.clone());
        self.names.insert(name, Flight { network, waiters: vec![answer] });
    }

    fn land(&mut self, done: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match done {
            Ok(done) => done,
            // A bug of ours: those who wait are not left waiting.
            Err(error) => (error.id(), Err(Denied::Failed(format!("the attempt broke off: {error}").into()))),
        };
        let Some(flight) = self.ids.remove(&id).and_then(|name| self.names.remove(&name)) else { return };
        for waiter in flight.waiters {
            self.tell(waiter, outcome.clone());
        }
    }

    fn tell(&self, answer: oneshot::Sender<Outcome>, outcome: Outcome) {
        self.gate.count(&outcome);
        // A handshake that was given up no longer wants it; the certificate is there for the next one.
        drop(answer.send(outcome));
    }
}

/// One name's way.
async fn fly<I, F>(gate: Arc<Gate>, name: Box<str>, client: IpAddr, issue: I) -> Outcome
where
    I: Fn(Box<str>) -> F + Send,
    F: Future<Output = Outcome> + Send,
{
    gate.permits(&name, client).await?;
    tracing::info!(%name, %client, "a certificate is got for the first handshake that asks for it");
    let outcome = issue(name.clone()).await;
    match &outcome {
        Ok(_) => {}
        Err(why @ Denied::Failed(_)) => gate.failed(&name, why),
        // Later it may be possible.
        Err(Denied::TooMany | Denied::NotPermitted) => {}
    }
    outcome
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
