//! What a CA offers, and where (RFC 8555 §7.1.1). Asked for once an hour.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use serde::Deserialize;

use super::super::clock::Clock;
use super::super::http::Client;
use super::failure::{Failure, FailureKind};
use super::tap::Seen;

/// It is asked for again after this.
const AGE: Duration = Duration::from_secs(3600);

/// What a CA offers.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) key_change: Option<String>,
    pub(crate) renewal_info: Option<String>,
    #[serde(default)]
    pub(crate) meta: DirectoryMeta,
}

/// What it says of itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectoryMeta {
    #[serde(default)]
    pub(crate) external_account_required: bool,
    /// Names and what they mean.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, String>,
}

/// Directories that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Directories(Mutex<HashMap<Box<str>, Asked>>);

/// When, and what was answered.
type Asked = (Instant, Arc<Directory>);

impl Directories {
    /// The directory at a URL.
    pub(crate) async fn get(
        &self,
        client: &Client,
        clock: &Clock,
        url: &str,
    ) -> Result<Arc<Directory>, Failure> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(url).cloned();
        if let Some((_, directory)) = known.filter(|(asked, _)| asked.elapsed() < AGE) {
            return Ok(directory);
        }
        let directory = Arc::new(ask(client, clock, url).await?);
        let entry = (Instant::now(), Arc::clone(&directory));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(url.into(), entry);
        Ok(directory)
    }
}

async fn ask(client: &Client, clock: &Clock, url: &str) -> Result<Directory, Failure> {
    let (seen, body) = get(client, clock, url).await?;
    let directory = serde_json::from_slice(&body).map_err(instant_acme::Error::Json);
    directory.map_err(|error| Failure::of(error, &seen))
}

/// Asks for what needs no signature.
pub(crate) async fn get(client: &Client, clock: &Clock, url: &str) -> Result<(Seen, Bytes), Failure> {
    let unreachable = |cause: String| Failure::new(FailureKind::Unreachable, cause);
    let request = Request::get(url)
        .header(http::header::USER_AGENT, concat!("proxy-now/", env!("CARGO_PKG_VERSION")))
        .body(Bytes::new())
        .map_err(|error| unreachable(format!("{url}: {error}")))?;
    let answer = match client.send(request).await {
        Ok(answer) => answer,
        Err(error) => {
            return Err(Failure::of(instant_acme::Error::Other(Box::new(error)), &Seen::default()));
        }
    };
    let seen = Seen::of(answer.status().as_u16(), answer.headers(), clock);
    if !answer.status().is_success() {
        let kind = if seen.status == 429 { FailureKind::Limited } else { FailureKind::Unreachable };
        let cause = format!("{url} answered with status {}", seen.status).into();
        return Err(Failure { kind, cause, retry_after: seen.retry_after });
    }
    Ok((seen, answer.into_body()))
}
