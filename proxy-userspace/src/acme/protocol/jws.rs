//! Signed requests (RFC 8555 §6), for what instant-acme cannot do so that a crash loses nothing: an account with a key that
//! was kept before, its change to a key that was kept before, and the list of its orders.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::{Value, json};

use super::super::clock::Clock;
use super::super::http::Client;
use super::failure::{Failure, FailureKind};
use super::tap::Seen;

/// A nonce that is refused is replaced by the next; a CA that refuses so many in a row is not well.
const NONCES: usize = 5;
const USER_AGENT: &str = concat!("proxy-now/", env!("CARGO_PKG_VERSION"));

/// An account's key.
pub(crate) struct AccountKey {
    key: EcdsaKeyPair,
}

/// Who signs: before it is known to the CA, a key stands for itself.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// The key.
    Key,
    /// The account's URL.
    Account(&'a str),
}

/// A CA, as far as it is asked here.
pub(crate) struct Server<'a> {
    pub(crate) client: &'a Client,
    pub(crate) clock: &'a Clock,
    pub(crate) new_nonce: &'a str,
}

/// An answer that is none of an error.
pub(crate) struct Answer {
    pub(crate) seen: Seen,
    pub(crate) body: Value,
}

impl AccountKey {
    /// A new one, as PKCS#8: to be kept before it is used.
    pub(crate) fn generate() -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).ok()?;
        Some(key.as_ref().to_vec())
    }

    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Some(Self { key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).ok()? })
    }

    /// RFC 7518 §6.2.
    fn jwk(&self) -> Value {
        let public = self.key.public_key().as_ref();
        let (x, y) = public.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        json!({ "crv": "P-256", "kty": "EC", "x": encode(x), "y": encode(y) })
    }

    fn sign(&self, mut protected: Value, by: By<'_>, url: &str, payload: &str) -> Result<Value, Failure> {
        protected["alg"] = "ES256".into();
        protected["url"] = url.into();
        match by {
            By::Key => protected["jwk"] = self.jwk(),
            By::Account(account) => protected["kid"] = account.into(),
        }
        jws(&protected, payload, |text| {
            let signature = self.key.sign(&SystemRandom::new(), text).ok()?;
            Some(signature.as_ref().to_vec())
        })
    }

    /// Binds the key to an account elsewhere (RFC 8555 §7.3.4).
    pub(crate) fn bound(&self, key_id: &str, hmac_key: &[u8], url: &str) -> Result<Value, Failure> {
        let protected = json!({ "alg": "HS256", "kid": key_id, "url": url });
        let key = hmac::Key::new(hmac::HMAC_SHA256, hmac_key);
        jws(&protected, &self.jwk().to_string(), |text| Some(hmac::sign(&key, text).as_ref().to_vec()))
    }

    /// Says that this key takes the place of `old` (RFC 8555 §7.3.5): signed by both.
    pub(crate) fn succeeds(&self, old: &Self, account: &str, url: &str) -> Result<Value, Failure> {
        let payload = json!({ "account": account, "oldKey": old.jwk() });
        self.sign(json!({}), By::Key, url, &payload.to_string())
    }
}

impl Server<'_> {
    /// Asks, signed; a payload of none is POST-as-GET.
    pub(crate) async fn post(
        &self,
        key: &AccountKey,
        by: By<'_>,
        url: &str,
        payload: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let payload = payload.map(Value::to_string).unwrap_or_default();
        let mut nonce = None;
        for _ in 0..NONCES {
            let fresh = match nonce.take() {
                Some(nonce) => nonce,
                None => self.nonce().await?,
            };
            let body = key.sign(json!({ "nonce": fresh }), by, url, &payload)?;
            let request = Request::post(url)
                .header(http::header::CONTENT_TYPE, "application/jose+json")
                .header(http::header::USER_AGENT, USER_AGENT)
                .body(Bytes::from(body.to_string()));
            let answer = self.send(request).await?;
            let seen = Seen::of(answer.status().as_u16(), answer.headers(), self.clock);
            if answer.status().is_success() {
                let body = serde_json::from_slice(answer.body()).unwrap_or(Value::Null);
                return Ok(Answer { seen, body });
            }
            let problem: instant_acme::Problem = match serde_json::from_slice(answer.body()) {
                Ok(problem) => problem,
                Err(error) => return Err(Failure::of(instant_acme::Error::Json(error), &seen)),
            };
            if problem.r#type.as_deref() != Some("urn:ietf:params:acme:error:badNonce") {
                return Err(Failure::of_problem(&problem, &seen));
            }
            nonce = replay_nonce(&answer);
        }
        Err(Failure::new(FailureKind::Unreachable, "the CA refuses every nonce that it gives"))
    }

    async fn nonce(&self) -> Result<String, Failure> {
        let request = Request::builder()
            .method(Method::HEAD)
            .uri(self.new_nonce)
            .header(http::header::USER_AGENT, USER_AGENT)
            .body(Bytes::new());
        let answer = self.send(request).await?;
        replay_nonce(&answer)
            .ok_or_else(|| Failure::new(FailureKind::Unreachable, "the CA gives no nonce (RFC 8555 §7.2)"))
    }

    async fn send(&self, request: http::Result<Request<Bytes>>) -> Result<Response<Bytes>, Failure> {
        let unreachable = |error: &dyn std::fmt::Display| Failure::new(FailureKind::Unreachable, error);
        let request = request.map_err(|error| unreachable(&error))?;
        self.client
            .send(request)
            .await
            .map_err(|error| Failure::of(instant_acme::Error::Other(Box::new(error)), &Seen::default()))
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountKey")
    }
}

/// RFC 7515 §7.2.2.
fn jws(
    protected: &Value,
    payload: &str,
    sign: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Result<Value, Failure> {
    let (protected, payload) = (encode(protected.to_string().as_bytes()), encode(payload.as_bytes()));
    let signature = sign(format!("{protected}.{payload}").as_bytes())
        .ok_or_else(|| Failure::new(FailureKind::Storage, "the account's key cannot sign"))?;
    Ok(json!({ "protected": protected, "payload": payload, "signature": encode(&signature) }))
}

fn replay_nonce(answer: &Response<Bytes>) -> Option<String> {
    answer.headers().get("replay-nonce").and_then(|nonce| nonce.to_str().ok()).map(str::to_owned)
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;

    fn decode(text: &Value) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
    }

    #[test]
    fn a_request_is_signed_by_the_key_that_it_names() {
        let key = AccountKey::from_pkcs8(&AccountKey::generate().unwrap()).unwrap();
        let signed = key.sign(json!({ "nonce": "n" }), By::Key, "https://ca.example/new", "{}").unwrap();
        let text =
            format!("{}.{}", signed["protected"].as_str().unwrap(), signed["payload"].as_str().unwrap());
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.key.public_key().as_ref());
        public.verify(text.as_bytes(), &decode(&signed["signature"])).unwrap();
        let protected: Value = serde_json::from_slice(&decode(&signed["protected"])).unwrap();
        assert_eq!(protected["url"], "https://ca.example/new");
        assert_eq!(protected["nonce"], "n");
        assert_eq!(protected["jwk"], key.jwk());
        assert_eq!(decode(&signed["payload"]), b"{}");
    }
}
