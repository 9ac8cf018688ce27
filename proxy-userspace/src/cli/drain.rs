//! `proxy-now drain` and `undrain`: no new flows for a backend, and new flows again.

use std::time::{Duration, Instant};

use clap::Args;

use super::context::Context;
use super::daemon::ask;
use super::outcome::Outcome;
use crate::admin::api::{self, Drained, DrainedBackend};
use crate::admin::{Client, ClientError};
use crate::config::{format_duration, parse_duration};

/// How often a drained backend's flows are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Flows are counted every few seconds: none for this long is none.
const NONE_FOR: Duration = Duration::from_secs(6);

/// Which backend.
#[derive(Debug, Args)]
struct Which {
    /// The backend's address, as the configuration has it; without a port if only one backend has it
    #[arg(value_name = "BACKEND")]
    backend: String,
    /// Only in this pool [default: wherever the backend is]
    #[arg(long)]
    pool: Option<String>,
}

impl From<Which> for api::Drain {
    fn from(which: Which) -> Self {
        Self { backend: which.backend, pool: which.pool }
    }
}

/// Options of `drain`.
#[derive(Debug, Args)]
pub(super) struct Drain {
    #[command(flatten)]
    which: Which,
    /// Return only when the backend has no flow left
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this [default: for ever]
    #[arg(long, requires = "wait", value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// Options of `undrain`.
#[derive(Debug, Args)]
pub(super) struct Undrain {
    #[command(flatten)]
    which: Which,
}

/// The time is over and flows are left.
#[derive(Debug, thiserror::Error)]
#[error("drained, but after {} there are still {flows} flows", format_duration(*.after))]
struct FlowsLeft {
    after: Duration,
    flows: u64,
}

impl Drain {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let which = self.which.into();
        let mut drained = ask(context, async |daemon| daemon.drain(&which).await)?;
        if self.wait {
            context.output.note("waiting for the flows to end");
            drained = ask(context, async |daemon| until_empty(daemon, drained, self.timeout).await)?;
        }
        show(context, &drained);
        match (self.timeout, drained.backends.iter().map(|b| b.flows).sum()) {
            (Some(after), flows @ 1..) => Err(FlowsLeft { after, flows }.into()),
            _ => Ok(()),
        }
    }
}

impl Undrain {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let which = self.which.into();
        let drained = ask(context, async |daemon| daemon.undrain(&which).await)?;
        show(context, &drained);
        Ok(())
    }
}

fn show(context: &Context, drained: &Drained) {
    context.output.answer(drained, |output| {
        for DrainedBackend { pool, backend, state, flows } in &drained.backends {
            let flows = if *flows == 1 { "1 flow".to_owned() } else { format!("{flows} flows") };
            output.line(format_args!("{backend} in pool {pool} is {}, {flows}", state.word()));
        }
    });
}

/// Waits until the backends have no flow, or the time is over; gives back what they have then.
async fn until_empty(
    daemon: &Client,
    mut drained: Drained,
    timeout: Option<Duration>,
) -> Result<Drained, ClientError> {
    let begin = Instant::now();
    let mut empty_since = None;
    loop {
        let status = daemon.status().await?;
        for one in &mut drained.backends {
            let pool = status.pools.iter().find(|pool| pool.name == one.pool);
            let now = pool.and_then(|pool| pool.backends.iter().find(|b| b.address == one.backend));
            (one.flows, one.state) = now.map_or((0, one.state), |b| (b.use_.flows, b.state));
        }
        let empty = drained.backends.iter().all(|one| one.flows == 0);
        empty_since = if empty { empty_since.or_else(|| Some(Instant::now())) } else { None };
        let done = empty_since.is_some_and(|since| since.elapsed() >= NONE_FOR);
        if done || timeout.is_some_and(|timeout| begin.elapsed() >= timeout) {
            return Ok(drained);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
