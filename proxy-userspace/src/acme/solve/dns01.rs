//! DNS-01 (RFC 8555 §8.4): a TXT record. The only proof of all names below one.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::rr::Name;

use crate::config::ChallengeType;

use super::super::solver::{Presented, Proof, SolveError, Solver};
use super::dns::{Provider, Resolvers, target, until_seen};

/// Has records put, and waits until they are seen.
#[derive(Debug)]
pub(super) struct Dns01 {
    provider: Provider,
    /// Asked whether a record is seen; empty: the servers of the zone are.
    resolvers: Vec<SocketAddr>,
    /// A record may take so long to be seen; zero: nobody looks.
    propagation: Duration,
    ttl: Duration,
}

impl Dns01 {
    /// Records are put by this provider, as `[acme.dns]` says.
    pub(super) fn new(
        provider: Provider,
        resolvers: &[SocketAddr],
        propagation: Duration,
        ttl: Duration,
    ) -> Self {
        Self { provider, resolvers: resolvers.to_vec(), propagation, ttl }
    }

    fn fails(&self, cause: impl std::error::Error + Send + Sync + 'static) -> SolveError {
        SolveError::new(self.provider.name(), cause)
    }

    /// Puts the record where it belongs. Where CNAMEs lead may be nobody's intention: `*.example.com` is a CNAME for
    /// `_acme-challenge.app.example.com` too, until there is a record of that very name.
    async fn put(
        &self,
        resolvers: &Resolvers,
        proof: &Proof,
    ) -> Result<(Name, Option<Box<str>>), SolveError> {
        let (own, led) = target(resolvers, &proof.name).await.map_err(|cause| self.fails(cause))?;
        let value = &proof.dns_value;
        match self.provider.add(&led, value, self.ttl).await {
            Ok(handle) => Ok((led, handle)),
            Err(first) if led != own => match self.provider.add(&own, value, self.ttl).await {
                Ok(handle) => Ok((own, handle)),
                Err(_) => Err(self.fails(first)),
            },
            Err(first) => Err(self.fails(first)),
        }
    }

    async fn seen(&self, resolvers: &Resolvers, fqdn: &Name, value: &str) -> Result<(), SolveError> {
        if self.propagation.is_zero() {
            return Ok(());
        }
        let given = !self.resolvers.is_empty();
        until_seen(resolvers, given, fqdn, value, self.propagation).await.map_err(|cause| self.fails(cause))
    }
}

impl Solver for Dns01 {
    fn kind(&self) -> ChallengeType {
        ChallengeType::Dns01
    }

    async fn present(&self, proof: &Proof) -> Result<Presented, SolveError> {
        // Made anew each time: the system's servers may be others by now.
        let resolvers = Resolvers::new(&self.resolvers);
        let (fqdn, handle) = self.put(&resolvers, proof).await?;
        let shown =
            Presented::Record { fqdn: fqdn.to_ascii().into(), value: proof.dns_value.clone(), handle };
        if let Err(error) = self.seen(&resolvers, &fqdn, &proof.dns_value).await {
            // Nobody else knows of it.
            if let Err(left) = self.cleanup(shown).await {
                tracing::warn!(%fqdn, "a record is left behind: {left}");
            }
            return Err(error);
        }
        Ok(shown)
    }

    async fn cleanup(&self, presented: Presented) -> Result<(), SolveError> {
        let Presented::Record { fqdn, value, handle } = presented else { return Ok(()) };
        let name = Name::from_ascii(&*fqdn).map_err(|cause| self.fails(cause))?;
        self.provider.remove(&name, &value, handle.as_deref()).await.map_err(|cause| self.fails(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::super::dns::Rfc2136;
    use super::super::dns::name_server::NameServer;
    use super::super::testing::proof;
    use super::*;
    use crate::acme::clock::Clock;

    fn solver(writes: &NameServer, asks: &NameServer) -> Dns01 {
        let provider = Provider::Rfc2136(Rfc2136::new(writes.address, None, Clock::system()));
        Dns01::new(provider, &[asks.address], Duration::from_millis(700), Duration::from_secs(60))
    }

    #[tokio::test]
    async fn name_and_pattern_are_proved_side_by_side_where_the_cname_leads() {
        let server = NameServer::start("example.com.").await;
        server.cname("_acme-challenge.app.example.com.", "app.proofs.example.com.");
        let solver = solver(&server, &server);
        let (name, mut pattern) = (proof("app.example.com", false), proof("app.example.com", true));
        pattern.dns_value = "another".into();
        let shown = [solver.present(&name).await.unwrap(), solver.present(&pattern).await.unwrap()];
        let there = Name::from_ascii("app.proofs.example.com.").unwrap();
        assert_eq!(server.texts(&there), [&*name.dns_value, "another"]);
        for shown in shown {
            // As it comes back from storage after a crash.
            let kept = serde_json::to_string(&shown).unwrap();
            solver.cleanup(serde_json::from_str(&kept).unwrap()).await.unwrap();
        }
        assert_eq!(server.texts(&there), [""; 0]);
    }

    #[tokio::test]
    async fn a_cname_that_leads_to_a_zone_of_others_is_passed_over() {
        let (writes, asks) = (NameServer::start("example.com.").await, NameServer::start("com.").await);
        asks.cname("_acme-challenge.app.example.com.", "balancer.example.net.com.");
        // As the world sees it once the record is there.
        let proof = proof("app.example.com", false);
        asks.txt("_acme-challenge.app.example.com.", &proof.dns_value);
        let solver = solver(&writes, &asks);
        let shown = solver.present(&proof).await.unwrap();
        let own = Name::from_ascii("_acme-challenge.app.example.com.").unwrap();
        assert_eq!(writes.texts(&own), [&*proof.dns_value]);
        solver.cleanup(shown).await.unwrap();
        assert_eq!(writes.texts(&own), [""; 0]);
    }

    #[tokio::test]
    async fn a_record_that_is_not_seen_in_time_is_taken_away_again() {
        let (writes, asks) =
            (NameServer::start("example.com.").await, NameServer::start("example.com.").await);
        let error = solver(&writes, &asks).present(&proof("app.example.com", false)).await.unwrap_err();
        assert!(error.to_string().starts_with("dns-01 by rfc2136: the record at "), "{error}");
        assert_eq!(writes.texts(&Name::from_ascii("_acme-challenge.app.example.com.").unwrap()), [""; 0]);
    }
}
