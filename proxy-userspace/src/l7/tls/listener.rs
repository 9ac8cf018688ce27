//! What an `https` listener goes by: made by `control` from a configuration.

use std::collections::HashSet;
use std::time::Duration;

use http::HeaderValue;

use super::hsts;
use crate::config::WebListenerConfig;
use crate::tls::{ListenerTls, OnDemand};

/// What an `https` listener goes by.
#[derive(Debug)]
pub struct TlsListener {
    /// What handshakes go by.
    pub rules: ListenerTls,
    /// Who gets certificates when they are first asked for, and how long a client waits.
    pub on_demand: Option<(OnDemand, Duration)>,
    /// Strict-Transport-Security of its answers.
    pub hsts: Option<HeaderValue>,
    /// Somebody asks for the JA4 of its clients.
    pub wants_ja4: bool,
    /// Those that are told of.
    pub listed_ja4: HashSet<Box<str>>,
}

impl TlsListener {
    /// As configured.
    pub fn new(
        listener: &WebListenerConfig,
        rules: ListenerTls,
        on_demand: Option<(OnDemand, Duration)>,
        (wants_ja4, listed_ja4): (bool, HashSet<Box<str>>),
    ) -> Self {
        let hsts = listener.tls.as_ref().and_then(|tls| tls.hsts.as_ref()).map(hsts::value);
        Self { rules, on_demand, hsts, wants_ja4, listed_ja4 }
    }
}
