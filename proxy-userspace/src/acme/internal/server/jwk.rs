//! Keys of accounts (RFC 7517, RFC 7518), of the kinds that ACME clients use.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::problem::{Kind, Problem};

/// A key's text is no longer: RSA of 8192 bits.
const MOST_TEXT: usize = 1400;

/// An account's public key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kty")]
pub(super) enum Jwk {
    #[serde(rename = "EC")]
    Ec { crv: String, x: String, y: String },
    #[serde(rename = "RSA")]
    Rsa { e: String, n: String },
    #[serde(rename = "OKP")]
    Okp { crv: String, x: String },
}

impl Jwk {
    /// SHA-256 of its one canonical form (RFC 7638), base64url.
    pub(super) fn thumbprint(&self) -> Result<String, Problem> {
        for part in self.parts() {
            // Otherwise one key would have many thumbprints.
            if URL_SAFE_NO_PAD.encode(decode(part)?) != *part {
                return Err(bad("a key's member has another form than base64url without padding"));
            }
        }
        let canonical = match self {
            Self::Ec { crv, x, y } => format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Self::Rsa { e, n } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Self::Okp { crv, x } => format!(r#"{{"crv":"{crv}","kty":"OKP","x":"{x}"}}"#),
        };
        Ok(URL_SAFE_NO_PAD.encode(digest(&SHA256, canonical.as_bytes())))
    }

    /// The key as it stands in a certificate (RFC 5280 §4.1.2.7, RFC 5480, RFC 8017).
    pub(super) fn bits(&self) -> Result<Vec<u8>, Problem> {
        Ok(match self {
            Self::Ec { x, y, .. } => [vec![4], decode(x)?, decode(y)?].concat(),
            Self::Rsa { e, n } => sequence(&[integer(&decode(n)?), integer(&decode(e)?)].concat()),
            Self::Okp { x, .. } => decode(x)?,
        })
    }

    fn parts(&self) -> Vec<&String> {
        match self {
            Self::Ec { x, y, .. } => vec![x, y],
            Self::Rsa { e, n } => vec![e, n],
            Self::Okp { x, .. } => vec![x],
        }
    }

    /// Whether a message was signed with it.
    pub(super) fn verify(&self, alg: &str, message: &[u8], signature: &[u8]) -> Result<(), Problem> {
        let verified = match self {
            Self::Ec { crv, x, y } => {
                let point = [vec![4], decode(x)?, decode(y)?].concat();
                let algorithm = match (crv.as_str(), alg) {
                    ("P-256", "ES256") => &ECDSA_P256_SHA256_FIXED,
                    ("P-384", "ES384") => &ECDSA_P384_SHA384_FIXED,
                    _ => return Err(unknown(alg)),
                };
                UnparsedPublicKey::new(algorithm, point).verify(message, signature)
            }
            Self::Rsa { e, n } if alg == "RS256" => {
                let key = PublicKeyComponents { n: decode(n)?, e: decode(e)? };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            Self::Okp { crv, x } if crv == "Ed25519" && alg == "EdDSA" => {
                UnparsedPublicKey::new(&ED25519, decode(x)?).verify(message, signature)
            }
            _ => return Err(unknown(alg)),
        };
        verified.map_err(|_| Problem::new(Kind::Malformed, "the signature is not by this key"))
    }
}

fn sequence(content: &[u8]) -> Vec<u8> {
    [&[0x30][..], &length(content.len()), content].concat()
}

/// A number that is not negative, in DER.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if bytes.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    [&[0x02][..], &length(bytes.len() + sign.len()), sign, bytes].concat()
}

/// A length in DER.
fn length(length: usize) -> Vec<u8> {
    match length {
        0..0x80 => vec![length as u8],
        0x80..0x100 => vec![0x81, length as u8],
        _ => vec![0x82, (length >> 8) as u8, length as u8],
    }
}

fn decode(text: &str) -> Result<Vec<u8>, Problem> {
    if text.len() > MOST_TEXT {
        return Err(bad("the key is too long"));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|_| bad("a key's member is no base64url"))
}

fn bad(what: &'static str) -> Problem {
    Problem::new(Kind::BadPublicKey, what)
}

fn unknown(alg: &str) -> Problem {
    // Nothing of the client's is repeated but what is short and plain.
    let alg: String = alg.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    Problem::new(
        Kind::BadSignatureAlgorithm,
        format!("{alg} with this key: use ES256, ES384, RS256 or EdDSA"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let json = format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","alg":"RS256","kid":"2011-04-29"}}"#);
        let key: Jwk = serde_json::from_str(&json).unwrap();
        assert_eq!(key.thumbprint().unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }
}
