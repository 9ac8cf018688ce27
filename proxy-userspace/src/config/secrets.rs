//! Lines of the file that hold a secret are shown without it.

use std::borrow::Cow;
use std::ops::Range;

/// What keys have in their names whose values are secrets, mistyped or not.
const SECRETS: [&str; 4] = ["hmac", "secret", "token", "access_key"];

/// The line with `*` for every character of a secret in it.
pub(super) fn hidden(line: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut done = 0;
    for (equals, _) in line.match_indices('=') {
        if equals < done || !is_secret(key_before(&line[..equals])) {
            continue;
        }
        let secret = content(line, equals + 1);
        shown.push_str(&line[done..secret.start]);
        shown.extend(line[secret.clone()].chars().map(|_| '*'));
        done = secret.end;
    }
    if done == 0 {
        return Cow::Borrowed(line);
    }
    shown.push_str(&line[done..]);
    Cow::Owned(shown)
}

/// A file of a secret may be shown.
fn is_secret(key: &str) -> bool {
    !key.ends_with("_file") && SECRETS.iter().any(|part| key.contains(part))
}

/// The key that ends before an `=`: bare, quoted, or the last of a dotted one.
fn key_before(text: &str) -> &str {
    let text = text.trim_end().trim_end_matches(['"', '\'']);
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    &text[text.trim_end_matches(allowed).len()..]
}

/// What the text that begins after `from` says; what is no text, or has no end, goes to the end of the line.
fn content(line: &str, from: usize) -> Range<usize> {
    let from = line.len() - line[from..].trim_start().len();
    let Some(quote) = line[from..].chars().next().filter(|c| *c == '"' || *c == '\'') else {
        return from..line.len();
    };
    let mut escaped = false;
    for (at, c) in line[from + 1..].char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return from + 1..from + 1 + at,
            _ => {}
        }
    }
    from + 1..line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_what_is_around_it_is() {
        for (line, shown) in [
            ("secret = \"abc\" # x", "secret = \"***\" # x"),
            (
                "eab = { key_id = \"k\", hmac_key = 'aä\\', x = 1, token = \"b\" }",
                "eab = { key_id = \"k\", hmac_key = '***', x = 1, token = \"*\" }",
            ),
            ("dns.token=\"a\\\"b\",y", "dns.token=\"****\",y"),
            ("\"secret_key\" = abc", "\"secret_key\" = ***"),
            ("secret = \"abc", "secret = \"***"),
            ("secret_file = \"/etc/x\"", "secret_file = \"/etc/x\""),
            ("hmac_keys = \"abc\"", "hmac_keys = \"***\""),
            ("token", "token"),
        ] {
            assert_eq!(hidden(line), shown);
        }
    }
}
