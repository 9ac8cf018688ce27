//! What handshakes of one `https` listener go by.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::compress::CompressionCache;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};

use super::answer::{Answer, Chosen, Refusal, Served};
use super::certificate::Certificate;
use super::challenge::Challenges;
use super::client_auth::{ClientAuth, ClientAuthError};
use super::compress::compressors;
use super::hosts::{Host, Hosts};
use super::policy;
use super::resolver::{Fixed, Proofs, Resolver, canonical};
use super::store::Store;
use super::tickets::{Scope, Tickets};
use crate::config::{
    CertificateFrom, ClientAuthConfig, ListenerTlsConfig, TlsConfig, TlsPolicy, WebListenerConfig,
};

/// The protocol by which CAs look for proofs (RFC 8737 §6.2).
const ACME_TLS: &[u8] = b"acme-tls/1";
/// Tickets that a client gets after a handshake. One is enough to come back with; each costs both sides a little.
const TICKETS: usize = 1;
/// Tickets that a client gets who asks for so many (RFC 9149): one for each connection that it will open at once.
const MOST_TICKETS: usize = 6;

/// What handshakes of one `https` listener go by. Immutable, but for the certificates.
#[derive(Debug)]
pub struct ListenerTls {
    resolver: Arc<Resolver>,
    challenges: Arc<Challenges>,
    proofs: Arc<ServerConfig>,
    /// By what is asked of clients; the first is the listener's own.
    variants: Vec<Variant>,
}

/// What is asked of the clients of some hosts.
#[derive(Debug)]
struct Variant {
    config: Arc<ServerConfig>,
    scope: Scope,
    client_headers: bool,
}

/// Why there is no TLS as configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Clients' certificates cannot be checked.
    #[error("listener {listener}: client_auth: {error}")]
    ClientAuth {
        /// Whose.
        listener: Box<str>,
        /// Why.
        error: ClientAuthError,
    },
    /// The library does not want to.
    #[error("listener {listener}: {error}")]
    Rustls {
        /// Whose.
        listener: Box<str>,
        /// Why.
        error: rustls::Error,
    },
}

impl ListenerTls {
    /// As configured; none for `http`. Reads the CA bundles and revocation lists of `client_auth`, and no certificate.
    pub fn build(
        listener: &WebListenerConfig,
        tls: &TlsConfig,
        store: &Arc<Store>,
        challenges: &Arc<Challenges>,
        tickets: &Arc<Tickets>,
    ) -> Result<Option<Self>, TlsError> {
        let Some(own) = &listener.tls else { return Ok(None) };
        let (hosts, asked) = hosts(listener, own, tls);
        let resolver = Arc::new(Resolver {
            store: Arc::clone(store),
            hosts,
            strict: own.strict_sni,
            default: own.default.clone(),
        });
        let maker = Maker {
            listener,
            policy: own.policy,
            provider: policy::provider(own.policy),
            resolver: &resolver,
            tickets,
        };
        let variants = asked.into_iter().map(|asked| maker.variant(asked)).collect::<Result<_, _>>()?;
        let proofs = Arc::new(maker.proofs(challenges)?);
        Ok(Some(Self { resolver, challenges: Arc::clone(challenges), proofs, variants }))
    }

    /// What a client is answered. `local`: the address that it came to, for clients that name no host: there may be
    /// a certificate for it.
    pub fn config_for(&self, hello: &ClientHello<'_>, local: Option<IpAddr>) -> Answer {
        let name = hello.server_name().map(canonical);
        if hello
            .alpn()
            .is_some_and(|mut offered| offered.next() == Some(ACME_TLS) && offered.next().is_none())
        {
            return match name.and_then(|name| self.challenges.alpn(name)) {
                Some(_) => Answer::Challenge(Arc::clone(&self.proofs)),
                None => Answer::Refuse(Refusal::NoProof),
            };
        }
        match name {
            Some(name) => self.named(name),
            None => self.unnamed(local),
        }
    }

    /// Whether a name is being proved to a CA just now, in the way that a handshake shows (RFC 8737).
    pub fn proves(&self, name: &str) -> bool {
        self.challenges.alpn(name).is_some()
    }

    fn named(&self, name: &str) -> Answer {
        if let Some(certificate) = self.resolver.own(name) {
            return self.serve(Some(name), certificate);
        }
        let from = self.resolver.hosts.find(name).map(|host| host.from);
        if from == Some(CertificateFrom::OnDemand) {
            return Answer::Ask(name.into());
        }
        match self.resolver.default() {
            Some(certificate) => self.serve(Some(name), certificate),
            None if self.resolver.strict => Answer::Refuse(Refusal::UnknownName),
            None => Answer::Refuse(Refusal::NoCertificate),
        }
    }

    fn unnamed(&self, local: Option<IpAddr>) -> Answer {
        if let Some(certificate) = local.and_then(|address| self.resolver.of_address(address)) {
            let mut answer = self.serve(None, Arc::clone(&certificate));
            if let Answer::Serve(chosen) = &mut answer {
                // The resolver knows names only.
                let mut config = ServerConfig::clone(&chosen.config);
                config.cert_resolver = Arc::new(Fixed(Arc::clone(&certificate.key)));
                chosen.config = Arc::new(config);
            }
            return answer;
        }
        match self.resolver.default() {
            Some(certificate) => self.serve(None, certificate),
            None if self.resolver.strict => Answer::Refuse(Refusal::NoName),
            None => Answer::Refuse(Refusal::NoCertificate),
        }
    }

