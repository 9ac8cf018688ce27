//! Dynamic updates (RFC 2136), signed by TSIG (RFC 8945).

use std::net::SocketAddr;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hickory_proto::ProtoError;
use hickory_proto::dnssec::DnsSecError;
use hickory_proto::op::{Message, ResponseCode, update_message};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use hickory_proto::rr::{Name, RData, RecordSet, RecordType, TSigner};

use crate::acme::clock::Clock;

use super::exchange::{NoAnswer, exchange};
use super::resolvers::Resolvers;
use super::zone::{ZoneError, absolute, zone_of};

/// How far clocks may be apart (RFC 8945 §10 recommends it).
const FUDGE_SECONDS: u16 = 300;

/// A server that takes updates.
pub(in super::super) struct Rfc2136 {
    server: SocketAddr,
    key: Option<TSigner>,
    clock: Clock,
}

impl std::fmt::Debug for Rfc2136 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rfc2136({})", self.server)
    }
}

/// Why a key of `[acme.dns]` is none.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum KeyError {
    /// Its name.
    #[error("`key_name` of [acme.dns]: {0}")]
    Name(Box<str>),
    /// Its algorithm.
    #[error("`algorithm` of [acme.dns] is {0:?}; known are hmac-sha256, hmac-sha384, hmac-sha512")]
    Algorithm(Box<str>),
    /// Its secret, which is not quoted.
    #[error("`secret` of [acme.dns] is not base64")]
    Secret,
    /// What cannot be signed with.
    #[error("the key of [acme.dns] cannot be used: {0}")]
    Unusable(#[from] DnsSecError),
}

/// Why the server did not take an update.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum UpdateError {
    #[error(transparent)]
    Zone(#[from] ZoneError),
    #[error("the update cannot be written: {0}")]
    Message(#[from] ProtoError),
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("{server} refuses to change zone {zone}: {code}{}", .key.unwrap_or_default())]
    Refused { server: SocketAddr, zone: Name, code: ResponseCode, key: Option<&'static str> },
    #[error("the answer of {server} is not signed with the key of [acme.dns]: {error}")]
    Forged { server: SocketAddr, error: ProtoError },
}

impl Rfc2136 {
    /// Updates go to this server, signed with this key if there is one.
    pub(in super::super) fn new(server: SocketAddr, key: Option<TSigner>, clock: Clock) -> Self {
        Self { server, key, clock }
    }

    /// A key from what the configuration says.
    pub(in super::super) fn key(name: &str, algorithm: &str, secret: &str) -> Result<TSigner, KeyError> {
        let name = absolute(name).map_err(|error| KeyError::Name(error.to_string().into()))?;
        let algorithm = match algorithm {
            "hmac-sha256" => TsigAlgorithm::HmacSha256,
            "hmac-sha384" => TsigAlgorithm::HmacSha384,
            "hmac-sha512" => TsigAlgorithm::HmacSha512,
            other => return Err(KeyError::Algorithm(other.into())),
        };
        let secret = BASE64_STANDARD.decode(secret.trim()).map_err(|_| KeyError::Secret)?;
        Ok(TSigner::new(secret, algorithm, name, FUDGE_SECONDS)?)
    }

    /// One more TXT record. Gives the zone that it is in.
    pub(super) async fn add(&self, fqdn: &Name, value: &str, ttl: Duration) -> Result<Box<str>, UpdateError> {
        // The server is asked: it alone knows which zones it holds, and others may not see them.
        let zone = zone_of(&Resolvers::new(&[self.server]), fqdn).await?;
        let seconds = u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX);
        let message = update_message::append(record(fqdn, value, seconds), zone.clone(), false, false);
        self.update(message, &zone).await?;
        Ok(zone.to_ascii().into())
    }

    /// Takes this record away. The zone is asked for again if it is not known.
    pub(super) async fn remove(
        &self,
        fqdn: &Name,
        value: &str,
        zone: Option<&str>,
    ) -> Result<(), UpdateError> {
        let zone = match zone {
            Some(zone) => absolute(zone)?,
            None => zone_of(&Resolvers::new(&[self.server]), fqdn).await?,
        };
        let message = update_message::delete_by_rdata(record(fqdn, value, 0), zone.clone(), false);
        self.update(message, &zone).await
    }

    async fn update(&self, mut message: Message, zone: &Name) -> Result<(), UpdateError> {
        let verifier = match &self.key {
            Some(key) => message.finalize(key, self.clock.unix())?,
            None => None,
        };
        let (bytes, answer) = exchange(self.server, message.id, &message.to_vec()?).await?;
        let code = answer.response_code;
        if code != ResponseCode::NoError {
            // Of a key that is not right the answer is not signed (RFC 8945 §5.3.2): it is told, not trusted.
            let key = answer.signature().and_then(|tsig| tsig.data.error).map(about_key);
            return Err(UpdateError::Refused { server: self.server, zone: zone.clone(), code, key });
        }
        if let Some(mut verifier) = verifier {
            verifier.verify(&bytes).map_err(|error| UpdateError::Forged { server: self.server, error })?;
        }
        Ok(())
    }
}

