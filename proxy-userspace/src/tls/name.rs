//! Distinguished names as text (RFC 4514), safe in a header field and in a log: printable ASCII alone.

use std::fmt::Write as _;

use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::x509::X509Name;

/// Attribute types that have a short name (RFC 4514 §3), and the one that everybody uses besides.
const KNOWN: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// A name, the most significant part last (RFC 4514 §2.1).
pub(super) fn text(name: &X509Name<'_>) -> Box<str> {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for (i, part) in parts.iter().rev().enumerate() {
        for (k, attribute) in part.iter().enumerate() {
            text.push_str(match (i, k) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => "+",
            });
            text.push_str(&kind(attribute.attr_type()));
            text.push('=');
            value(attribute.as_slice(), &mut text);
        }
    }
    text.into()
}

fn kind(oid: &Oid<'_>) -> Box<str> {
    let dotted = oid.to_id_string();
    let known = KNOWN.iter().find(|(id, _)| *id == dotted);
    known.map_or_else(|| dotted.into(), |(_, short)| (*short).into())
}

/// A value, escaped (RFC 4514 §2.4). What is not printable ASCII is written as bytes.
fn value(bytes: &[u8], into: &mut String) {
    for (i, byte) in bytes.iter().enumerate() {
        let end = i == 0 || i + 1 == bytes.len();
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => into.extend(['\\', char::from(*byte)]),
            b'#' if i == 0 => into.push_str("\\#"),
            b' ' if end => into.push_str("\\ "),
            0x20..=0x7e => into.push(char::from(*byte)),
            // Writing to a string cannot fail.
            _ => drop(write!(into, "\\{byte:02X}")),
        }
    }
}
