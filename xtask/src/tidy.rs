//! `cargo xtask tidy`: what the compiler and clippy cannot check: arrows between modules, sizes, words.

/// Who uses whom: layers, siblings, stages, other crates.
mod arrows;
/// Knots of modules.
mod cycles;
/// How long things are, for those who ask.
mod figures;
/// What is wrong, and where.
mod finding;
/// The tables: layers, budgets, who may use what.
mod policy;
/// The modules of a package, and what each refers to.
mod references;
/// How a file opens, and what stands above each `mod`.
mod shape;
/// Lines of files and functions.
mod sizes;
/// Tracked files and their tokens.
mod source;
/// Who has unsafe code.
mod unsafe_code;
/// What is true on one machine only.
mod words;

use crate::{say, workspace};
use anyhow::{Result, bail};
use finding::Finding;
use source::Source;

/// Checks every tracked file.
pub(crate) fn run() -> Result<()> {
    let sources = source::tracked(&workspace::root())?;
    say::line(&figures::count(&sources).to_string());
    let findings = check(&sources);
    for finding in &findings {
        say::line(&finding.to_string());
    }
    match findings.len() {
        0 => say::line(&format!("tidy: {} files are as they should be", sources.len())),
        count => bail!("{count} findings; the rules stand in xtask/src/tidy/policy.rs"),
    }
    Ok(())
}

/// All checks, in the order in which one wants to read them.
fn check(sources: &[Source]) -> Vec<Finding> {
    let packages = references::packages(sources);
    let mut findings: Vec<Finding> = Vec::new();
    // The shape of the whole first: an arrow in the wrong place is the dearest to mend later.
    for package in &packages {
        findings.extend(arrows::check(package));
        findings.extend(cycles::check(package));
    }
    // Then what one file shows.
    for source in sources {
        findings.extend(sizes::check(source));
        findings.extend(shape::check(source));
        findings.extend(unsafe_code::check(source));
        findings.extend(words::check(source));
    }
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests;
