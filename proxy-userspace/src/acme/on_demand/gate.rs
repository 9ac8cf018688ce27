//! Who may have a certificate: what the configuration says, and what its endpoint says of each name.

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};

use crate::acme::http::Client;
use crate::config::OnDemandConfig;
use crate::tls::Denied;

use super::counts::Counts;
use super::name::is_host;
use super::rate::Rate;
use super::refused::Refused;

/// The endpoint answers within this, or has not permitted it.
const ANSWER: Duration = Duration::from_secs(5);
/// What it did not answer is asked again after this at the earliest.
const UNANSWERED: Duration = Duration::from_secs(10);
/// It is said no oftener than this that it does not answer.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Who may have a certificate. Lives through reloads.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: OnDemandConfig,
    client: Client,
    rate: Rate,
    refused: Refused,
    counts: Counts,
    said: Option<Instant>,
}

/// What the endpoint says.
enum Said {
    Yes,
    No,
    Nothing,
}

impl Gate {
    /// As `[acme.on_demand]` says. The endpoint is asked by this client.
    pub fn new(config: &OnDemandConfig, client: Client) -> Self {
        let rate = Rate::new(config.per_minute, Instant::now());
        let (refused, counts) = (Refused::default(), Counts::default());
        let state = State {
            config: config.clone(),
            client: client.within(ANSWER),
            rate,
            refused,
            counts,
            said: None,
        };
        Self { state: Mutex::new(state) }
    }

    /// Another configuration. If it says something else, nothing that was refused by the old one stays so.
    pub fn set(&self, config: &OnDemandConfig, client: Client) {
        let mut state = self.state();
        if state.config != *config {
            state.refused.clear();
            state.rate.set(config.per_minute);
            state.config = config.clone();
        }
        state.client = client.within(ANSWER);
    }

    /// Since the start.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// What is known without asking anybody.
    pub(super) fn known(&self, name: &str) -> Option<Denied> {
        if !is_host(name) {
            return Some(Denied::NotPermitted);
        }
        self.state().refused.get(name, Instant::now())
    }

    /// Asks. If it may, one of the minute's certificates is taken.
    pub(super) async fn permits(&self, name: &str, client: IpAddr) -> Result<(), Denied> {
        let (ask, http) = {
            let state = self.state();
            (state.config.ask.clone(), state.client.clone())
        };
        let said = match ask {
            Some(ask) => self.ask(&http, &ask, name, client).await,
            None => Said::No,
        };
        let mut state = self.state();
        match said {
            Said::Yes if state.rate.take(Instant::now()) => Ok(()),
            Said::Yes => Err(Denied::TooMany),
            Said::No => {
                let remember = state.config.remember_refused;
                state.refuse(name, Denied::NotPermitted, remember);
                Err(Denied::NotPermitted)
            }
            Said::Nothing => {
                let remember = UNANSWERED.min(state.config.remember_refused);
                state.refuse(name, Denied::NotPermitted, remember);
                state.counts.unanswered += 1;
                Err(Denied::NotPermitted)
            }
        }
    }

    async fn ask(&self, http: &Client, ask: &str, name: &str, client: IpAddr) -> Said {
        // Neither needs to be encoded: a host name, and an address.
        let with = if ask.contains('?') { '&' } else { '?' };
        let url = format!("{ask}{with}domain={name}&client={}", client.to_canonical());
        let failed = match Request::get(url).body(Bytes::new()) {
            Ok(request) => match http.send(request).await {
                Ok(answer) if answer.status() == StatusCode::OK => return Said::Yes,
                Ok(answer) => {
                    tracing::debug!(name, %client, status = %answer.status(), "no certificate: not permitted");
                    return Said::No;
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        let mut state = self.state();
        if state.said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            state.said = Some(Instant::now());
            tracing::warn!(
                ask,
                name,
                "nobody says whether names may have certificates, so none may: {failed}"
            );
        }
        Said::Nothing
    }

    /// What became of a name.
    pub(super) fn count<T>(&self, outcome: &Result<T, Denied>) {
        let counts = &mut self.state().counts;
        *match outcome {
            Ok(_) => &mut counts.issued,
            Err(Denied::Failed(_)) => &mut counts.failed,
            Err(Denied::NotPermitted) => &mut counts.refused,
            Err(Denied::TooMany) => &mut counts.too_many,
        } += 1;
    }

    /// Issuers gave none: they are not asked again for a while.
    pub(super) fn failed(&self, name: &str, why: &Denied) {
        let mut state = self.state();
        let remember = state.config.remember_refused;
        state.refuse(name, why.clone(), remember);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.state().refused.len()
    }
}

impl State {
    fn refuse(&mut self, name: &str, why: Denied, remember: Duration) {
        let now = Instant::now();
        let most = self.config.remember_most as usize;
        self.refused.put(name, why, now + remember, now, most);
    }
}
