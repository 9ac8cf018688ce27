//! Amazon's Route 53, API version 2013-04-01. All TXT records of a name are one set there: it is read, and replaced
//! whole if it is still what was read.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use hickory_proto::rr::Name;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri};

use crate::acme::clock::Clock;
use crate::acme::http::Client;

use super::api::{ApiError, request, said, secret, send};
use super::sigv4::{Asked, Credentials, authorization, date};
use super::xml::{element, elements, escape};

/// Where the API is.
const ENDPOINT: &str = "https://route53.amazonaws.com";
/// All of Route 53 is here.
const REGION: &str = "us-east-1";
/// So often is a set read again that others changed meanwhile.
const ATTEMPTS: u32 = 5;
/// A change is done at all servers within this, or it has failed.
const IN_SYNC: Duration = Duration::from_secs(150);
/// It is asked for that often: an account has five questions a second in all.
const PAUSE: Duration = Duration::from_secs(3);

/// An account's zones.
pub(in super::super) struct Route53 {
    client: Client,
    endpoint: Box<str>,
    credentials: Credentials,
    clock: Clock,
    pause: Duration,
}

impl std::fmt::Debug for Route53 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Route53({})", self.endpoint)
    }
}

/// All TXT records of a name.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Set {
    ttl: u64,
    /// Quoted, as they stand there.
    values: Vec<String>,
}

/// What came back of a change.
enum Change {
    /// It is on its way, under this name.
    Pending(String),
    /// It does not fit to what is there (any more).
    Stale(ApiError),
}

impl Route53 {
    /// `keys`: access key, secret key and session token.
    pub(in super::super) fn new(
        client: Client,
        endpoint: Option<&str>,
        keys: (&str, &str, Option<&str>),
        clock: Clock,
    ) -> Self {
        let endpoint = endpoint.unwrap_or(ENDPOINT).trim_end_matches('/').into();
        let (access_key, secret_key, session_token) = (keys.0.into(), keys.1.into(), keys.2.map(Into::into));
        let credentials = Credentials { access_key, secret_key, session_token };
        Self { client, endpoint, credentials, clock, pause: PAUSE }
    }

    /// One more TXT record, at all servers when this is done. Gives its zone.
    pub(super) async fn add(&self, fqdn: &Name, value: &str, ttl: Duration) -> Result<Box<str>, ApiError> {
        let zone = self.zone(fqdn).await?;
        let value = format!("\"{value}\"");
        let with = |old: Option<&Set>| {
            let mut set = old.cloned().unwrap_or(Set { ttl: ttl.as_secs(), values: Vec::new() });
            if !set.values.contains(&value) {
                set.values.push(value.clone());
            }
            Some(set)
        };
        if let Some(change) = self.replace(&zone, fqdn, with).await? {
            self.in_sync(fqdn, &change).await?;
        }
        Ok(zone.into())
    }

    /// Takes this record away. The zone is asked for again if it is not known.
    pub(super) async fn remove(&self, fqdn: &Name, value: &str, zone: Option<&str>) -> Result<(), ApiError> {
        let zone = match zone {
            Some(zone) => zone.to_owned(),
            None => self.zone(fqdn).await?,
        };
        let value = format!("\"{value}\"");
        let without = |old: Option<&Set>| {
            let mut set = old?.clone();
            set.values.retain(|own| *own != value);
            (!set.values.is_empty()).then_some(set)
        };
        self.replace(&zone, fqdn, without).await?;
        Ok(())
    }

    /// Puts a set in place of the one that is there. Both changes are done, or none: the old one must be named as it
    /// is, so a set that others changed in between is read again. None: nothing had to be changed.
    async fn replace(
        &self,
        zone: &str,
        fqdn: &Name,
        next: impl Fn(Option<&Set>) -> Option<Set>,
    ) -> Result<Option<String>, ApiError> {
        let mut last = ApiError::Contended(fqdn.to_ascii().into());
        for _ in 0..ATTEMPTS {
            let old = self.set(zone, fqdn).await?;
            let new = next(old.as_ref());
            if new == old {
                return Ok(None);
            }
            let mut changes = String::new();
            for (action, set) in [("DELETE", &old), ("CREATE", &new)] {
                if let Some(set) = set {
                    change(&mut changes, action, fqdn, set);
                }
            }
            match self.change(zone, &changes).await? {
                Change::Pending(id) => return Ok(Some(id)),
                Change::Stale(error) => last = error,
            }
        }
        Err(last)
    }

    /// The nearest public zone of the account's.
    async fn zone(&self, fqdn: &Name) -> Result<String, ApiError> {
        let mut at = fqdn.clone();
        while at.num_labels() > 1 {
            // In the order of names, beginning with this one; private zones may have it too.
            let name = at.to_ascii();
            let path = format!("/2013-04-01/hostedzonesbyname?dnsname={name}&maxitems=10");
            let answer = self.ask(Method::GET, &path, Bytes::new()).await?.1;
            let public = elements(&answer, "HostedZone").find(|zone| {
                element(zone, "Name").as_deref() == Some(&*name)
                    && element(zone, "PrivateZone").as_deref() != Some("true")
            });
            if let Some(zone) = public {
                let id = element(zone, "Id").ok_or_else(|| self.strange(&path))?;
                return Ok(id.trim_start_matches("/hostedzone/").to_owned());
            }
            at = at.base_name();
        }
        Err(ApiError::NoZone(fqdn.to_ascii().into()))
    }

