//! One question: which addresses a name has, and for how long.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// No name has more addresses than this: the others are left out.
const MOST: usize = 256;
/// Answers are believed no shorter and no longer than this, whatever their TTL says.
const TTL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// Who is asked.
#[derive(Clone, Debug)]
pub(super) enum Server {
    /// As /etc/resolv.conf and /etc/hosts say.
    System,
    /// These.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests ask a server of their own"))]
    Given(ResolverConfig),
}

/// The addresses of a name, in order, and how long they are true. IPv6 only where there is no IPv4: of those who have
/// both, few can reach both.
pub(super) async fn resolve(server: &Server, name: &str) -> Result<(Vec<IpAddr>, Duration), NetError> {
    // Made anew each time: files and servers change, and an old answer must not be had from a cache.
    let mut builder = match server {
        Server::System => TokioResolver::builder_tokio()?,
        Server::Given(config) => {
            TokioResolver::builder_with_config(config.clone(), TokioRuntimeProvider::default())
        }
    };
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    // Absolute: what a configuration names does not depend on the search list of a host.
    let found = builder.build()?.lookup_ip(format!("{name}.")).await?;
    let mut addresses: Vec<_> = found.iter().collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(MOST);
    let ttl = found.valid_until().saturating_duration_since(Instant::now());
    Ok((addresses, ttl.clamp(TTL.0, TTL.1)))
}
