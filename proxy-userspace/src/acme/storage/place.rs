//! Which name of a file belongs to a name. No name leads out of its folder, and two names never to the same file.

use aws_lc_rs::digest;

/// A file's name may have 255 bytes; some are for suffixes.
const LONGEST: usize = 200;
/// What remains of a longer one, before its digest.
const KEPT: usize = 150;

/// The name of the file or folder of a host (`*.example.com`: `_wildcard.example.com`), a URL, or anything else.
pub(super) fn file_name(of: &str) -> String {
    let mut name = String::with_capacity(of.len() + 8);
    let rest = match of.strip_prefix("*.") {
        Some(parent) => {
            name.push_str("_wildcard.");
            parent
        }
        None => of,
    };
    for byte in rest.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b':' => name.push(char::from(byte)),
            // No hidden files, no `..`; no host begins with a dot.
            b'.' if !name.is_empty() => name.push('.'),
            // Hosts may have underscores; `_wildcard.` in front is ours.
            b'_' if !name.is_empty() || !rest.starts_with("_wildcard.") => name.push('_'),
            other => name.push_str(&format!("%{other:02x}")),
        }
    }
    if name.is_empty() {
        name.push('%');
    }
    if name.len() > LONGEST {
        let digest = digest::digest(&digest::SHA256, of.as_bytes());
        let cut: String = name.chars().take(KEPT).collect();
        let hex: String = digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        name = format!("{cut}%~{hex}");
    }
    name
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_stays_in_its_folder() {
        assert_eq!(file_name("app.example.com"), "app.example.com");
        assert_eq!(file_name("*.example.com"), "_wildcard.example.com");
        assert_eq!(file_name("2001:db8::1"), "2001:db8::1");
        for hostile in
            ["..", ".", "../x", "/etc/passwd", "a/../../b", ".hidden", "", "a\0b", "*", "*..", "A.B"]
        {
            let name = file_name(hostile);
            assert!(!name.contains('/') && !name.starts_with('.') && !name.contains('\0'), "{name}");
            assert!(!name.is_empty());
        }
    }

    #[test]
    fn two_names_never_share_a_file() {
        let long = "a".repeat(63);
        let names = [
            "example.com",
            "*.example.com",
            "_wildcard.example.com",
            "%5fwildcard.example.com",
            "Example.com",
            "",
            "%",
            ".",
            "%2e",
            &format!("{long}.{long}.{long}.a"),
            &format!("{long}.{long}.{long}.b"),
            &format!("*.{long}.{long}.{long}.b"),
        ]
        .map(str::to_owned);
        let files: HashSet<String> = names.iter().map(|name| file_name(name)).collect();
        assert_eq!(files.len(), names.len(), "{files:?}");
        assert!(files.iter().all(|file| file.len() <= LONGEST));
    }
}
