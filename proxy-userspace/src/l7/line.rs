//! One line of the access log. Whatever clients sent stands in it escaped: it ends no line, and moves no cursor.

use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;

use http::{HeaderValue, Version};

use super::id::Id;
use super::request::{Connection, Record};
use crate::net::stream::Target;
use crate::telemetry::requests::Names;

/// A request that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// When it was over, as the format wants it.
    pub(super) time: &'a str,
    /// How long it took.
    pub(super) took_us: u64,
    pub(super) connection: &'a Connection,
    pub(super) record: &'a Record,
    pub(super) names: &'a Names,
}

/// A connection without requests that is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relayed<'a> {
    /// When it was over, as the format wants it.
    pub(super) time: &'a str,
    pub(super) took_us: u64,
    pub(super) client: IpAddr,
    pub(super) listener: &'a str,
    /// Empty: none.
    pub(super) route: &'a str,
    pub(super) pool: &'a str,
    pub(super) backend: Option<&'a Target>,
    /// The host that the client named; empty: none.
    pub(super) sni: &'a str,
    pub(super) ja4: Option<&'a str>,
    /// What became of it: `passed`, `decrypted`, `handed_off`, `refused`.
    pub(super) decision: &'a str,
    /// How it ended, if not well; why it was refused.
    pub(super) cause: Option<&'a str>,
    pub(super) received: u64,
    pub(super) sent: u64,
}

// Writing to a vector cannot fail: results of `write!` are let go of.

/// As Apache and nginx call it: combined.
pub(super) fn combined(out: &mut Vec<u8>, entry: Entry<'_>) {
    let Entry { connection, record, .. } = entry;
    let client = record.client.get().unwrap_or_else(|| connection.client.ip()).to_canonical();
    let _ = write!(out, "{client} - ");
    match &*record.user.borrow() {
        Some(user) => hex(out, user.as_bytes(), true),
        None => out.push(b'-'),
    }
    let _ = write!(out, " [{}] \"", entry.time);
    let seen = record.seen.get();
    match seen {
        Some(seen) => {
            hex(out, seen.method.as_str().as_bytes(), false);
            out.push(b' ');
            hex(out, &seen.uri, false);
            let _ = write!(out, " {}", version(seen.version));
        }
        None => out.push(b'-'),
    }
    let _ = write!(out, "\" {} {} ", record.status.get(), record.sent.get());
    for value in [seen.and_then(|seen| seen.referer.as_ref()), seen.and_then(|seen| seen.agent.as_ref())] {
        out.push(b'"');
        hex(out, value.map_or(b"-", HeaderValue::as_bytes), false);
        out.push(b'"');
        out.push(b' ');
    }
    if let Some(last) = out.last_mut() {
        *last = b'\n';
    }
}

/// As nginx does: what is not visible ASCII, and what would end the text, by its number.
fn hex(out: &mut Vec<u8>, text: &[u8], word: bool) {
    for &byte in text {
        match byte {
            b'"' | b'\\' | ..=0x1f | 0x7f.. => {
                let _ = write!(out, "\\x{byte:02X}");
            }
            b' ' if word => out.extend_from_slice(b"\\x20"),
            _ => out.push(byte),
        }
    }
}