/// RFC 8945 §5.2.
fn about_key(error: TsigError) -> &'static str {
    match error {
        TsigError::BadKey => {
            ": it does not know this key: are `key_name` and `algorithm` of [acme.dns] as it has them?"
        }
        TsigError::BadSig => ": the signature is wrong: is `secret` of [acme.dns] as it has it?",
        TsigError::BadTime => ": its clock and ours are more than 300 s apart",
        TsigError::BadTrunc | TsigError::Unknown(_) => ": it does not like the signature",
    }
}

fn record(fqdn: &Name, value: &str, ttl: u32) -> RecordSet {
    let mut records = RecordSet::with_ttl(fqdn.clone(), RecordType::TXT, ttl);
    records.add_rdata(RData::TXT(TXT::new(vec![value.to_owned()])));
    records
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::super::name_server::NameServer;
    use super::*;

    const SECRET: &str = "bm90IGEgc2VjcmV0IG9mIGFueWJvZHkgYXQgYWxsISE=";
    const TTL: Duration = Duration::from_secs(60);

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn signed(server: &NameServer, secret: &str) -> Rfc2136 {
        let key = Rfc2136::key("update-key", "hmac-sha256", secret).unwrap();
        Rfc2136::new(server.address, Some(key), Clock::fixed(now()))
    }

    async fn guarded() -> NameServer {
        let key = Rfc2136::key("update-key", "hmac-sha256", SECRET).unwrap();
        NameServer::guarded("example.com.", key, Clock::fixed(now())).await
    }

    #[tokio::test]
    async fn signed_updates_add_one_record_and_take_the_same_one_away() {
        let server = guarded().await;
        let update = signed(&server, SECRET);
        let fqdn = absolute("_acme-challenge.app.example.com").unwrap();
        let zone = update.add(&fqdn, "one", TTL).await.unwrap();
        assert_eq!(&*zone, "example.com.");
        update.add(&fqdn, "two", TTL).await.unwrap();
        assert_eq!(server.texts(&fqdn), ["one", "two"]);
        update.remove(&fqdn, "one", Some(&zone)).await.unwrap();
        assert_eq!(server.texts(&fqdn), ["two"]);
        update.remove(&fqdn, "two", None).await.unwrap();
        assert_eq!(server.texts(&fqdn), [""; 0]);
        update.remove(&fqdn, "two", None).await.unwrap();
    }

    #[tokio::test]
    async fn updates_go_by_tcp_where_udp_is_cut_off() {
        let server = guarded().await;
        server.truncate_udp();
        let fqdn = absolute("_acme-challenge.example.com").unwrap();
        signed(&server, SECRET).add(&fqdn, "one", TTL).await.unwrap();
        assert_eq!(server.texts(&fqdn), ["one"]);
    }

    #[tokio::test]
    async fn a_key_that_is_not_the_servers_is_told_as_such() {
        let server = guarded().await;
        let fqdn = absolute("_acme-challenge.example.com").unwrap();
        let wrong = signed(&server, "d3Jvbmc=");
        let error = wrong.add(&fqdn, "one", TTL).await.unwrap_err().to_string();
        let address = server.address;
        let why = "Not authorized: the signature is wrong: is `secret` of [acme.dns] as it has it?";
        assert_eq!(error, format!("{address} refuses to change zone example.com.: {why}"));
        let unsigned = Rfc2136::new(server.address, None, Clock::fixed(now()));
        let error = unsigned.add(&fqdn, "one", TTL).await.unwrap_err();
        assert!(matches!(error, UpdateError::Refused { .. }), "{error}");
        assert_eq!(server.texts(&fqdn), [""; 0]);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_signed_is_no_answer() {
        let server = guarded().await;
        server.forge();
        let fqdn = absolute("_acme-challenge.example.com").unwrap();
        let error = signed(&server, SECRET).add(&fqdn, "one", TTL).await.unwrap_err();
        assert!(matches!(error, UpdateError::Forged { .. }), "{error}");
    }

    #[test]
    fn keys_that_are_none_are_explained_and_the_secret_is_not_quoted() {
        let said = |name, algorithm, secret| Rfc2136::key(name, algorithm, secret).err().unwrap().to_string();
        assert_eq!(said("k", "hmac-sha256", "no base64!"), "`secret` of [acme.dns] is not base64");
        let md5 =
            "`algorithm` of [acme.dns] is \"hmac-md5\"; known are hmac-sha256, hmac-sha384, hmac-sha512";
        assert_eq!(said("k", "hmac-md5", SECRET), md5);
        let long = "k".repeat(64);
        assert!(said(&long, "hmac-sha256", SECRET).starts_with("`key_name` of [acme.dns]: "));
    }
}
