//! All ways to prove a name that a configuration gives, and which of them is for which name.

use std::net::IpAddr;
use std::sync::Arc;

use crate::acme::clock::Clock;
use crate::acme::http::Client;
use crate::config::{AcmeConfig, ChallengeType, DnsConfig, DnsProvider};
use crate::tls::Challenges;

use super::super::solver::{Presented, Proof, SolveError, Solver};
use super::dns::{Cloudflare, Exec, KeyError, Provider, Rfc2136, Route53};
use super::dns01::Dns01;
use super::history::History;
use super::http01::Http01;
use super::tls_alpn01::TlsAlpn01;

/// All ways to prove a name. Made anew for each configuration.
#[derive(Debug)]
pub struct Solvers {
    preferred: Vec<ChallengeType>,
    http: Http01,
    alpn: TlsAlpn01,
    dns: Dns,
}

/// Whoever puts records.
#[derive(Debug)]
enum Dns {
    Nobody,
    There(Box<Dns01>),
    /// Said whenever a record is needed.
    Broken(Box<str>),
}

impl Solvers {
    /// As `[acme]` says. Answers and certificates go to `challenges`, providers are asked by `client`.
    pub fn new(config: &AcmeConfig, challenges: Arc<Challenges>, client: Client, clock: Clock) -> Self {
        let dns = match &config.dns {
            None => Dns::Nobody,
            Some(dns) => match provider(dns, client, clock) {
                Ok(provider) => {
                    Dns::There(Box::new(Dns01::new(provider, &dns.resolvers, dns.propagation, dns.ttl)))
                }
                Err(error) => Dns::Broken(error.to_string().into()),
            },
        };
        let (http, alpn) = (Http01::new(Arc::clone(&challenges)), TlsAlpn01::new(challenges));
        Self { preferred: config.challenges.clone(), http, alpn, dns }
    }

    /// Which ways there are for a name (without `*.`), the best first. None: it cannot be proved.
    pub fn order(&self, name: &str, wildcard: bool, history: &History) -> Vec<ChallengeType> {
        let address = name.parse::<IpAddr>().is_ok();
        let mut kinds: Vec<_> = self
            .preferred
            .iter()
            .copied()
            .filter(|kind| match kind {
                // RFC 8738 §7: an address has no record.
                ChallengeType::Dns01 => !address && !matches!(self.dns, Dns::Nobody),
                // RFC 8555 §8.3 and RFC 8737 §3 are about one host.
                ChallengeType::Http01 | ChallengeType::TlsAlpn01 => !wildcard,
            })
            .collect();
        // Wildcards have no other way: one that `challenges` does not name is meant where `[acme.dns]` stands.
        if wildcard && kinds.is_empty() && !address && !matches!(self.dns, Dns::Nobody) {
            kinds.push(ChallengeType::Dns01);
        }
        history.sort(&mut kinds);
        kinds
    }

    /// Shows a proof. When this is done, the CA may look.
    pub async fn present(&self, kind: ChallengeType, proof: &Proof) -> Result<Presented, SolveError> {
        match kind {
            ChallengeType::Http01 => self.http.present(proof).await,
            ChallengeType::TlsAlpn01 => self.alpn.present(proof).await,
            ChallengeType::Dns01 => self.dns()?.present(proof).await,
        }
    }

    /// Takes it away. Of what is no longer there this says nothing.
    pub async fn cleanup(&self, presented: Presented) -> Result<(), SolveError> {
        match presented {
            Presented::Http { .. } => self.http.cleanup(presented).await,
            Presented::Alpn { .. } => self.alpn.cleanup(presented).await,
            Presented::Record { .. } => self.dns()?.cleanup(presented).await,
        }
    }

    fn dns(&self) -> Result<&Dns01, SolveError> {
        match &self.dns {
            Dns::There(dns) => Ok(dns),
            Dns::Broken(why) => Err(SolveError::new("dns-01", why.as_ref())),
            Dns::Nobody => Err(SolveError::new("dns-01", "there is no [acme.dns] in the configuration")),
        }
    }
}

