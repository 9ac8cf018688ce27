//! What is said of a bad configuration: each file of `mistakes/` and, beside it, every word of the answer.
//!
//! `UPDATE_MISTAKES=1 cargo test -p proxy-userspace --test mistakes` writes the answers anew, to be read in the diff.

use std::path::{Path, PathBuf};

use proxy_userspace::config::{self, ConfigErrors, Diagnostics};

fn bad_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let entries = std::fs::read_dir(folder).expect("tests/mistakes");
    let paths = entries.map(|entry| entry.expect("an entry of tests/mistakes").path());
    let mut files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "toml")).collect();
    files.sort();
    files
}

/// What is said of a file, under its bare name.
fn answer(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("a bad file");
    let name = path.file_name().expect("a name").to_string_lossy();
    match config::parse(&text, &name) {
        Ok(config) => format!("{}\n", Diagnostics(config.warnings)),
        Err(ConfigErrors::Wrong(mistakes)) => format!("{mistakes}\n"),
        Err(error) => format!("{error}\n"),
    }
}

#[test]
fn every_mistake_is_named_with_its_place_and_what_would_be_right() {
    let update = std::env::var_os("UPDATE_MISTAKES").is_some();
    let mut different = Vec::new();
    for path in bad_files() {
        let (answer, expected) = (answer(&path), path.with_extension("txt"));
        if update {
            std::fs::write(&expected, &answer).expect("to write the answer");
        }
        let stands = std::fs::read_to_string(&expected).unwrap_or_default();
        if stands != answer {
            different.push(format!("{}\n--- expected\n{stands}--- found\n{answer}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn every_answer_belongs_to_a_file() {
    for path in bad_files() {
        assert!(path.with_extension("txt").exists(), "{}", path.display());
    }
}
