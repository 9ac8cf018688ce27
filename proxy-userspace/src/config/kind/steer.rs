//! What a ClientHello has: protocols, cipher suites, groups, fingerprints.

use std::fmt;

use super::parsed::{Parsed, PlainText, bad};
use crate::config::diagnostic::Fact;
use crate::config::nearest::nearest;

/// The longest name of a protocol (RFC 7301 §3.1).
const MOST_ALPN: usize = 255;

/// A protocol of ALPN.
pub(in crate::config) const ALPN: PlainText = Parsed {
    wanted: "the name of a protocol",
    example: "\"h2\"",
    pattern: "^[!-~]{1,255}$",
    parse: |text| match (1..=MOST_ALPN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => bad(BadAlpn),
    },
};

/// A fingerprint of a ClientHello over TCP or QUIC.
pub(in crate::config) const JA4: PlainText = Parsed {
    wanted: "a JA4 fingerprint",
    example: "\"t13d1516h2_8daaf6152771_e5627efa2ab1\"",
    pattern: "^[tqd][0-9a-z]{2}[di][0-9]{4}[0-9a-zA-Z]{2}_[0-9a-f]{12}_[0-9a-f]{12}$",
    parse: |text| if is_ja4(text) { Ok(text.into()) } else { bad(BadJa4) },
};

/// A cipher suite.
pub(in crate::config) const CIPHER: Parsed<u16> = Parsed {
    wanted: "the name of a cipher suite, or its number",
    example: "\"TLS_AES_128_GCM_SHA256\"",
    pattern: "^(TLS_[A-Z0-9_]+|0x[0-9a-fA-F]{1,4})$",
    parse: |text| numbered(text, &SUITES, "cipher suite"),
};

/// A group for the exchange of keys.
pub(in crate::config) const GROUP: Parsed<u16> = Parsed {
    wanted: "the name of a group, or its number",
    example: "\"x25519\"",
    pattern: "^([A-Za-z0-9_-]+|0x[0-9a-fA-F]{1,4})$",
    parse: |text| numbered(text, &GROUPS, "group"),
};

/// Suites that clients of today and of the last twenty years offer (IANA, "TLS Cipher Suites"); others have numbers.
const SUITES: [(&str, u16); 46] = [
    ("TLS_RSA_WITH_RC4_128_MD5", 0x0004),
    ("TLS_RSA_WITH_RC4_128_SHA", 0x0005),
    ("TLS_RSA_WITH_DES_CBC_SHA", 0x0009),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", 0x000a),
    ("TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", 0x0016),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", 0x002f),
    ("TLS_DHE_RSA_WITH_AES_128_CBC_SHA", 0x0033),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", 0x0035),
    ("TLS_DHE_RSA_WITH_AES_256_CBC_SHA", 0x0039),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", 0x003c),
    ("TLS_RSA_WITH_AES_256_CBC_SHA256", 0x003d),
    ("TLS_DHE_RSA_WITH_AES_128_CBC_SHA256", 0x0067),
    ("TLS_DHE_RSA_WITH_AES_256_CBC_SHA256", 0x006b),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009c),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", 0x009d),
    ("TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", 0x009e),
    ("TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", 0x009f),
    ("TLS_PSK_WITH_AES_128_GCM_SHA256", 0x00a8),
    ("TLS_PSK_WITH_AES_256_GCM_SHA384", 0x00a9),
    ("TLS_AES_128_GCM_SHA256", 0x1301),
    ("TLS_AES_256_GCM_SHA384", 0x1302),
    ("TLS_CHACHA20_POLY1305_SHA256", 0x1303),
    ("TLS_AES_128_CCM_SHA256", 0x1304),
    ("TLS_AES_128_CCM_8_SHA256", 0x1305),
    ("TLS_FALLBACK_SCSV", 0x5600),
    ("TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA", 0xc008),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", 0xc009),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", 0xc00a),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", 0xc011),
    ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", 0xc012),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", 0xc013),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 0xc014),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", 0xc023),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384", 0xc024),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xc027),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", 0xc028),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM", 0xc0ac),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CCM", 0xc0ad),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", 0xc0ae),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9),
    ("TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xccaa),
];

