//! Signatures of requests to AWS (Signature Version 4).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use http::{Method, Uri};
use jiff::Timestamp;

/// Who asks.
pub(super) struct Credentials {
    pub(super) access_key: Box<str>,
    pub(super) secret_key: Box<str>,
    pub(super) session_token: Option<Box<str>>,
}

/// What is asked, and of whom.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// Nothing in its path or query needs to be encoded.
    pub(super) uri: &'a Uri,
    pub(super) body: &'a [u8],
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The value of `X-Amz-Date`.
pub(super) fn date(unix: u64) -> String {
    let time = Timestamp::from_second(unix.cast_signed()).unwrap_or_default();
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// The value of `Authorization`. Signed are `Host`, `X-Amz-Date` and, with a session, `X-Amz-Security-Token`.
pub(super) fn authorization(credentials: &Credentials, asked: &Asked<'_>, date: &str) -> String {
    let day = &date[..8];
    let host = asked.uri.authority().map_or("", |authority| authority.as_str());
    let mut headers = format!("host:{host}\nx-amz-date:{date}\n");
    let mut signed = "host;x-amz-date".to_owned();
    if let Some(token) = &credentials.session_token {
        headers.push_str(&format!("x-amz-security-token:{token}\n"));
        signed.push_str(";x-amz-security-token");
    }
    let mut query: Vec<_> = asked.uri.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{signed}\n{}",
        asked.method,
        asked.uri.path(),
        query.join("&"),
        hexadecimal(digest(&SHA256, asked.body).as_ref()),
    );
    let Asked { region, service, .. } = asked;
    let scope = format!("{day}/{region}/{service}/aws4_request");
    let hash = hexadecimal(digest(&SHA256, canonical.as_bytes()).as_ref());
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
    let mut key = format!("AWS4{}", credentials.secret_key).into_bytes();
    for part in [day, region, service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hexadecimal(&mac(&key, &to_sign));
    let access_key = &credentials.access_key;
    format!("AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={signed}, Signature={signature}")
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Amazon's test suite of Signature Version 4: `get-vanilla` and `get-vanilla-query-order-key-case`.
    #[test]
    fn signatures_are_those_of_the_published_examples() {
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        };
        let date = date(1_440_938_160);
        assert_eq!(date, "20150830T123600Z");
        for (uri, signature) in [
            (
                "https://example.amazonaws.com/",
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "https://example.amazonaws.com/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let uri = uri.parse().unwrap();
            let asked =
                Asked { method: &Method::GET, uri: &uri, body: b"", region: "us-east-1", service: "service" };
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature={signature}"
            );
            assert_eq!(authorization(&credentials, &asked, &date), expected);
        }
    }
}
