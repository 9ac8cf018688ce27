//! Which certificate a name gets.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::calendar;
use super::certificate::Certificate;
use super::challenge::Challenges;
use super::hosts::Hosts;
use super::store::Store;
use crate::config::CertificateFrom;

/// Which certificate a name gets at one listener.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) store: Arc<Store>,
    pub(super) hosts: Hosts,
    /// Who names something else, or nothing, gets none.
    pub(super) strict: bool,
    /// The certificate for those is this name's.
    pub(super) default: Option<Box<str>>,
}

impl Resolver {
    /// The certificate of a name (canonical), as far as there is one.
    pub(super) fn own(&self, name: &str) -> Option<Arc<Certificate>> {
        let from = self.hosts.find(name).map_or(CertificateFrom::Auto, |host| host.from);
        self.store.find_from(name, from, calendar::now())
    }

    /// The certificate for those who name something else, or nothing.
    pub(super) fn default(&self) -> Option<Arc<Certificate>> {
        if self.strict {
            return None;
        }
        match &self.default {
            Some(name) => self.own(name).or_else(|| self.store.first()),
            None => self.store.first(),
        }
    }

    /// The certificate of an address that a client came to without a name (RFC 6066 §3 has none for addresses).
    pub(super) fn of_address(&self, address: IpAddr) -> Option<Arc<Certificate>> {
        self.own(&address.to_string())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let own = hello.server_name().and_then(|name| self.own(canonical(name)));
        own.or_else(|| self.default()).map(|certificate| Arc::clone(&certificate.key))
    }
}

/// This certificate, whoever asks.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) Arc<CertifiedKey>);

impl ResolvesServerCert for Fixed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Certificates that prove a name to a CA (RFC 8737 §3).
#[derive(Debug)]
pub(super) struct Proofs(pub(super) Arc<Challenges>);

impl ResolvesServerCert for Proofs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.alpn(canonical(hello.server_name()?))
    }
}

/// A name as it is looked up: rustls has made it lower case, a dot at its end says nothing.
pub fn canonical(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}
