//! Facts about Route 53, with a small one of our own.

use std::sync::{Arc, Mutex};
use std::time::UNIX_EPOCH;

use http::{Request, Response};

use super::super::super::web_server::WebServer;
use super::super::zone::absolute;
use super::*;

const TTL: Duration = Duration::from_secs(60);

/// Zone `example.com`: the TXT set of one name.
#[derive(Default)]
struct Account {
    set: Option<Set>,
    /// Somebody else adds this value after the set was read.
    other: Option<&'static str>,
    /// What was asked, in order.
    asked: Vec<String>,
    changes: u32,
    /// So often a change is still on its way.
    pending: u32,
}

impl Account {
    fn answer(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let path = request.uri().path_and_query().unwrap().as_str().to_owned();
        self.asked.push(format!("{} {path}", request.method()));
        let headers = request.headers();
        assert_eq!(headers["x-amz-date"], "20270115T080000Z");
        assert_eq!(headers["x-amz-security-token"], "session");
        let authorization = headers["authorization"].to_str().unwrap();
        let scope = "AWS4-HMAC-SHA256 Credential=key/20270115/us-east-1/route53/aws4_request, ";
        let signed = "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=";
        assert!(authorization.starts_with(&format!("{scope}{signed}")), "{authorization}");
        if path.contains("hostedzonesbyname") {
            let zone = |id, private, name| {
                format!(
                    "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}</Name><Config>\
                     <PrivateZone>{private}</PrivateZone></Config></HostedZone>"
                )
            };
            let zones =
                [zone("P", true, "example.com."), zone("Z", false, "example.com."), zone("O", false, "org.")];
            return xml(200, &format!("<HostedZones>{}</HostedZones>", zones.concat()));
        }
        if path.starts_with("/2013-04-01/change/C") {
            let status = if self.pending == 0 { "INSYNC" } else { "PENDING" };
            self.pending = self.pending.saturating_sub(1);
            return xml(
                200,
                &format!("<ChangeInfo><Id>/change/C</Id><Status>{status}</Status></ChangeInfo>"),
            );
        }
        assert!(path.starts_with("/2013-04-01/hostedzone/Z/rrset"), "{path}");
        if request.method() == Method::POST { self.change(request) } else { self.read() }
    }

    fn read(&mut self) -> Response<Bytes> {
        let mut sets = String::new();
        match &self.set {
            Some(set) => {
                let mut change = String::new();
                super::change(&mut change, "", &name(), set);
                sets.push_str(&change);
            }
            None => sets
                .push_str("<ResourceRecordSet><Name>z.example.com.</Name><Type>A</Type></ResourceRecordSet>"),
        }
        if let Some(other) = self.other.take() {
            let mut set = self.set.clone().unwrap_or(Set { ttl: 300, values: Vec::new() });
            set.values.push(format!("\"{other}\""));
            self.set = Some(set);
        }
        xml(200, &format!("<ResourceRecordSets>{sets}</ResourceRecordSets>"))
    }

    /// Both or none; what is deleted must be as it is there.
    fn change(&mut self, request: &Request<Bytes>) -> Response<Bytes> {
        let text = std::str::from_utf8(request.body()).unwrap();
        let mut now = self.set.clone();
        for change in elements(text, "Change") {
            let values = elements(change, "ResourceRecord").filter_map(|r| element(r, "Value")).collect();
            let set = Some(Set { ttl: element(change, "TTL").unwrap().parse().unwrap(), values });
            match element(change, "Action").unwrap().as_str() {
                "DELETE" if now == set => now = None,
                "CREATE" if now.is_none() => now = set,
                action => {
                    let message = format!("Tried to {action} resource record set, but it does not fit");
                    return xml(
                        400,
                        &format!("<InvalidChangeBatch><Message>{message}</Message></InvalidChangeBatch>"),
                    );
                }
            }
        }
        self.set = now;
        self.changes += 1;
        xml(200, "<ChangeInfo><Id>/change/C</Id><Status>PENDING</Status></ChangeInfo>")
    }
}

fn xml(status: u16, body: &str) -> Response<Bytes> {
    let body = format!("<?xml version=\"1.0\"?>\n<Answer xmlns=\"u\">{body}</Answer>");
    Response::builder().status(status).body(body.into()).unwrap()
}

fn name() -> Name {
    absolute("_acme-challenge.example.com").unwrap()
}

async fn account() -> (Arc<Mutex<Account>>, Route53) {
    let account = Arc::new(Mutex::new(Account::default()));
    let own = Arc::clone(&account);
    let server = WebServer::start(move |request| own.lock().unwrap().answer(request)).await;
    let clock = Clock::fixed(UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let keys = ("key", "secret", Some("session"));
    let mut api = Route53::new(server.client(), Some(&server.url("")), keys, clock);
    api.pause = Duration::from_millis(1);
    (account, api)
}

fn values(account: &Mutex<Account>) -> Vec<String> {
    account.lock().unwrap().set.as_ref().map_or_else(Vec::new, |set| set.values.clone())
}

#[tokio::test]
async fn values_are_added_to_the_set_of_their_name_and_taken_out_of_it() {
    let (account, api) = account().await;
    account.lock().unwrap().pending = 3;
    assert_eq!(&*api.add(&name(), "one", TTL).await.unwrap(), "Z", "the public zone");
    assert_eq!(account.lock().unwrap().pending, 0, "it is waited until all servers have it");
    api.add(&name(), "two", TTL).await.unwrap();
    assert_eq!(values(&account), ["\"one\"", "\"two\""]);
    api.add(&name(), "two", TTL).await.unwrap();
    assert_eq!(account.lock().unwrap().changes, 2, "what is there is not put again");
    api.remove(&name(), "one", Some("Z")).await.unwrap();
    assert_eq!(values(&account), ["\"two\""]);
    api.remove(&name(), "two", None).await.unwrap();
    assert_eq!(account.lock().unwrap().set, None);
    api.remove(&name(), "two", None).await.unwrap();
}

#[tokio::test]
async fn values_that_others_put_there_meanwhile_stay() {
    let (account, api) = account().await;
    account.lock().unwrap().other = Some("other");
    api.add(&name(), "one", TTL).await.unwrap();
    assert_eq!(values(&account), ["\"other\"", "\"one\""]);
    account.lock().unwrap().other = Some("another");
    api.remove(&name(), "one", Some("Z")).await.unwrap();
    assert_eq!(values(&account), ["\"other\"", "\"another\""]);
    assert_eq!(account.lock().unwrap().set.as_ref().unwrap().ttl, 300);
}

#[tokio::test]
async fn what_the_api_refuses_is_said_without_the_keys() {
    let server = WebServer::start(|_| {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>\
                    <Message>The security token is invalid.</Message></Error></ErrorResponse>";
        Response::builder().status(403).body(body.into()).unwrap()
    })
    .await;
    let keys = ("key", "hush", None);
    let api = Route53::new(server.client(), Some(&server.url("")), keys, Clock::system());
    let error = api.add(&name(), "one", TTL).await.unwrap_err().to_string();
    let said = "answers with 403 Forbidden: The security token is invalid. (InvalidClientTokenId)";
    assert!(error.ends_with(said), "{error}");
    assert!(!format!("{error} {api:?}").contains("hush"));
    let other = absolute("a.example.net").unwrap();
    let (_account, api) = account().await;
    let error = api.add(&other, "one", TTL).await.unwrap_err().to_string();
    assert_eq!(error, "no zone for a.example.net. is found with these credentials");
}
