//! Cloudflare's API, version 4.

use std::time::Duration;

use bytes::Bytes;
use hickory_proto::rr::Name;
use http::header::HeaderMap;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::acme::http::Client;

use super::api::{ApiError, request, said, secret, send};

/// Where the API is.
const ENDPOINT: &str = "https://api.cloudflare.com/client/v4";
/// A shorter time to live is refused.
const LEAST_TTL: u64 = 60;
/// Such a record is there already: 81057 is of any type, 81058 of the same content.
const THERE: [u64; 2] = [81_057, 81_058];
/// Such a record is not there.
const NOT_THERE: u64 = 81_044;

/// An account's zones.
pub(in super::super) struct Cloudflare {
    client: Client,
    endpoint: Box<str>,
    token: Box<str>,
}

impl std::fmt::Debug for Cloudflare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cloudflare({})", self.endpoint)
    }
}

/// Every answer's envelope.
#[derive(Deserialize)]
struct Answer {
    success: bool,
    #[serde(default)]
    errors: Vec<Complaint>,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Zone {
    id: String,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    #[serde(default)]
    content: String,
}

/// What came back.
enum Outcome {
    Done(Value),
    Failed(Vec<u64>, ApiError),
}

impl Cloudflare {
    /// Who has this token may change its zones.
    pub(in super::super) fn new(client: Client, endpoint: Option<&str>, token: &str) -> Self {
        let endpoint = endpoint.unwrap_or(ENDPOINT).trim_end_matches('/').into();
        Self { client, endpoint, token: token.into() }
    }

    /// One more TXT record. Gives its zone and number.
    pub(super) async fn add(&self, fqdn: &Name, value: &str, ttl: Duration) -> Result<Box<str>, ApiError> {
        let zone = self.zone(fqdn).await?;
        let ttl = ttl.as_secs().max(LEAST_TTL);
        let record = json!({ "type": "TXT", "name": bare(fqdn), "content": quoted(value), "ttl": ttl });
        let path = format!("/zones/{zone}/dns_records");
        match self.ask(Method::POST, &path, record.to_string().into()).await? {
            Outcome::Done(result) => {
                let record: Record = self.understood(&path, result)?;
                Ok(format!("{zone}/{}", record.id).into())
            }
            // Of an earlier attempt that broke off.
            Outcome::Failed(codes, error) if codes.iter().any(|code| THERE.contains(code)) => {
                match self.find(&zone, fqdn, value).await? {
                    Some(id) => Ok(format!("{zone}/{id}").into()),
                    None => Err(error),
                }
            }
            Outcome::Failed(_, error) => Err(error),
        }
    }

    /// Takes this record away. It is looked for if its number is not known.
    pub(super) async fn remove(
        &self,
        fqdn: &Name,
        value: &str,
        handle: Option<&str>,
    ) -> Result<(), ApiError> {
        let (zone, id) = match handle.and_then(|handle| handle.split_once('/')) {
            Some((zone, id)) => (zone.to_owned(), Some(id.to_owned())),
            None => {
                let zone = self.zone(fqdn).await?;
                let id = self.find(&zone, fqdn, value).await?;
                (zone, id)
            }
        };
        let Some(id) = id else { return Ok(()) };
        match self.ask(Method::DELETE, &format!("/zones/{zone}/dns_records/{id}"), Bytes::new()).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Failed(codes, ApiError::Refused { status, .. })
                if codes.contains(&NOT_THERE) || status == StatusCode::NOT_FOUND =>
            {
                Ok(())
            }
            Outcome::Failed(_, error) => Err(error),
        }
    }

    /// The nearest zone of the account's.
    async fn zone(&self, fqdn: &Name) -> Result<String, ApiError> {
        let mut at = fqdn.clone();
        while at.num_labels() > 1 {
            let path = format!("/zones?name={}", bare(&at));
            let zones: Vec<Zone> = match self.ask(Method::GET, &path, Bytes::new()).await? {
                Outcome::Done(result) => self.understood(&path, result)?,
                Outcome::Failed(_, error) => return Err(error),
            };
            if let Some(zone) = zones.into_iter().next() {
                return Ok(zone.id);
            }
            at = at.base_name();
        }
        Err(ApiError::NoZone(bare(fqdn).into()))
    }

