//! An order that a CA has, and we do not know of: its answer was lost in a crash.

use std::net::IpAddr;

use serde_json::Value;

use super::super::clock::Clock;
use super::super::http::Client;
use super::account::Ready;
use super::failure::Failure;
use super::jws::{By, Server};

/// No more of them are looked at, the newest first.
const MOST: usize = 16;

/// The open order of a name, by its URL, if the CA lists the account's orders (RFC 8555 §7.1.2.1). Of one that was not
/// finalized our key is as good as any.
pub(crate) async fn find(
    ready: &Ready,
    client: &Client,
    clock: &Clock,
    name: &str,
) -> Result<Option<Box<str>>, Failure> {
    let server = Server { client, clock, new_nonce: &ready.directory.new_nonce };
    let by = By::Account(&ready.url);
    let account = server.post(&ready.key, by, &ready.url, None).await?.body;
    let Some(orders) = account["orders"].as_str() else { return Ok(None) };
    // Many CAs name a list, and have none.
    let listed = match server.post(&ready.key, by, orders, None).await {
        Ok(answer) => answer.body,
        Err(failure) if failure.kind.keeps_order() => return Err(failure),
        Err(failure) => {
            tracing::debug!("{orders}: no list of orders: {failure}");
            return Ok(None);
        }
    };
    let urls = listed["orders"].as_array().map(Vec::as_slice).unwrap_or_default();
    for url in urls.iter().rev().take(MOST).filter_map(Value::as_str) {
        let order = server.post(&ready.key, by, url, None).await;
        if order.is_ok_and(|order| is_open(&order.body, name)) {
            return Ok(Some(url.into()));
        }
    }
    Ok(None)
}

fn is_open(order: &Value, name: &str) -> bool {
    let kind = if name.parse::<IpAddr>().is_ok() { "ip" } else { "dns" };
    let [identifier] = order["identifiers"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        return false;
    };
    let ours = identifier["type"] == kind && identifier["value"] == name;
    ours && (order["status"] == "pending" || order["status"] == "ready")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_an_open_order_of_this_name_alone_is_ours() {
        let order = |status: &str, names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| json!({ "type": "dns", "value": name })).collect();
            json!({ "status": status, "identifiers": names })
        };
        assert!(is_open(&order("pending", &["a.example"]), "a.example"));
        assert!(is_open(&order("ready", &["*.a.example"]), "*.a.example"));
        assert!(!is_open(&order("valid", &["a.example"]), "a.example"));
        assert!(!is_open(&order("processing", &["a.example"]), "a.example"));
        assert!(!is_open(&order("pending", &["a.example", "b.example"]), "a.example"));
        assert!(!is_open(&order("pending", &["b.example"]), "a.example"));
        assert!(!is_open(&json!({}), "a.example"));
    }
}
