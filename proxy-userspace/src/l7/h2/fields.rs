//! What a field block must be to be a request's head or its trailers (RFC 9113 §8.1 to §8.3, RFC 8441 §4).

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method};

use crate::config::WebLimits;
use crate::l7::headers::may_trail;

use super::hpack::decode::Fields;
use super::hpack::entry::{Entry, Name};

/// The head of a request, as the wire has it: each part is there at most once and holds what it may.
#[derive(Debug)]
pub struct Head {
    /// `:method`.
    pub method: Method,
    /// `:scheme`; none for a CONNECT without `:protocol`.
    pub scheme: Option<HeaderValue>,
    /// `:authority`, else Host.
    pub authority: HeaderValue,
    /// `:path`: visible ASCII; begins with `/` or is `*`; none for a CONNECT without `:protocol`.
    pub path: Option<HeaderValue>,
    /// `:protocol` of an extended CONNECT.
    pub protocol: Option<HeaderValue>,
    /// The other fields, without Host, Content-Length, TE and Expect.
    pub fields: HeaderMap,
    /// Content-Length.
    pub length: Option<u64>,
    /// `TE: trailers`.
    pub trailers: bool,
    /// `Expect: 100-continue`, and a body follows.
    pub expects_continue: bool,
}

/// Why a field block is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadFields {
    /// It breaks a rule: a stream error (§8.1.1).
    Malformed(&'static str),
    /// It is longer than allowed, or has more fields.
    TooLarge,
    /// The path is longer than allowed.
    PathTooLong,
    /// It expects what nobody can do.
    Unmet,
}

/// Counts, and keeps the first thing that is wrong.
#[derive(Debug)]
struct Judge {
    bytes_left: usize,
    count_left: usize,
    too_large: bool,
    malformed: Option<&'static str>,
}

impl Judge {
    fn new(limits: &WebLimits) -> Self {
        Self {
            bytes_left: limits.header_bytes,
            count_left: limits.header_count,
            too_large: false,
            malformed: None,
        }
    }

    /// Counts a field. Whether there is still room for it.
    fn count(&mut self, entry: &Entry) -> bool {
        // Pseudo-fields are no lines of a head: they count as bytes alone.
        let fields = usize::from(matches!(entry.name, Name::Field(_)));
        match (self.bytes_left.checked_sub(entry.size()), self.count_left.checked_sub(fields)) {
            (Some(bytes), Some(count)) => (self.bytes_left, self.count_left) = (bytes, count),
            _ => self.too_large = true,
        }
        !self.too_large
    }

    fn wrong(&mut self, why: &'static str) {
        self.malformed.get_or_insert(why);
    }

    fn sentence(&self) -> Result<(), BadFields> {
        match self.malformed {
            _ if self.too_large => Err(BadFields::TooLarge),
            Some(why) => Err(BadFields::Malformed(why)),
            None => Ok(()),
        }
    }
}

/// Reads a request's head.
#[derive(Debug)]
pub struct HeadReader {
    judge: Judge,
    method: Option<HeaderValue>,
    scheme: Option<HeaderValue>,
    authority: Option<HeaderValue>,
    path: Option<HeaderValue>,
    protocol: Option<HeaderValue>,
    fields: HeaderMap,
    begun: bool,
    host: Option<HeaderValue>,
    length: Option<u64>,
    trailers: bool,
    expects_continue: bool,
    cookie: Option<HeaderValue>,
    unmet: bool,
    uri_bytes: usize,
}

impl Fields for HeadReader {
    fn field(&mut self, entry: &Entry, never_index: bool) {
        if !self.judge.count(entry) {
            return;
        }
        let Some(value) = &entry.value else { return self.judge.wrong("a value holds what no value may") };
        let place = match &entry.name {
            Name::Method => &mut self.method,
            Name::Scheme => &mut self.scheme,
            Name::Authority => &mut self.authority,
            Name::Path => &mut self.path,
            Name::Protocol => &mut self.protocol,
            Name::Field(name) => {
                self.begun = true;
                let mut value = value.clone();
                value.set_sensitive(never_index);
                return self.end_to_end(name, value);
            }
            Name::Status => return self.judge.wrong("a pseudo-field of answers"),
            Name::Malformed => return self.judge.wrong("a name that no field has"),
        };
        if self.begun || place.is_some() {
            return self.judge.wrong("a pseudo-field comes twice or too late");
        }
        *place = Some(value.clone());
    }
}

impl HeadReader {
    /// Of a request to a listener with these limits, in a block of `bytes`: room for the fields that it may hold. A map
    /// that is larger than it need be costs more than all else in here.
    pub fn new(limits: &WebLimits, bytes: usize) -> Self {
        Self {
            judge: Judge::new(limits),
            method: None,
            scheme: None,
            authority: None,
            path: None,
            protocol: None,
            fields: HeaderMap::with_capacity((bytes / 4).clamp(3, 12)),
            begun: false,
            host: None,
            length: None,
            trailers: false,
            expects_continue: false,
            cookie: None,
            unmet: false,
            uri_bytes: limits.uri_bytes,
        }
    }