    /// The number of a record.
    async fn find(&self, zone: &str, fqdn: &Name, value: &str) -> Result<Option<String>, ApiError> {
        let path = format!("/zones/{zone}/dns_records?type=TXT&per_page=100&name={}", bare(fqdn));
        match self.ask(Method::GET, &path, Bytes::new()).await? {
            Outcome::Done(result) => {
                let records: Vec<Record> = self.understood(&path, result)?;
                Ok(records.into_iter().find(|record| record.content.trim_matches('"') == value).map(|r| r.id))
            }
            Outcome::Failed(_, error) => Err(error),
        }
    }

    fn understood<T: for<'a> Deserialize<'a>>(&self, path: &str, result: Value) -> Result<T, ApiError> {
        let strange = || ApiError::Strange { url: format!("{}{path}", self.endpoint).into() };
        serde_json::from_value(result).map_err(|_| strange())
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Outcome, ApiError> {
        let url = format!("{}{path}", self.endpoint);
        let authorization = secret(&format!("Bearer {}", self.token))?;
        let body = ("application/json", body);
        let answer =
            send(&self.client, request(method, &url, authorization, HeaderMap::new(), body)?).await?;
        let status = answer.status();
        let refused = |said| ApiError::Refused { url: url.as_str().into(), status, said };
        let Ok(read) = serde_json::from_slice::<Answer>(answer.body()) else {
            let text = said(&String::from_utf8_lossy(answer.body()));
            return Ok(Outcome::Failed(Vec::new(), refused(text)));
        };
        if read.success {
            return Ok(Outcome::Done(read.result));
        }
        let complaints: Vec<_> = read.errors.iter().map(|c| format!("{} ({})", c.message, c.code)).collect();
        let codes = read.errors.iter().map(|complaint| complaint.code).collect();
        Ok(Outcome::Failed(codes, refused(said(&complaints.join("; ")))))
    }
}

/// Without the dot at the end.
fn bare(name: &Name) -> String {
    let mut text = name.to_ascii();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// The API wants it so, and says so where it is not.
fn quoted(value: &str) -> String {
    format!("\"{value}\"")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::Response;

    use super::super::super::web_server::WebServer;
    use super::super::zone::absolute;
    use super::*;

    /// Zone `example.com`, its records, and what was asked with which token.
    #[derive(Default)]
    struct Account {
        records: Vec<(String, Value)>,
        next: u32,
    }

    impl Account {
        fn answer(&mut self, request: &http::Request<Bytes>) -> Response<Bytes> {
            if request.headers()["authorization"] != "Bearer token" {
                let errors = json!([{ "code": 10_000, "message": "Authentication error" }]);
                return reply(403, &json!({ "success": false, "errors": errors, "result": null }));
            }
            let query = request.uri().query().unwrap_or_default();
            let path = request.uri().path();
            match (request.method(), path.split_once("dns_records").map(|(_, id)| id)) {
                (&Method::GET, None) if query == "name=example.com" => done(&json!([{ "id": "z1" }])),
                (&Method::GET, None) => done(&json!([])),
                (&Method::GET, Some(_)) => {
                    let named =
                        |r: &Value| query.ends_with(&format!("&name={}", r["name"].as_str().unwrap()));
                    let found = self.records.iter().filter(|(_, record)| named(record));
                    done(&found.map(|(id, r)| json!({ "id": id, "content": r["content"] })).collect())
                }
                (&Method::POST, _) => {
                    let record: Value = serde_json::from_slice(request.body()).unwrap();
                    if self.records.iter().any(|(_, old)| *old == record) {
                        let errors =
                            json!([{ "code": 81_058, "message": "An identical record already exists." }]);
                        return reply(400, &json!({ "success": false, "errors": errors, "result": null }));
                    }
                    self.next += 1;
                    self.records.push((format!("r{}", self.next), record));
                    done(&json!({ "id": format!("r{}", self.next) }))
                }
                (&Method::DELETE, Some(id)) => {
                    let before = self.records.len();
                    self.records.retain(|(own, _)| own != &id[1..]);
                    if self.records.len() == before {
                        let errors = json!([{ "code": 81_044, "message": "Record does not exist." }]);
                        return reply(404, &json!({ "success": false, "errors": errors, "result": null }));
                    }
                    done(&json!({ "id": id }))
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn done(result: &Value) -> Response<Bytes> {
        reply(200, &json!({ "success": true, "errors": [], "result": result }))
    }

    fn reply(status: u16, body: &Value) -> Response<Bytes> {
        Response::builder().status(status).body(body.to_string().into()).unwrap()
    }

    async fn account() -> (Arc<Mutex<Account>>, WebServer) {
        let account = Arc::new(Mutex::new(Account::default()));
        let own = Arc::clone(&account);
        let server = WebServer::start(move |request| own.lock().unwrap().answer(request)).await;
        (account, server)
    }

    fn contents(account: &Mutex<Account>) -> Vec<String> {
        account
            .lock()
            .unwrap()
            .records
            .iter()
            .map(|(_, r)| r["content"].as_str().unwrap().to_owned())
            .collect()
    }

    const TTL: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn records_are_put_into_the_nearest_zone_and_taken_away_one_by_one() {
        let (account, server) = account().await;
        let api = Cloudflare::new(server.client(), Some(&server.url("/client/v4/")), "token");
        let fqdn = absolute("_acme-challenge.app.example.com").unwrap();
        let one = api.add(&fqdn, "one", TTL).await.unwrap();
        let two = api.add(&fqdn, "two", TTL).await.unwrap();
        assert_eq!((&*one, &*two), ("z1/r1", "z1/r2"));
        let first = json!({ "type": "TXT", "name": "_acme-challenge.app.example.com", "content": "\"one\"", "ttl": 60 });
        assert_eq!(account.lock().unwrap().records[0].1, first);
        // Of an attempt that broke off.
        assert_eq!(api.add(&fqdn, "two", TTL).await.unwrap(), two);
        api.remove(&fqdn, "one", Some(&one)).await.unwrap();
        assert_eq!(contents(&account), ["\"two\""]);
        api.remove(&fqdn, "one", Some(&one)).await.unwrap();
        api.remove(&fqdn, "two", None).await.unwrap();
        assert_eq!(contents(&account), [""; 0]);
        api.remove(&fqdn, "two", None).await.unwrap();
    }

    #[tokio::test]
    async fn what_the_api_refuses_is_said_without_the_token() {
        let (_account, server) = account().await;
        let endpoint = server.url("/client/v4");
        let fqdn = absolute("_acme-challenge.example.com").unwrap();
        let wrong = Cloudflare::new(server.client(), Some(&endpoint), "wrong-token");
        let error = wrong.add(&fqdn, "one", TTL).await.unwrap_err().to_string();
        let url = format!("{endpoint}/zones?name=_acme-challenge.example.com");
        assert_eq!(error, format!("{url} answers with 403 Forbidden: Authentication error (10000)"));
        let right = Cloudflare::new(server.client(), Some(&endpoint), "token");
        let other = absolute("_acme-challenge.example.net").unwrap();
        let error = right.add(&other, "one", TTL).await.unwrap_err().to_string();
        assert_eq!(error, "no zone for _acme-challenge.example.net is found with these credentials");
        let broken = Cloudflare::new(server.client(), Some(&endpoint), "to\nken");
        let error = broken.add(&fqdn, "one", TTL).await.unwrap_err();
        assert!(matches!(error, ApiError::Credentials), "{error}");
        assert!(!format!("{broken:?}").contains("ken"), "{broken:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_no_api_is_quoted_shortly() {
        let page = format!("<html>\n{}", "x".repeat(100_000));
        let server =
            WebServer::start(move |_| Response::builder().status(502).body(page.clone().into()).unwrap())
                .await;
        let api = Cloudflare::new(server.client(), Some(&server.url("")), "token");
        let error = api.add(&absolute("a.example.com").unwrap(), "one", TTL).await.unwrap_err().to_string();
        assert!(error.contains("answers with 502 Bad Gateway: <html> xxx") && error.len() < 700, "{error}");
    }
}
