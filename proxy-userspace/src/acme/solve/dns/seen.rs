//! Whether a record is seen: a CA that looks too early has looked in vain, and counts it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::Message;
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::time::{Instant, sleep};

use super::resolvers::{Resolvers, ask};
use super::zone::{ZoneError, zone_of};

/// It is looked again after this, then after twice as long, up to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));
/// No more of a zone's servers are asked.
const MOST_SERVERS: usize = 16;
/// Where name servers are.
const PORT: u16 = 53;

/// Why a record does not count as seen.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum NotSeen {
    #[error("the record at {fqdn} is not seen at {server} after {} s (`propagation` of [acme.dns])", .after.as_secs())]
    Missing { fqdn: Name, server: SocketAddr, after: Duration },
    #[error("none of the servers of {fqdn} answers; name others as `resolvers` of [acme.dns]")]
    Unreachable { fqdn: Name },
    #[error(transparent)]
    Zone(#[from] ZoneError),
}

/// Returns when every server that can be reached has the record: those that are given, else those of the zone itself.
/// A CA asks them, and not what lies in some cache.
pub(in super::super) async fn until_seen(
    resolvers: &Resolvers,
    given: bool,
    fqdn: &Name,
    value: &str,
    within: Duration,
) -> Result<(), NotSeen> {
    let end = Instant::now() + within;
    let servers =
        if given { resolvers.servers().to_vec() } else { servers_of(resolvers, fqdn, PORT).await? };
    let mut pause = PAUSE.0;
    loop {
        let missing = look(&servers, given, fqdn, value).await;
        let server = match missing {
            Ok(None) => return Ok(()),
            Ok(Some(server)) => Some(server),
            Err(Nobody) => None,
        };
        if Instant::now() + pause > end {
            return Err(match server {
                Some(server) => NotSeen::Missing { fqdn: fqdn.clone(), server, after: within },
                None => NotSeen::Unreachable { fqdn: fqdn.clone() },
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// No server answers.
struct Nobody;

/// The first server that answers and does not have it.
async fn look(
    servers: &[SocketAddr],
    recursive: bool,
    fqdn: &Name,
    value: &str,
) -> Result<Option<SocketAddr>, Nobody> {
    let mut reached = false;
    for &server in servers {
        // One that cannot be reached from here (IPv6, say) must not hold up what all others have.
        let Ok(answer) = ask(server, fqdn, RecordType::TXT, recursive).await else { continue };
        reached = true;
        if !has(&answer, value) {
            return Ok(Some(server));
        }
    }
    if reached { Ok(None) } else { Err(Nobody) }
}

fn has(answer: &Message, value: &str) -> bool {
    answer.answers.iter().any(|record| match &record.data {
        RData::TXT(text) => text.txt_data.concat() == value.as_bytes(),
        _ => false,
    })
}

/// The servers that a zone names as its own.
async fn servers_of(resolvers: &Resolvers, fqdn: &Name, port: u16) -> Result<Vec<SocketAddr>, ZoneError> {
    let zone = zone_of(resolvers, fqdn).await?;
    let answer = resolvers.ask(&zone, RecordType::NS).await?;
    let names = answer.answers.iter().filter_map(|record| match &record.data {
        RData::NS(server) => Some(server.0.clone()),
        _ => None,
    });
    let mut servers = Vec::new();
    for name in names {
        for kind in [RecordType::A, RecordType::AAAA] {
            // One without an address counts as one that cannot be reached.
            let Ok(answer) = resolvers.ask(&name, kind).await else { continue };
            servers.extend(answer.answers.iter().filter_map(|record| match &record.data {
                RData::A(address) => Some(SocketAddr::new(IpAddr::V4(address.0), port)),
                RData::AAAA(address) => Some(SocketAddr::new(IpAddr::V6(address.0), port)),
                _ => None,
            }));
        }
    }
    servers.truncate(MOST_SERVERS);
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::super::name_server::NameServer;
    use super::super::zone::absolute;
    use super::*;

    #[tokio::test]
    async fn it_is_waited_until_every_server_has_the_record() {
        let (first, second) =
            (NameServer::start("example.com.").await, NameServer::start("example.com.").await);
        let resolvers = Resolvers::new(&[first.address, second.address]);
        let fqdn = absolute("_acme-challenge.example.com").unwrap();
        first.txt("_acme-challenge.example.com.", "other");
        first.txt("_acme-challenge.example.com.", "value");
        let within = Duration::from_millis(600);
        let error = until_seen(&resolvers, true, &fqdn, "value", within).await.unwrap_err().to_string();
        let server = second.address;
        assert_eq!(
            error,
            format!("the record at {fqdn} is not seen at {server} after 0 s (`propagation` of [acme.dns])")
        );
        second.txt("_acme-challenge.example.com.", "value");
        until_seen(&resolvers, true, &fqdn, "value", within).await.unwrap();
    }

    #[tokio::test]
    async fn the_zones_own_servers_are_those_that_it_names() {
        let server = NameServer::start("example.com.").await;
        let resolvers = Resolvers::new(&[server.address]);
        let fqdn = absolute("_acme-challenge.a.example.com").unwrap();
        let own = servers_of(&resolvers, &fqdn, server.address.port()).await.unwrap();
        assert_eq!(own, [server.address]);
    }

    #[tokio::test]
    async fn servers_that_do_not_answer_are_left_out_unless_it_is_all_of_them() {
        let server = NameServer::start("example.com.").await;
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = silent.local_addr().unwrap();
        drop(silent);
        server.txt("_acme-challenge.example.com.", "value");
        let fqdn = absolute("_acme-challenge.example.com").unwrap();
        let within = Duration::from_millis(10);
        let resolvers = Resolvers::new(&[gone, server.address]);
        until_seen(&resolvers, true, &fqdn, "value", within).await.unwrap();
        let error = until_seen(&Resolvers::new(&[gone]), true, &fqdn, "value", within).await.unwrap_err();
        assert!(matches!(error, NotSeen::Unreachable { .. }), "{error}");
    }
}
