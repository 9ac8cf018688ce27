//! Every example can be loaded as it stands.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use proxy_userspace::config;
use proxy_userspace::control::judge;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("examples/")
        .map(|entry| entry.expect("an entry of examples/").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_example_has_neither_mistakes_nor_warnings() {
    let examples = examples();
    assert!(examples.len() >= 3, "{examples:?}");
    for path in examples {
        let config = config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config.warnings, [], "{}", path.display());
        let judged = judge(&path, &Arc::new(config)).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(judged, [], "{}", path.display());
    }
}

#[test]
fn every_key_stands_in_an_example() {
    let texts: Vec<_> =
        examples().iter().map(|path| std::fs::read_to_string(path).expect("an example")).collect();
    let reference = config::markdown();
    let keys = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let missing: Vec<_> = keys
        .map(|(key, _)| key)
        .filter(|key| {
            let written = [format!("{key} = "), format!(".{key}]")];
            !texts.iter().any(|text| written.iter().any(|written| text.contains(written)))
        })
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
