//! What is asked and answered about ClientHellos as they come, as it stands in JSON.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Somebody looks on: what has come since it asked last, and what comes until it asks again.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceRequest {
    /// Only those who name this host; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
}

/// What has come.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Traced {
    /// First what the kernel programs told, then what workers did.
    pub hellos: Vec<TracedHello>,
    /// So many more came that were not kept.
    pub lost: u64,
}

/// What was decided about a ClientHello.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TracedHello {
    /// `kernel` or `worker`.
    pub by: String,
    /// The listener.
    pub listener: String,
    /// The client.
    pub client: SocketAddr,
    /// The host that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// What it would speak.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// The highest version that it speaks: `1.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The kernel programs' fingerprint, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// What became of it: `passed`, `dropped`, `reset`, `limited`, `left` (to the worker); `terminated`, `passed`,
    /// `refused`.
    pub decision: String,
    /// Why, where it came to nothing, or was left to the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The route that said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
}
