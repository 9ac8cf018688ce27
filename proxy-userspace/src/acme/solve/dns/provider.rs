//! Whoever holds the zones.

use std::time::Duration;

use hickory_proto::rr::Name;

use super::cloudflare::Cloudflare;
use super::exec::Exec;
use super::failure::Failure;
use super::rfc2136::Rfc2136;
use super::route53::Route53;

/// Who is told of records.
#[derive(Debug)]
pub(in super::super) enum Provider {
    /// A server that takes updates.
    Rfc2136(Rfc2136),
    /// Cloudflare.
    Cloudflare(Cloudflare),
    /// Amazon.
    Route53(Route53),
    /// A program.
    Exec(Exec),
}

impl Provider {
    /// Who is meant, in errors.
    pub(in super::super) fn name(&self) -> &'static str {
        match self {
            Self::Rfc2136(_) => "dns-01 by rfc2136",
            Self::Cloudflare(_) => "dns-01 by cloudflare",
            Self::Route53(_) => "dns-01 by route53",
            Self::Exec(_) => "dns-01 by exec",
        }
    }

    /// One more TXT record at a name: others there stay. What this gives is wanted for [`Provider::remove`].
    pub(in super::super) async fn add(
        &self,
        fqdn: &Name,
        value: &str,
        ttl: Duration,
    ) -> Result<Option<Box<str>>, Failure> {
        Ok(match self {
            Self::Rfc2136(server) => Some(server.add(fqdn, value, ttl).await?),
            Self::Cloudflare(api) => Some(api.add(fqdn, value, ttl).await?),
            Self::Route53(api) => Some(api.add(fqdn, value, ttl).await?),
            Self::Exec(program) => {
                program.call("present", fqdn, value).await?;
                None
            }
        })
    }

    /// Takes this record away, and no other.
    pub(in super::super) async fn remove(
        &self,
        fqdn: &Name,
        value: &str,
        handle: Option<&str>,
    ) -> Result<(), Failure> {
        match self {
            Self::Rfc2136(server) => server.remove(fqdn, value, handle).await?,
            Self::Cloudflare(api) => api.remove(fqdn, value, handle).await?,
            Self::Route53(api) => api.remove(fqdn, value, handle).await?,
            Self::Exec(program) => program.call("cleanup", fqdn, value).await?,
        }
        Ok(())
    }
}
