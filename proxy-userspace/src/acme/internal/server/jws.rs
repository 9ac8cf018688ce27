//! Signed requests (RFC 7515 §7.2.2, RFC 8555 §6.2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::jwk::Jwk;
use super::problem::Problem;

#[derive(Deserialize)]
struct Envelope {
    protected: String,
    payload: String,
    signature: String,
}

/// What stands before the payload.
#[derive(Deserialize, Debug)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(default)]
    pub(super) nonce: Option<String>,
    pub(super) url: String,
    #[serde(default)]
    pub(super) jwk: Option<Jwk>,
    #[serde(default)]
    pub(super) kid: Option<String>,
}

/// A signed request, not verified yet.
#[derive(Debug)]
pub(super) struct Jws {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

impl Jws {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let envelope: Envelope =
            serde_json::from_slice(body).map_err(|_| Problem::malformed("the body is no JWS in JSON"))?;
        let decode = |text: &str| {
            URL_SAFE_NO_PAD.decode(text).map_err(|_| Problem::malformed("a part of the JWS is no base64url"))
        };
        let header: Header = serde_json::from_slice(&decode(&envelope.protected)?)
            .map_err(|_| Problem::malformed("the JWS's header is not understood"))?;
        if header.jwk.is_some() == header.kid.is_some() {
            return Err(Problem::malformed("the JWS's header must have one of jwk and kid"));
        }
        Ok(Self {
            payload: decode(&envelope.payload)?,
            signature: decode(&envelope.signature)?,
            signed: format!("{}.{}", envelope.protected, envelope.payload),
            header,
        })
    }

    /// Whether it was signed with this key.
    pub(super) fn verify(&self, key: &Jwk) -> Result<(), Problem> {
        key.verify(&self.header.alg, self.signed.as_bytes(), &self.signature)
    }

    /// The payload, typed.
    pub(super) fn payload<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.payload).map_err(|_| Problem::malformed("the payload is not understood"))
    }
}
