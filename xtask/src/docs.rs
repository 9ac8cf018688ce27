//! `cargo xtask docs`: the documents that are made from the program itself.

use crate::{process, say, workspace};
use anyhow::{Context, Result, bail};
use std::fs;

/// Each document, and the command of `proxy-now` that prints it.
const DOCUMENTS: &[(&str, &[&str])] = &[("docs/configuration.md", &["schema", "--markdown"])];

/// Writes them.
pub(crate) fn run() -> Result<()> {
    for (path, words) in DOCUMENTS {
        fs::write(workspace::root().join(path), printed(words)?)
            .with_context(|| format!("cannot write {path}"))?;
        say::line(path);
    }
    Ok(())
}

/// Fails when one is not what it would be.
pub(crate) fn check() -> Result<()> {
    for (path, words) in DOCUMENTS {
        let present = fs::read_to_string(workspace::root().join(path)).unwrap_or_default();
        if present != printed(words)? {
            bail!("{path} is not what the program says of itself: run `cargo xtask docs` and commit it");
        }
    }
    Ok(())
}

fn printed(words: &[&str]) -> Result<String> {
    let mut command = process::cargo();
    command.args(["run", "--quiet", "--package", "proxy-userspace", "--bin", "proxy-now", "--"]).args(words);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`proxy-now {}` failed ({})", words.join(" "), output.status);
    }
    String::from_utf8(output.stdout).context("what it prints is not UTF-8")
}
