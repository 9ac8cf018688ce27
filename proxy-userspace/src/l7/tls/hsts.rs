//! Strict Transport Security (RFC 6797): a field that tells browsers not to come without TLS again.

use http::HeaderValue;

use crate::config::HstsConfig;

/// The field's value.
pub(super) fn value(config: &HstsConfig) -> HeaderValue {
    let mut text = format!("max-age={}", config.max_age.as_secs());
    if config.include_subdomains {
        text.push_str("; includeSubDomains");
    }
    if config.preload {
        text.push_str("; preload");
    }
    // Digits and words.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("max-age=0"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_field_says_what_is_configured() {
        let mut config = HstsConfig {
            max_age: Duration::from_secs(31_536_000),
            include_subdomains: false,
            preload: false,
        };
        assert_eq!(value(&config), "max-age=31536000");
        (config.include_subdomains, config.preload) = (true, true);
        assert_eq!(value(&config), "max-age=31536000; includeSubDomains; preload");
    }
}
