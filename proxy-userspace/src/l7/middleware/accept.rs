//! Which content coding a client takes (RFC 9110 §12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::config::Encoding;

/// The coding that the client likes best, of those that are offered; of several the first offered. None: as it is.
pub(super) fn best(headers: &HeaderMap, offered: &[Encoding]) -> Option<Encoding> {
    let asked = Asked::read(headers);
    let mut best: Option<(Encoding, u16)> = None;
    for &encoding in offered {
        let quality = asked.quality(encoding);
        if quality > best.map_or(0, |(_, quality)| quality) {
            best = Some((encoding, quality));
        }
    }
    best.filter(|&(_, quality)| quality >= asked.identity.unwrap_or(0)).map(|(encoding, _)| encoding)
}

/// Qualities in thousandths.
#[derive(Default)]
struct Asked {
    gzip: Option<u16>,
    brotli: Option<u16>,
    zstd: Option<u16>,
    identity: Option<u16>,
    others: Option<u16>,
}

impl Asked {
    fn read(headers: &HeaderMap) -> Self {
        let mut asked = Self::default();
        let lines = headers.get_all(ACCEPT_ENCODING).iter();
        for element in lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')) {
            let (name, parameters) = match element.iter().position(|&byte| byte == b';') {
                Some(at) => (&element[..at], &element[at + 1..]),
                None => (element, &[][..]),
            };
            let Some(quality) = quality(parameters) else { continue };
            let name = name.trim_ascii();
            let is = |expected: &str| name.eq_ignore_ascii_case(expected.as_bytes());
            let place = match () {
                () if is("gzip") || is("x-gzip") => &mut asked.gzip,
                () if is("br") => &mut asked.brotli,
                () if is("zstd") => &mut asked.zstd,
                () if is("identity") => &mut asked.identity,
                () if is("*") => &mut asked.others,
                () => continue,
            };
            *place = Some(quality);
        }
        asked
    }

    fn quality(&self, encoding: Encoding) -> u16 {
        let named = match encoding {
            Encoding::Gzip => self.gzip,
            Encoding::Brotli => self.brotli,
            Encoding::Zstd => self.zstd,
        };
        named.or(self.others).unwrap_or(0)
    }
}

/// The quality of an element in thousandths (RFC 9110 §12.4.2); none: it is written wrongly, and the element counts for
/// nothing.
fn quality(parameters: &[u8]) -> Option<u16> {
    let text = parameters.trim_ascii();
    if text.is_empty() {
        return Some(1000);
    }
    let (name, value) = text.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") || value.len() > 5 {
        return None;
    }
    let value: f32 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (0.0..=1.0).contains(&value).then_some((value * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn best_of(accept: &'static str) -> Option<Encoding> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
        best(&headers, &[Encoding::Zstd, Encoding::Brotli, Encoding::Gzip])
    }

    #[test]
    fn the_client_says_what_it_takes() {
        for (accept, expected) in [
            ("gzip", Some(Encoding::Gzip)),
            ("gzip, deflate, br, zstd", Some(Encoding::Zstd)),
            ("gzip, br", Some(Encoding::Brotli)),
            ("GZIP;Q=1 , br; q=0.5", Some(Encoding::Gzip)),
            ("br;q=0.9,gzip;q=0.8", Some(Encoding::Brotli)),
            ("x-gzip", Some(Encoding::Gzip)),
            ("*", Some(Encoding::Zstd)),
            ("*;q=0.1, zstd;q=0, br;q=0", Some(Encoding::Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=0.5, identity", None),
            ("gzip, identity;q=0.5", Some(Encoding::Gzip)),
            ("deflate", None),
            ("identity", None),
            ("", None),
            ("gzip;q=2", None),
            ("gzip;q=-1", None),
            ("gzip;q=nan", None),
            ("gzip;x=1", None),
        ] {
            assert_eq!(best_of(accept), expected, "{accept:?}");
        }
        assert_eq!(best(&HeaderMap::new(), &[Encoding::Gzip]), None);
    }
}