/// Groups (IANA, "TLS Supported Groups"), and the names that people have for them.
const GROUPS: [(&str, u16); 20] = [
    ("secp256r1", 0x0017),
    ("P-256", 0x0017),
    ("secp384r1", 0x0018),
    ("P-384", 0x0018),
    ("secp521r1", 0x0019),
    ("P-521", 0x0019),
    ("x25519", 0x001d),
    ("x448", 0x001e),
    ("ffdhe2048", 0x0100),
    ("ffdhe3072", 0x0101),
    ("ffdhe4096", 0x0102),
    ("ffdhe6144", 0x0103),
    ("ffdhe8192", 0x0104),
    ("MLKEM512", 0x0200),
    ("MLKEM768", 0x0201),
    ("MLKEM1024", 0x0202),
    ("SecP256r1MLKEM768", 0x11eb),
    ("X25519MLKEM768", 0x11ec),
    ("SecP384r1MLKEM1024", 0x11ed),
    ("X25519Kyber768Draft00", 0x6399),
];

/// A number by its name, or as it is.
fn numbered(
    text: &str,
    known: &'static [(&'static str, u16)],
    what: &'static str,
) -> Result<u16, Box<dyn Fact>> {
    if let Some((_, number)) = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Ok(*number);
    }
    let hex = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match hex.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
        Some(number) => Ok(number),
        None => bad(NoSuchNumber { what, near: nearest(text, known.iter().map(|(name, _)| *name)) }),
    }
}

/// `t13d1516h2_8daaf6152771_e5627efa2ab1`.
fn is_ja4(text: &str) -> bool {
    let (Some((head, rest)), true) = (text.split_once('_'), text.is_ascii()) else { return false };
    let hex =
        |part: &str| part.len() == 12 && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let shape = |(at, byte): (usize, u8)| match at {
        0 => matches!(byte, b't' | b'q' | b'd'),
        1 | 2 => byte.is_ascii_digit() || byte.is_ascii_lowercase(),
        3 => matches!(byte, b'd' | b'i'),
        4..=7 => byte.is_ascii_digit(),
        _ => byte.is_ascii_alphanumeric(),
    };
    head.len() == 10
        && head.bytes().enumerate().all(shape)
        && rest.split_once('_').is_some_and(|(suites, extensions)| hex(suites) && hex(extensions))
}

#[derive(Debug, thiserror::Error)]
#[error("a protocol has 1 to {MOST_ALPN} visible characters")]
struct BadAlpn;

impl Fact for BadAlpn {}

#[derive(Debug, thiserror::Error)]
#[error("a JA4 has 36 characters: ten, then twice an underscore and twelve hex digits")]
struct BadJa4;

impl Fact for BadJa4 {
    fn help(&self) -> Option<String> {
        Some("write it as the access log has it: \"t13d1516h2_8daaf6152771_e5627efa2ab1\"".to_owned())
    }
}

struct NoSuchNumber {
    what: &'static str,
    near: Option<&'static str>,
}

impl fmt::Display for NoSuchNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no {} of that name here", self.what)
    }
}

impl Fact for NoSuchNumber {
    fn help(&self) -> Option<String> {
        Some(match self.near {
            Some(near) => format!("did you mean {near:?}? Any can be written as a number: \"0x1301\""),
            None => "write its IANA name, or its number: \"0x1301\"".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_same() {
        let cipher = |text: &str| (CIPHER.parse)(text).map_err(|fact| fact.help());
        assert_eq!(cipher("TLS_AES_128_GCM_SHA256"), Ok(0x1301));
        assert_eq!(cipher("0x1301"), Ok(0x1301));
        let near = cipher("TLS_AES_128_GCM_SHA265").unwrap_err().unwrap();
        assert!(near.contains("\"TLS_AES_128_GCM_SHA256\""), "{near}");
        for wrong in ["0x", "0x12345", "1301", "0x+301", ""] {
            assert!(cipher(wrong).is_err(), "{wrong}");
        }
        assert_eq!((GROUP.parse)("X25519").ok(), Some(29));
        let sorted = SUITES.windows(2).all(|pair| pair[0].1 < pair[1].1);
        assert!(sorted, "each once, in order");
    }

    #[test]
    fn a_fingerprint_is_told_from_other_texts() {
        for good in ["t13d1516h2_8daaf6152771_e5627efa2ab1", "t12i0907h1_000000000000_4166258ec05c"] {
            assert!(is_ja4(good), "{good}");
        }
        for bad in
            ["", "t13d1516h2", "t13d1516h2_8DAAF6152771_e5627efa2ab1", "x13d1516h2_8daaf6152771_e5627efa2ab1"]
        {
            assert!(!is_ja4(bad), "{bad}");
        }
    }
}