    fn end_to_end(&mut self, name: &HeaderName, value: HeaderValue) {
        if is_connection_specific(name) {
            return self.judge.wrong("a field of HTTP/1.1's connections");
        }
        let once = match *name {
            HOST => self.host.replace(value).is_none(),
            // There is one expectation (RFC 9110 §10.1.1); another cannot be met.
            EXPECT => {
                self.expects_continue = value.as_bytes().eq_ignore_ascii_case(b"100-continue");
                self.unmet |= !self.expects_continue;
                true
            }
            TE => {
                self.trailers = value.as_bytes().eq_ignore_ascii_case(b"trailers");
                self.trailers
            }
            CONTENT_LENGTH => {
                let length = content_length(&value);
                length.is_some() && std::mem::replace(&mut self.length, length).is_none()
            }
            COOKIE => {
                self.cookie = Some(match self.cookie.take() {
                    Some(before) => joined(&before, &value),
                    None => value,
                });
                true
            }
            _ => {
                self.fields.append(name, value);
                true
            }
        };
        if !once {
            self.judge.wrong("Host, Content-Length or TE comes twice or is malformed");
        }
    }

    /// The head, if it is one. `ended`: no body follows.
    ///
    /// # Errors
    /// It is none.
    pub fn finish(mut self, ended: bool) -> Result<Head, BadFields> {
        self.judge.sentence()?;
        let malformed = |why| Err(BadFields::Malformed(why));
        if ended && self.length.is_some_and(|length| length != 0) {
            return malformed("Content-Length, and no body");
        }
        let Some(method) = self.method.as_ref().and_then(|method| Method::from_bytes(method.as_bytes()).ok())
        else {
            return malformed(":method is missing or no method");
        };
        let authority = match (self.authority.take(), self.host.take()) {
            (Some(authority), Some(host)) if !authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()) => {
                return malformed("Host is not :authority");
            }
            (Some(authority), _) | (None, Some(authority)) if is_authority(authority.as_bytes()) => authority,
            _ => return malformed(":authority is missing, empty, or no authority"),
        };
        if method == Method::CONNECT && self.protocol.is_none() {
            if self.scheme.is_some() || self.path.is_some() {
                return malformed("CONNECT with :scheme or :path");
            }
        } else {
            self.check_target(&method)?;
        }
        if self.unmet {
            return Err(BadFields::Unmet);
        }
        if let Some(cookie) = self.cookie {
            self.fields.append(COOKIE, cookie);
        }
        Ok(Head {
            method,
            scheme: self.scheme,
            authority,
            path: self.path,
            protocol: self.protocol,
            fields: self.fields,
            length: self.length,
            trailers: self.trailers,
            expects_continue: self.expects_continue && !ended,
        })
    }

    fn check_target(&self, method: &Method) -> Result<(), BadFields> {
        let malformed = |why| Err(BadFields::Malformed(why));
        if self.protocol.is_some() && method != Method::CONNECT {
            return malformed(":protocol, and not CONNECT");
        }
        if !self.protocol.as_ref().is_none_or(|protocol| is_token(protocol.as_bytes())) {
            return malformed(":protocol is no token");
        }
        if !self.scheme.as_ref().is_some_and(|scheme| is_scheme(scheme.as_bytes())) {
            return malformed(":scheme is missing or no scheme");
        }
        let Some(path) = &self.path else { return malformed(":path is missing") };
        match path.as_bytes() {
            b"*" if method == Method::OPTIONS => Ok(()),
            path if path.first() != Some(&b'/') => malformed(":path does not begin with a slash"),
            path if !path.iter().all(|byte| (0x21..=0x7e).contains(byte) && *byte != b'#') => {
                malformed(":path holds what no path may")
            }
            path if path.len() > self.uri_bytes => Err(BadFields::PathTooLong),
            _ => Ok(()),
        }
    }
}

/// Reads trailers.
#[derive(Debug)]
pub struct TrailerReader {
    judge: Judge,
    fields: HeaderMap,
}

impl Fields for TrailerReader {
    fn field(&mut self, entry: &Entry, never_index: bool) {
        if !self.judge.count(entry) {
            return;
        }
        match (&entry.name, &entry.value) {
            // What frames or routes a message cannot come after it (RFC 9110 §6.5.1).
            (Name::Field(name), Some(value))
                if !is_connection_specific(name) && !matches!(*name, CONTENT_LENGTH | HOST | TE) =>
            {
                // It is allowed, and believed by nobody.
                if !may_trail(name) {
                    return;
                }
                let mut value = value.clone();
                value.set_sensitive(never_index);
                self.fields.append(name, value);
            }
            _ => self.judge.wrong("a trailer that may not be one"),
        }
    }
}

impl TrailerReader {
    /// Of a request to a listener with these limits.
    pub fn new(limits: &WebLimits) -> Self {
        Self { judge: Judge::new(limits), fields: HeaderMap::new() }
    }

    /// The trailers, if they are some.
    ///
    /// # Errors
    /// They are none.
    pub fn finish(self) -> Result<HeaderMap, BadFields> {
        self.judge.sentence().map(|()| self.fields)
    }
}

/// Fields that have no meaning in HTTP/2 and may not be there (§8.2.2).
pub fn is_connection_specific(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | TRANSFER_ENCODING | UPGRADE)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Digits, and nothing else.
fn content_length(value: &HeaderValue) -> Option<u64> {
    let digits = value.as_bytes();
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

/// Cookies that came apart are one field for whoever speaks HTTP/1.1 (§8.2.3).
fn joined(before: &HeaderValue, value: &HeaderValue) -> HeaderValue {
    let all = [before.as_bytes(), b"; ", value.as_bytes()].concat();
    // Two values and a separator are a value.
    let mut all = HeaderValue::from_bytes(&all).unwrap_or_else(|_| before.clone());
    all.set_sensitive(before.is_sensitive() || value.is_sensitive());
    all
}

/// Visible ASCII without userinfo (§8.3.1), not empty. What kind of host it is, is judged later.
fn is_authority(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'@' | b'/' | b'?' | b'#'))
}

fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic)
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
