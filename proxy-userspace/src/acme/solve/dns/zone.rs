//! What is to be known of a name before a record is put: where its CNAMEs lead, and which zone that is in.

use hickory_proto::ProtoError;
use hickory_proto::rr::{Name, RData, RecordType};

use super::resolvers::{LookupError, Resolvers};

/// CNAMEs are followed no further: longer chains are loops, or nobody's intention.
const MOST_CNAMES: usize = 8;

/// Why it is not known where the record belongs.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum ZoneError {
    #[error("{name} is not a name that can have records: {error}")]
    Name { name: Box<str>, error: Box<ProtoError> },
    #[error(transparent)]
    Lookup(#[from] LookupError),
    #[error("the CNAMEs of {0} lead nowhere: there are more than {MOST_CNAMES}")]
    Loop(Box<Name>),
    #[error("no zone is found for {0}: no SOA is known above it")]
    NoZone(Box<Name>),
}

/// Where the record of a name's proof belongs: at `_acme-challenge.NAME`, or where the CNAME there leads
/// (RFC 8555 §8.4), so that another zone than the name's own can be written to. Gives both.
pub(in super::super) async fn target(resolvers: &Resolvers, name: &str) -> Result<(Name, Name), ZoneError> {
    let start = absolute(&format!("_acme-challenge.{name}"))?;
    let mut at = start.clone();
    for _ in 0..=MOST_CNAMES {
        let answer = resolvers.ask(&at, RecordType::CNAME).await?;
        let next = answer.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(next) if record.name == at => Some(next.0.clone()),
            _ => None,
        });
        match next {
            Some(next) => at = next,
            None => return Ok((start, at)),
        }
    }
    Err(ZoneError::Loop(start.into()))
}

/// A name from its text.
pub(super) fn absolute(name: &str) -> Result<Name, ZoneError> {
    match Name::from_ascii(name) {
        Ok(mut parsed) => {
            parsed.set_fqdn(true);
            Ok(parsed)
        }
        Err(error) => Err(ZoneError::Name { name: name.into(), error: error.into() }),
    }
}

/// The zone that a name is in: the first SOA at it or above.
pub(super) async fn zone_of(resolvers: &Resolvers, name: &Name) -> Result<Name, ZoneError> {
    let mut at = name.clone();
    let mut refused = None;
    while !at.is_root() {
        match resolvers.ask(&at, RecordType::SOA).await {
            Ok(answer) => {
                // "No such record" names the zone too, in its authority section (RFC 2308 §3).
                let mut said = answer.answers.iter().chain(&answer.authorities);
                let soa = said.find(|r| r.record_type() == RecordType::SOA && r.name.zone_of(name));
                if let Some(soa) = soa.filter(|soa| !soa.name.is_root()) {
                    return Ok(soa.name.clone());
                }
            }
            // A server that holds zones alone refuses what is not within them.
            Err(error @ LookupError::Refused { .. }) => {
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error.into()),
        }
        at = at.base_name();
    }
    Err(refused.map_or_else(|| ZoneError::NoZone(name.clone().into()), ZoneError::Lookup))
}

#[cfg(test)]
mod tests {
    use super::super::name_server::NameServer;
    use super::*;

    #[tokio::test]
    async fn the_record_belongs_where_the_cnames_lead() {
        let server = NameServer::start("example.com.").await;
        let resolvers = Resolvers::new(&[server.address]);
        let (own, here) = target(&resolvers, "app.example.com").await.unwrap();
        assert_eq!(own, here);
        assert_eq!(here.to_ascii(), "_acme-challenge.app.example.com.");
        server.cname("_acme-challenge.app.example.com.", "one.example.com.");
        server.cname("one.example.com.", "two.proofs.example.com.");
        let (_, there) = target(&resolvers, "app.example.com").await.unwrap();
        assert_eq!(there.to_ascii(), "two.proofs.example.com.");
    }

    #[tokio::test]
    async fn cnames_in_a_circle_are_said_to_be_that() {
        let server = NameServer::start("example.com.").await;
        server.cname("_acme-challenge.app.example.com.", "a.example.com.");
        server.cname("a.example.com.", "_acme-challenge.app.example.com.");
        let error = target(&Resolvers::new(&[server.address]), "app.example.com").await.unwrap_err();
        let said = "the CNAMEs of _acme-challenge.app.example.com. lead nowhere: there are more than 8";
        assert_eq!(error.to_string(), said);
    }

    #[tokio::test]
    async fn the_zone_is_the_nearest_one_that_the_server_holds() {
        let server = NameServer::start("dev.example.com.").await;
        let resolvers = Resolvers::new(&[server.address]);
        let name = absolute("_acme-challenge.a.b.dev.example.com").unwrap();
        assert_eq!(zone_of(&resolvers, &name).await.unwrap().to_ascii(), "dev.example.com.");
        let other = absolute("_acme-challenge.example.net").unwrap();
        let error = zone_of(&resolvers, &other).await.unwrap_err().to_string();
        let address = server.address;
        let said = format!("the question for SOA of {other} is answered with Query Refused by {address}");
        assert_eq!(error, said);
    }
}
