//! How a file opens, and what stands above each `mod`.

use super::finding::Finding;
use super::source::Source;

/// A file's `//!`, and one line of reason above every `mod`.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let lines: Vec<&str> = source.text.lines().collect();
    let mut findings = Vec::new();
    if !lines.first().is_some_and(|line| line.starts_with("//!")) {
        let what = "opens without `//!`: what is it for, and what must it not know?";
        findings.push(Finding::new(&source.path, 1, what.into()));
    }
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| declares_module(line)) {
        let above = lines[..at].iter().rev().find(|line| !line.trim_start().starts_with("#["));
        // A test module's name says all.
        let mut attributes = lines[..at].iter().rev().take_while(|line| line.trim_start().starts_with("#["));
        let is_tests = attributes.any(|line| line.trim() == "#[cfg(test)]");
        if !is_tests && !above.is_some_and(|line| line.trim_start().starts_with("///")) {
            let what = format!("`{}` has no line above it that says what it is", line.trim());
            findings.push(Finding::new(&source.path, at + 1, what));
        }
    }
    findings
}

/// `mod name;`, public or not.
fn declares_module(line: &str) -> bool {
    let Some(rest) = line.trim_start().strip_suffix(';') else { return false };
    let words: Vec<&str> = rest.split_whitespace().collect();
    match words.as_slice() {
        ["mod", _] => true,
        [visibility, "mod", _] => visibility.starts_with("pub"),
        _ => false,
    }
}