/// A JSON object. What there is nothing to say of is left out.
pub(super) fn json(out: &mut Vec<u8>, entry: Entry<'_>) {
    let Entry { connection, record, names, .. } = entry;
    let mut object = Object { out, begun: false };
    object.text("time", entry.time.as_bytes());
    let peer = connection.client.ip().to_canonical();
    let client = record.client.get().map_or(peer, |client| client.to_canonical());
    object.shown("client", client);
    if client != peer {
        object.shown("peer", peer);
    }
    object.some("user", record.user.borrow().as_deref().map(str::as_bytes));
    object.text("listener", connection.listener.name.as_str().as_bytes());
    for (key, name) in [("route", &names.route), ("pool", &names.pool)] {
        object.some(key, Some(name.as_bytes()).filter(|name| !name.is_empty()));
    }
    if let Some(backend) = &*record.backend.borrow() {
        // A path of ours: no client has a say in it.
        object.text("backend", backend.to_string().as_bytes());
    }
    if let Some(tls) = &connection.tls {
        object.text("tls", tls.agreed.version.word().as_bytes());
        object.some("client_certificate", tls.client.as_ref().map(|shown| shown.fingerprint.as_bytes()));
        object.some("sni", tls.sni().map(str::as_bytes));
        object.some("ja4", tls.ja4.as_deref().map(str::as_bytes));
    }
    if let Some(seen) = record.seen.get() {
        object.text("method", seen.method.as_str().as_bytes());
        object.text("host", seen.host.as_bytes());
        object.text("uri", &seen.uri);
        object.text("version", version(seen.version).as_bytes());
        object.some("referer", seen.referer.as_ref().map(HeaderValue::as_bytes));
        object.some("user_agent", seen.agent.as_ref().map(HeaderValue::as_bytes));
    }
    object.number("status", u64::from(record.status.get()));
    object.ms("duration_ms", entry.took_us);
    if let Some(us) = record.first_byte_us.get() {
        object.ms("first_byte_ms", u64::from(us));
    }
    object.number("received", record.received.get());
    object.number("sent", record.sent.get());
    if record.retries.get() != 0 {
        object.number("retries", u64::from(record.retries.get()));
    }
    object.some("cause", record.cause.get().map(str::as_bytes));
    object.some("request_id", record.id.borrow().as_ref().map(Id::as_bytes));
    object.out.extend_from_slice(b"}\n");
}

/// The combined format has no place for connections: the request is the word TLS and the name, the status none.
pub(super) fn combined_relayed(out: &mut Vec<u8>, entry: Relayed<'_>) {
    let name = if entry.sni.is_empty() { "-" } else { entry.sni };
    let _ = write!(out, "{} - - [{}] \"TLS ", entry.client.to_canonical(), entry.time);
    hex(out, name.as_bytes(), true);
    let _ = writeln!(out, " {}\" - {} \"-\" \"-\"", entry.decision, entry.sent);
}

/// A JSON object for a connection without requests.
pub(super) fn json_relayed(out: &mut Vec<u8>, entry: Relayed<'_>) {
    let mut object = Object { out, begun: false };
    object.text("time", entry.time.as_bytes());
    object.shown("client", entry.client.to_canonical());
    object.text("listener", entry.listener.as_bytes());
    for (key, name) in [("route", entry.route), ("pool", entry.pool)] {
        object.some(key, Some(name.as_bytes()).filter(|name| !name.is_empty()));
    }
    if let Some(backend) = entry.backend {
        object.text("backend", backend.to_string().as_bytes());
    }
    object.some("sni", Some(entry.sni.as_bytes()).filter(|name| !name.is_empty()));
    object.some("ja4", entry.ja4.map(str::as_bytes));
    object.text("decision", entry.decision.as_bytes());
    object.ms("duration_ms", entry.took_us);
    object.number("received", entry.received);
    object.number("sent", entry.sent);
    object.some("cause", entry.cause.map(str::as_bytes));
    object.out.extend_from_slice(b"}\n");
}

struct Object<'a> {
    out: &'a mut Vec<u8>,
    begun: bool,
}

impl Object<'_> {
    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(if std::mem::replace(&mut self.begun, true) { b",\"" } else { b"{\"" });
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, text: &[u8]) {
        self.key(key);
        self.out.push(b'"');
        if text.iter().all(|&byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
            self.out.extend_from_slice(text);
        } else {
            escaped(self.out, text);
        }
        self.out.push(b'"');
    }

    fn some(&mut self, key: &str, text: Option<&[u8]>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    /// What needs no escapes.
    fn shown(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = write!(self.out, "\"{value}\"");
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        let _ = write!(self.out, "{number}");
    }

    fn ms(&mut self, key: &str, us: u64) {
        self.key(key);
        let _ = write!(self.out, "{}.{:03}", us / 1000, us % 1000);
    }
}

/// RFC 8259 §7, and all control characters besides: those of Unicode command terminals as well.
fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' | '\\' => out.extend_from_slice(&[b'\\', character as u8]),
            // Line separators end lines for some; those below for all.
            '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            _ if character.is_control() => {
                let _ = write!(out, "\\u{:04x}", character as u32);
            }
            _ => {
                let mut bytes = [0; 4];
                out.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
            }
        }
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
