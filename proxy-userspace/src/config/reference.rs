//! The table of keys as a JSON schema and as the reference for people.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::keys::SECTIONS;
use super::keys::acme::ACME;
use super::keys::kernel::{ADMIN, KERNEL};
use super::keys::limit::LIMIT;
use super::keys::listener::LISTENER;
use super::keys::middleware::MIDDLEWARE;
use super::keys::pool::POOL;
use super::keys::route::ROUTE;
use super::keys::server::{ACCESS_LOG, SERVER};
use super::keys::tls::TLS;
use super::nested::section_schema;
use super::table::{Presence, Section};

/// The JSON schema (2020-12) of `proxy.toml`.
pub fn json_schema() -> Json {
    let names = |section| {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9_-]{1,60}$" },
            "additionalProperties": section_schema(section),
        })
    };
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "proxy.toml",
        "type": "object",
        "properties": {
            "kernel": section_schema(&KERNEL),
            "listener": names(&LISTENER),
            "route": { "type": "array", "items": section_schema(&ROUTE) },
            "middleware": names(&MIDDLEWARE),
            "pool": names(&POOL),
            "limit": names(&LIMIT),
            "tls": section_schema(&TLS),
            "acme": section_schema(&ACME),
            "server": section_schema(&SERVER),
            "access_log": section_schema(&ACCESS_LOG),
            "admin": section_schema(&ADMIN),
        },
        "additionalProperties": false,
    })
}

/// docs/configuration.md.
pub fn markdown() -> String {
    let mut text = String::from(HEAD);
    for section in SECTIONS {
        write_section(&mut text, section, "##");
        for inner in inner(section) {
            write_section(&mut text, inner, "###");
        }
    }
    text
}

/// The tables within a table's values, and within theirs, each once.
fn inner(section: &'static Section) -> Vec<&'static Section> {
    let mut found: Vec<&'static Section> = Vec::new();
    for inner_section in section.keys.iter().filter_map(|key| key.section()) {
        for one in std::iter::once(inner_section).chain(inner(inner_section)) {
            if found.iter().all(|known| known.title != one.title) {
                found.push(one);
            }
        }
    }
    found
}

const HEAD: &str = "\
# Configuration

<!-- Made by `proxy-now schema --markdown` from the table of keys that the reader itself uses. Do not edit. -->

proxy-now reads one TOML file: `--config FILE`, else `/etc/proxy-now/proxy.toml`, else `./proxy.toml`.

- Unknown keys are errors. All mistakes of a file are reported at once, each with its line, the value and what would be
  right. `proxy-now check` does that and nothing else; a file with a mistake never replaces a good one.
- The file is read again on `proxy-now reload`, on SIGHUP, and when it changes.
- Durations are texts with units: `\"500ms\"`, `\"2s\"`, `\"1h30m\"` (d, h, m, s, ms, us, ns).
- Names of listeners, pools and limits have letters, digits, `-` and `_`.
- `proxy-now schema` prints a JSON schema for editors.

[examples/quickstart.toml](../examples/quickstart.toml) is the smallest useful file,
[examples/full.toml](../examples/full.toml) has every key.
";

fn write_section(text: &mut String, section: &Section, level: &str) {
    let _ = write!(text, "\n{level} `{}`\n\n{}\n\n", section.title, section.meaning);
    text.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for key in section.keys {
        let default = match key.presence() {
            Presence::Required => "required".to_owned(),
            Presence::Default(value) => format!("`{value}`"),
            Presence::Optional(what) => what.to_owned(),
        };
        let _ = writeln!(
            text,
            "| `{}` | {}, e.g. `{}` | {default} | {} |",
            key.name(),
            key.wanted(),
            key.example(),
            key.meaning(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::table::AnyKey;

    fn all_keys() -> impl Iterator<Item = &'static dyn AnyKey> {
        let sections = SECTIONS.into_iter().chain(SECTIONS.into_iter().flat_map(inner));
        sections.flat_map(|section| section.keys.iter().copied())
    }

    #[test]
    fn every_default_and_every_example_can_be_read() {
        for key in all_keys() {
            assert!(key.accepts(key.example()), "{} = {}", key.name(), key.example());
            if let Presence::Default(text) = key.presence() {
                assert!(key.accepts(text), "{} = {text}", key.name());
            }
        }
    }

    #[test]
    fn the_reference_in_docs_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let stands = std::fs::read_to_string(path).expect("docs/configuration.md");
        assert!(
            stands == markdown(),
            "docs/configuration.md is not what the program says of itself: run `cargo xtask docs`"
        );
    }

    #[test]
    fn the_default_size_of_the_flow_table_is_that_of_the_kernel_part() {
        let config =
            crate::config::parse("[kernel]\ninterfaces = [\"eth0\"]\n", "test").expect("a configuration");
        assert_eq!(config.kernel.expect("a kernel part").flows, proxy_common::limits::FLOWS_DEFAULT);
    }
}
