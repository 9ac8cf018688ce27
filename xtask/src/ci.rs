//! `cargo xtask ci`: every check there is, in one list; the same on a laptop as anywhere else.

use crate::setup::{self, Need};
use crate::{docs, process, say, test, tidy};
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// A check that can fail, and what cannot be checked on this machine.
struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome>,
}

/// What came of a step that did not fail.
enum Outcome {
    Passed,
    Skipped(String),
}

/// The quickest first: who has made a slip learns it soon. The tests last: their closing lines stand at the end.
const STEPS: &[Step] = &[
    Step { name: "setup", run: || passed(setup::run(Need::Ci)) },
    Step { name: "fmt", run: || cargo(&["fmt", "--all", "--check"]) },
    Step { name: "tidy", run: || passed(tidy::run()) },
    Step {
        name: "deny",
        run: || cargo(&["deny", "--log-level", "error", "check", "bans", "licenses", "sources"]),
    },
    Step { name: "advisories", run: advisories },
    Step {
        name: "clippy",
        run: || cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-Dwarnings"]),
    },
    Step { name: "docs", run: || passed(docs::check()) },
    Step { name: "demo", run: demonstration },
    Step { name: "test", run: || passed(test::run(&[])) },
];

/// The names of the steps.
pub(crate) fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

/// Runs the steps that are named, every step without names, also after one failed, and sums up.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let (mut failed, mut skipped, mut table) = (0, 0, Vec::new());
    for step in STEPS.iter().filter(|step| names.is_empty() || names.iter().any(|name| name == step.name)) {
        say::step(&format!("ci: {}", step.name));
        let begin = Instant::now();
        let what = match (step.run)() {
            Ok(Outcome::Passed) => "passed".into(),
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                format!("SKIPPED: {why}")
            }
            Err(why) => {
                failed += 1;
                format!("FAILED: {why:#}")
            }
        };
        table.push(row(step.name, begin.elapsed(), &what));
    }
    say::line(&format!("\n{}", table.join("\n")));
    say::line(&format!("ci: {} passed, {failed} failed, {skipped} skipped", table.len() - failed - skipped));
    if failed > 0 {
        bail!("{failed} of {} steps failed", table.len());
    }
    Ok(())
}

fn row(name: &str, took: Duration, what: &str) -> String {
    format!("{name:<12}{:>7.1} s  {what}", took.as_secs_f32())
}

fn passed(done: Result<()>) -> Result<Outcome> {
    done.map(|()| Outcome::Passed)
}

fn cargo(arguments: &[&str]) -> Result<Outcome> {
    passed(process::run(process::cargo().args(arguments)))
}

/// What the README's first command shows.
fn demonstration() -> Result<Outcome> {
    if !process::is_root() {
        return Ok(Outcome::Skipped("network namespaces and BPF need root".into()));
    }
    passed(crate::run::run(None, true))
}

/// Known vulnerabilities, where the list of them can be had.
fn advisories() -> Result<Outcome> {
    let fetched = process::cargo().args(["deny", "--log-level", "error", "fetch", "db"]).output()?;
    if !fetched.status.success() {
        let said = String::from_utf8_lossy(&fetched.stderr).into_owned();
        let why = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no reason given");
        return Ok(Outcome::Skipped(format!("the advisory database cannot be reached: {why}")));
    }
    cargo(&["deny", "--log-level", "error", "check", "--disable-fetch", "advisories"])
}
