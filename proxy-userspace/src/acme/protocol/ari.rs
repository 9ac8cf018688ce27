//! What a CA suggests when to renew (RFC 9773).

use instant_acme::CertificateIdentifier;
use rustls::pki_types::CertificateDer;
use serde::Deserialize;
use std::time::Duration;

use super::super::clock::{Clock, unix};
use super::super::http::Client;
use super::directory::{Directory, get};
use super::failure::{Failure, FailureKind};

/// How a certificate is called there (§4.1); none: it does not say who issued it.
pub(crate) fn identifier(leaf: &[u8]) -> Option<CertificateIdentifier<'static>> {
    let leaf = CertificateDer::from_slice(leaf);
    CertificateIdentifier::try_from(&leaf).ok().map(CertificateIdentifier::into_owned)
}

/// The window, in seconds since 1970, and when to ask again. None: this CA suggests nothing.
pub(crate) async fn window(
    client: &Client,
    clock: &Clock,
    directory: &Directory,
    leaf: &[u8],
) -> Result<Option<((u64, u64), Option<Duration>)>, Failure> {
    let (Some(url), Some(identifier)) = (&directory.renewal_info, identifier(leaf)) else { return Ok(None) };
    let (seen, body) = get(client, clock, &format!("{}/{identifier}", url.trim_end_matches('/'))).await?;
    let window = read(&body).ok_or_else(|| {
        Failure::new(FailureKind::Unreachable, "the CA's renewal information makes no sense")
    })?;
    Ok(Some((window, seen.retry_after)))
}

/// §4.2. A window that ends before it starts is none.
fn read(body: &[u8]) -> Option<(u64, u64)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Info {
        suggested_window: Window,
    }
    #[derive(Deserialize)]
    struct Window {
        start: String,
        end: String,
    }
    let info: Info = serde_json::from_slice(body).ok()?;
    let moment = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|moment| unix(moment.into()));
    let (start, end) = (moment(&info.suggested_window.start)?, moment(&info.suggested_window.end)?);
    (start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_unless_it_is_none() {
        let body = |start: &str, end: &str| {
            format!(r#"{{"suggestedWindow": {{"start": "{start}", "end": "{end}"}}, "explanationURL": "x"}}"#)
        };
        let (start, end) = ("2025-01-02T04:00:00Z", "2025-01-03T04:00:00.5+00:00");
        assert_eq!(read(body(start, end).as_bytes()), Some((1_735_790_400, 1_735_876_800)));
        assert_eq!(read(body(end, start).as_bytes()), None);
        assert_eq!(read(body("soon", end).as_bytes()), None);
        assert_eq!(read(b"{}"), None);
    }
}