    async fn set(&self, zone: &str, fqdn: &Name) -> Result<Option<Set>, ApiError> {
        let name = fqdn.to_ascii();
        let path = format!("/2013-04-01/hostedzone/{zone}/rrset?maxitems=1&name={name}&type=TXT");
        let answer = self.ask(Method::GET, &path, Bytes::new()).await?.1;
        // The first at or after the name.
        let Some(set) = elements(&answer, "ResourceRecordSet").next() else { return Ok(None) };
        if element(set, "Name").as_deref() != Some(&*name) || element(set, "Type").as_deref() != Some("TXT") {
            return Ok(None);
        }
        let ttl = element(set, "TTL").and_then(|ttl| ttl.parse().ok()).ok_or_else(|| self.strange(&path))?;
        let values = elements(set, "ResourceRecord").filter_map(|record| element(record, "Value")).collect();
        Ok(Some(Set { ttl, values }))
    }

    async fn change(&self, zone: &str, changes: &str) -> Result<Change, ApiError> {
        let path = format!("/2013-04-01/hostedzone/{zone}/rrset/");
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ChangeResourceRecordSetsRequest \
             xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>{changes}</Changes>\
             </ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        match self.ask(Method::POST, &path, body.into()).await {
            Ok((_, answer)) => {
                let id = element(&answer, "Id").ok_or_else(|| self.strange(&path))?;
                Ok(Change::Pending(id.trim_start_matches("/change/").to_owned()))
            }
            Err(error @ ApiError::Refused { status: StatusCode::BAD_REQUEST, .. }) => {
                Ok(Change::Stale(error))
            }
            Err(error) => Err(error),
        }
    }

    /// What one server says is not what another says, until this is done.
    async fn in_sync(&self, fqdn: &Name, change: &str) -> Result<(), ApiError> {
        let path = format!("/2013-04-01/change/{change}");
        let done = async {
            loop {
                let answer = self.ask(Method::GET, &path, Bytes::new()).await?.1;
                if element(&answer, "Status").as_deref() == Some("INSYNC") {
                    return Ok(());
                }
                tokio::time::sleep(self.pause).await;
            }
        };
        let late = || ApiError::NotInSync { fqdn: fqdn.to_ascii().into(), seconds: IN_SYNC.as_secs() };
        tokio::time::timeout(IN_SYNC, done).await.unwrap_or_else(|_| Err(late()))
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, String), ApiError> {
        let url = format!("{}{path}", self.endpoint);
        let uri: Uri = url.parse().map_err(|error| ApiError::Url(http::Error::from(error)))?;
        let date = date(self.clock.unix());
        let asked = Asked { method: &method, uri: &uri, body: &body, region: REGION, service: "route53" };
        let authorization = secret(&authorization(&self.credentials, &asked, &date))?;
        let mut more = HeaderMap::new();
        more.insert("x-amz-date", HeaderValue::from_str(&date).map_err(http::Error::from)?);
        if let Some(token) = &self.credentials.session_token {
            more.insert("x-amz-security-token", secret(token)?);
        }
        // As it was signed.
        let host = uri.authority().map_or("", |authority| authority.as_str());
        more.insert(HOST, HeaderValue::from_str(host).map_err(http::Error::from)?);
        let request = request(method, &url, authorization, more, ("application/xml", body))?;
        let answer = send(&self.client, request).await?;
        let status = answer.status();
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        if status.is_success() {
            return Ok((status, text));
        }
        let why = |text: &str| {
            let message = element(text, "Message")?;
            Some(format!(
                "{message} ({})",
                element(text, "Code").unwrap_or_else(|| "InvalidChangeBatch".into())
            ))
        };
        Err(ApiError::Refused { url: url.into(), status, said: said(&why(&text).unwrap_or(text)) })
    }

    fn strange(&self, path: &str) -> ApiError {
        ApiError::Strange { url: format!("{}{path}", self.endpoint).into() }
    }
}

fn change(to: &mut String, action: &str, fqdn: &Name, set: &Set) {
    let (name, ttl) = (fqdn.to_ascii(), set.ttl);
    let records: String = set
        .values
        .iter()
        .map(|value| format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", escape(value)))
        .collect();
    write!(
        to,
        "<Change><Action>{action}</Action><ResourceRecordSet><Name>{name}</Name><Type>TXT</Type><TTL>{ttl}</TTL>\
         <ResourceRecords>{records}</ResourceRecords></ResourceRecordSet></Change>"
    )
    .expect("a String takes everything");
}

#[cfg(test)]
#[path = "route53_tests.rs"]
mod tests;