fn provider(config: &DnsConfig, client: Client, clock: Clock) -> Result<Provider, KeyError> {
    Ok(match &config.provider {
        DnsProvider::Rfc2136 { server, key_name, algorithm, secret } => {
            let key = key_name.as_deref().map(|name| Rfc2136::key(name, algorithm, secret)).transpose()?;
            Provider::Rfc2136(Rfc2136::new(*server, key, clock))
        }
        DnsProvider::Cloudflare { token, endpoint } => {
            Provider::Cloudflare(Cloudflare::new(client, endpoint.as_deref(), token))
        }
        DnsProvider::Route53 { access_key, secret_key, session_token, endpoint } => {
            let keys = (&**access_key, &**secret_key, session_token.as_deref());
            Provider::Route53(Route53::new(client, endpoint.as_deref(), keys, clock))
        }
        DnsProvider::Exec { command } => Provider::Exec(Exec::new(command)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::RootCertStore;

    use super::super::testing::proof;
    use super::*;
    use ChallengeType::{Dns01, Http01, TlsAlpn01};

    fn solvers(provider: Option<DnsProvider>, challenges: Vec<ChallengeType>) -> Solvers {
        let dns = provider.map(|provider| DnsConfig {
            provider,
            resolvers: vec!["127.0.0.1:9".parse().unwrap()],
            propagation: Duration::ZERO,
            ttl: Duration::from_secs(60),
        });
        let config = AcmeConfig { dns, challenges, ..AcmeConfig::default() };
        let client = Client::trusting(RootCertStore::empty()).unwrap();
        Solvers::new(&config, Arc::default(), client, Clock::system())
    }

    fn exec() -> DnsProvider {
        DnsProvider::Exec { command: vec!["true".into()] }
    }

    #[test]
    fn wildcards_have_records_only_and_addresses_everything_else() {
        let all = || vec![TlsAlpn01, Http01, Dns01];
        let none = History::default();
        let with = solvers(Some(exec()), all());
        assert_eq!(with.order("app.example.com", false, &none), [TlsAlpn01, Http01, Dns01]);
        assert_eq!(with.order("example.com", true, &none), [Dns01]);
        assert_eq!(with.order("192.0.2.1", false, &none), [TlsAlpn01, Http01]);
        assert_eq!(with.order("2001:db8::1", false, &none), [TlsAlpn01, Http01]);
        let without = solvers(None, all());
        assert_eq!(without.order("app.example.com", false, &none), [TlsAlpn01, Http01]);
        assert_eq!(without.order("example.com", true, &none), []);
        let http_only = solvers(Some(exec()), vec![Http01]);
        assert_eq!(http_only.order("app.example.com", false, &none), [Http01]);
        assert_eq!(http_only.order("example.com", true, &none), [Dns01], "there is no other way");
        let mut failed = none;
        failed.failed(TlsAlpn01, 1);
        assert_eq!(with.order("app.example.com", false, &failed), [Http01, Dns01, TlsAlpn01]);
    }

    #[tokio::test]
    async fn a_key_that_is_none_is_said_whenever_a_record_is_needed_and_others_go_on() {
        let provider = DnsProvider::Rfc2136 {
            server: "127.0.0.1:53".parse().unwrap(),
            key_name: Some("key".into()),
            algorithm: "hmac-md5".into(),
            secret: "hush".into(),
        };
        let solvers = solvers(Some(provider), vec![Http01, Dns01]);
        let proof = proof("app.example.com", false);
        let error = solvers.present(Dns01, &proof).await.unwrap_err().to_string();
        assert!(error.starts_with("dns-01: `algorithm` of [acme.dns] is \"hmac-md5\""), "{error}");
        let shown = solvers.present(Http01, &proof).await.unwrap();
        solvers.cleanup(shown).await.unwrap();
    }
}