    fn serve(&self, name: Option<&str>, certificate: Arc<Certificate>) -> Answer {
        let variant = self.variant_of(name);
        Answer::Serve(Chosen {
            config: Arc::clone(&variant.config),
            served: Served {
                name: name.map(Into::into),
                certificate,
                client_headers: variant.client_headers,
                scope: variant.scope,
            },
        })
    }

    fn variant_of(&self, name: Option<&str>) -> &Variant {
        let host = name.and_then(|name| self.resolver.hosts.find(name));
        &self.variants[host.map_or(0, |host| host.variant)]
    }

    /// Whether a connection may carry requests for a host (canonical, no brackets around an address): its certificate
    /// covers it, and no more is asked of that host's clients than was asked of this one. If not: 421 (RFC 9110
    /// §15.5.20). Who named no host, or this one, was told all that there is to tell.
    pub fn serves(&self, served: &Served, host: &str) -> bool {
        let variant = match self.variants.len() {
            1 => &self.variants[0],
            _ => self.variant_of(Some(host)),
        };
        variant.scope == served.scope
            && served.name.as_deref().is_none_or(|name| name == host || served.certificate.covers(host))
    }

    /// Whether a connection may carry requests that name no host (HTTP/1.0): no more is asked of the listener's own clients
    /// than was asked of this one.
    pub fn serves_nobody(&self, served: &Served) -> bool {
        self.variants[0].scope == served.scope
    }
}

/// The names of a listener, and what is asked of clients: the listener's own first.
fn hosts<'a>(
    listener: &WebListenerConfig,
    own: &'a ListenerTlsConfig,
    tls: &'a TlsConfig,
) -> (Hosts, Vec<Option<&'a ClientAuthConfig>>) {
    let mut hosts = Hosts::default();
    let mut asked = vec![own.client_auth.as_ref()];
    let mut variants = BTreeMap::from([(own.client_auth.as_ref(), 0)]);
    for (pattern, host) in tls.hosts.iter().filter(|(_, host)| host.listeners.contains(&listener.name)) {
        let auth = host.client_auth.as_ref().or(own.client_auth.as_ref());
        let variant = *variants.entry(auth).or_insert_with(|| {
            asked.push(auth);
            asked.len() - 1
        });
        hosts.insert(pattern, Host { from: host.from, variant });
    }
    (hosts, asked)
}

/// What the configurations of a listener have in common.
struct Maker<'a> {
    listener: &'a WebListenerConfig,
    policy: TlsPolicy,
    provider: Arc<CryptoProvider>,
    resolver: &'a Arc<Resolver>,
    tickets: &'a Arc<Tickets>,
}

impl Maker<'_> {
    fn variant(&self, asked: Option<&ClientAuthConfig>) -> Result<Variant, TlsError> {
        let auth = match asked {
            None => ClientAuth::none(),
            Some(asked) => ClientAuth::load(asked, &self.provider)
                .map_err(|error| TlsError::ClientAuth { listener: self.name(), error })?,
        };
        let mut config = self.config(&auth, Arc::clone(self.resolver) as _)?;
        config.alpn_protocols = match self.listener.http2 {
            // What is spoken is the backend's matter.
            _ if self.listener.is_raw() => Vec::new(),
            true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            false => vec![b"http/1.1".to_vec()],
        };
        if asked.is_none() {
            config.ticketer = self.tickets.scoped(auth.scope);
            config.send_tls13_tickets = TICKETS;
            config.max_tls13_tickets = MOST_TICKETS;
        } else {
            // A ticket carries its client's certificate on from session to session, and nobody would see it expire.
            config.send_tls13_tickets = 0;
            config.max_tls13_tickets = 0;
        }
        let client_headers = asked.is_some_and(|asked| asked.headers);
        Ok(Variant { config: Arc::new(config), scope: auth.scope, client_headers })
    }

    fn proofs(&self, challenges: &Arc<Challenges>) -> Result<ServerConfig, TlsError> {
        let mut config = self.config(&ClientAuth::none(), Arc::new(Proofs(Arc::clone(challenges))))?;
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        config.send_tls13_tickets = 0;
        config.cert_compressors = Vec::new();
        Ok(config)
    }

    fn config(
        &self,
        auth: &ClientAuth,
        resolver: Arc<dyn ResolvesServerCert>,
    ) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(policy::versions(self.policy))
            .map_err(|error| TlsError::Rustls { listener: self.name(), error })?
            .with_client_cert_verifier(Arc::clone(&auth.verifier))
            .with_cert_resolver(resolver);
        config.cert_compressors = compressors();
        config.cert_compression_cache = Arc::new(CompressionCache::Disabled);
        // Tickets alone: nothing is kept here for a session.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // What a client sends compressed would have to be unpacked before anybody knows who it is.
        config.cert_decompressors = Vec::new();
        Ok(config)
    }

    fn name(&self) -> Box<str> {
        self.listener.name.to_string().into()
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
