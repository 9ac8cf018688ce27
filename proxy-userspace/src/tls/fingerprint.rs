//! What kind of client says so: fingerprints of a ClientHello, as others know them too. They name a program, or a
//! library with its settings, and no person; who wants to look like another can.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use proxy_common::client_hello::{ClientHello, id, is_grease};

/// What a ClientHello came over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// TCP.
    Tcp,
    /// QUIC.
    Quic,
}

/// JA4 (FoxIO, `technical_details/JA4.md`), such as `t13d1516h2_8daaf6152771_e5627efa2ab1`. 36 characters, ASCII.
pub fn ja4(hello: &ClientHello<'_>, over: Over) -> Box<str> {
    let mut suites: Vec<u16> = hello.cipher_suites().without_grease().collect();
    let mut extensions: Vec<u16> = hello.extension_ids().collect();
    let mut text = String::with_capacity(36);
    text.push(if over == Over::Quic { 'q' } else { 't' });
    text.push_str(version(hello.version()));
    text.push(if hello.has_server_name() { 'd' } else { 'i' });
    for count in [suites.len(), extensions.len()] {
        push(&mut text, format_args!("{:02}", count.min(99)));
    }
    push_alpn(&mut text, hello.alpn().next().unwrap_or_default());
    // Clients change both orders, so that nobody gets used to one.
    suites.sort_unstable();
    text.push('_');
    push_digest(&mut text, &listed(suites));
    // What is asked for says nothing of who asks.
    extensions.retain(|&id| id != id::SERVER_NAME && id != id::ALPN);
    extensions.sort_unstable();
    let mut list = listed(extensions);
    let algorithms = listed(hello.signature_algorithms().without_grease());
    if !algorithms.is_empty() {
        push(&mut list, format_args!("_{algorithms}"));
    }
    text.push('_');
    push_digest(&mut text, &list);
    text.into()
}

/// The text that JA3 is made of (Salesforce, 2017): version, cipher suites, extensions, groups, point formats.
pub fn ja3_text(hello: &ClientHello<'_>) -> String {
    let mut text = hello.legacy_version().to_string();
    let formats = hello.point_formats().iter().map(|&format| u16::from(format));
    push_decimal(&mut text, hello.cipher_suites().without_grease());
    push_decimal(&mut text, hello.extension_ids());
    push_decimal(&mut text, hello.groups().without_grease());
    push_decimal(&mut text, formats.filter(|&format| !is_grease(format)));
    text
}

/// JA3: MD5 of its text, in hex. A client that shuffles its extensions has a new one every time: see [`ja4`].
pub fn ja3(hello: &ClientHello<'_>) -> Box<str> {
    format!("{:x}", md5::compute(ja3_text(hello))).into()
}

fn version(number: u16) -> &'static str {
    match number {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    }
}

/// The first and the last character of a protocol's name; where they are no letters or digits, of its hex form.
fn push_alpn(text: &mut String, protocol: &[u8]) {
    match protocol {
        [] => text.push_str("00"),
        [first, ..] => {
            let last = protocol.last().unwrap_or(first);
            if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
                text.extend([char::from(*first), char::from(*last)]);
            } else {
                push(text, format_args!("{:x}{:x}", first >> 4, last & 15));
            }
        }
    }
}

/// Four hex digits each.
fn listed(numbers: impl IntoIterator<Item = u16>) -> String {
    let mut text = String::new();
    for number in numbers {
        let comma = if text.is_empty() { "" } else { "," };
        push(&mut text, format_args!("{comma}{number:04x}"));
    }
    text
}

/// A comma, and the numbers.
fn push_decimal(text: &mut String, numbers: impl Iterator<Item = u16>) {
    text.push(',');
    for (place, number) in numbers.enumerate() {
        let dash = if place == 0 { "" } else { "-" };
        push(text, format_args!("{dash}{number}"));
    }
}

/// The first twelve digits of SHA-256. Of nothing, they are zeros.
fn push_digest(text: &mut String, list: &str) {
    if list.is_empty() {
        return text.push_str("000000000000");
    }
    for byte in &digest(&SHA256, list.as_bytes()).as_ref()[..6] {
        push(text, format_args!("{byte:02x}"));
    }
}

fn push(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
#[path = "fingerprint_tests.rs"]
mod tests;
