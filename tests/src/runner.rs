//! Runs facts: two at a time, those that measure alone; says of each whether it holds, and counts those that could
//! not be shown. Nothing that could not be shown passes silently.
#![expect(clippy::print_stdout, reason = "this is what prints a test run")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use anyhow::Result;

/// Something that holds of the system, and how to see it.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// `module::function`
    pub name: &'static str,
    /// Shows it, or says why not.
    pub show: fn() -> Result<()>,
    /// Measures, or loads the machine: nothing else runs meanwhile.
    pub alone: bool,
    /// Needs network namespaces and BPF.
    pub root: bool,
}

/// A list of facts from the names of functions.
#[macro_export]
macro_rules! facts {
    ($($show:ident),* $(,)?) => {
        &[$($crate::runner::Fact {
            name: concat!(module_path!(), "::", stringify!($show)), show: $show, alone: false, root: true,
        }),*]
    };
    (rootless: $($show:ident),* $(,)?) => {
        &[$($crate::runner::Fact {
            name: concat!(module_path!(), "::", stringify!($show)), show: $show, alone: false, root: false,
        }),*]
    };
    (alone: $($show:ident),* $(,)?) => {
        &[$($crate::runner::Fact {
            name: concat!(module_path!(), "::", stringify!($show)), show: $show, alone: true, root: true,
        }),*]
    };
}

/// A fact that cannot be shown here, and why.
#[derive(Debug)]
struct Skipped(String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// What a fact returns that cannot be shown here.
#[must_use]
pub fn skipped(reason: &str) -> anyhow::Error {
    Skipped(reason.to_owned()).into()
}

thread_local! {
    static EVIDENCE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Something to print if the fact of this thread turns out not to hold.
pub fn evidence(text: &str) {
    EVIDENCE.with_borrow_mut(|all| all.push(text.to_owned()));
}

/// A figure that was measured: printed with the fact.
pub fn figure(text: &str) {
    println!("       {text}");
}

enum Outcome {
    Holds,
    Fails(String),
    Skipped(String),
}

/// No fact takes longer; one that does is hung, and the run ends.
const LIMIT: Duration = Duration::from_secs(180);

/// Shows the facts whose names contain one of the words given, all without words. `--list` lists them; other options
/// that the standard test runner knows are taken and ignored.
#[must_use]
pub fn main(facts: &[&[Fact]]) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let filters = filters(&words);
    let wanted = |fact: &&Fact| filters.is_empty() || filters.iter().any(|part| fact.name.contains(part));
    let chosen: Vec<Fact> = facts.iter().copied().flatten().filter(wanted).copied().collect();
    if words.iter().any(|word| word == "--list") {
        for fact in &chosen {
            println!("{}: test", short(fact.name));
        }
        return ExitCode::SUCCESS;
    }
    if let Err(why) = crate::leftovers::prepare().or_else(|why| if is_root() { Err(why) } else { Ok(()) }) {
        println!("what earlier runs left cannot be removed: {why:#}");
        return ExitCode::FAILURE;
    }
    let begin = Instant::now();
    let (alone, together): (Vec<Fact>, Vec<Fact>) = chosen.iter().partition(|fact| fact.alone);
    let mut tally = Tally::default();
    tally.add(run(together, 2));
    tally.add(run(alone, 1));
    tally.report(begin.elapsed())
}

/// Words that are no options, nor values of those options of the standard runner that have one.
fn filters(words: &[String]) -> Vec<&str> {
    let mut filters = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if matches!(word, "--test-threads" | "--skip" | "--format" | "--color" | "-Z") {
            words.next();
        } else if !word.starts_with('-') {
            filters.push(word);
        }
    }
    filters
}

#[derive(Default)]
struct Tally {
    held: usize,
    skipped: Vec<&'static str>,
    failed: Vec<&'static str>,
}

impl Tally {
    fn add(&mut self, outcomes: Vec<(&'static str, Outcome)>) {
        for (name, outcome) in outcomes {
            match outcome {
                Outcome::Holds => self.held += 1,
                Outcome::Fails(_) => self.failed.push(name),
                Outcome::Skipped(_) => self.skipped.push(name),
            }
        }
    }

    fn report(&self, took: Duration) -> ExitCode {
        for name in &self.failed {
            println!("failed: {}", short(name));
        }
        let (held, failed, skipped) = (self.held, self.failed.len(), self.skipped.len());
        println!("system: {held} passed, {failed} failed, {skipped} SKIPPED, in {:.1} s", took.as_secs_f32());
        // `PROXY_NOW_NO_SKIP=1`, as CI says, makes a skipped fact a failure.
        let strict = std::env::var_os("PROXY_NOW_NO_SKIP").is_some_and(|value| value == "1");
        if failed == 0 && (skipped == 0 || !strict) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn short(name: &'static str) -> &'static str {
    name.split_once("::").map_or(name, |(_, rest)| rest)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(facts: Vec<Fact>, workers: usize) -> Vec<(&'static str, Outcome)> {
    let queue = Mutex::new(VecDeque::from(facts));
    let done = Mutex::new(Vec::new());
    let lock =
        |queue: &Mutex<VecDeque<Fact>>| queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(fact) = lock(&queue) {
                    let outcome = (fact.name, watched(fact));
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Shows a fact on a thread of its own; a fact that hangs ends the run.
fn watched(fact: Fact) -> Outcome {
    let begin = Instant::now();
    let (tell, told) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || drop(tell.send(judge(fact))));
        let Ok((outcome, evidence)) = told.recv_timeout(LIMIT) else {
            println!("HUNG   {} after {LIMIT:?}", short(fact.name));
            #[expect(clippy::disallowed_methods, reason = "a thread that hangs cannot be ended otherwise")]
            std::process::exit(1);
        };
        let took = begin.elapsed().as_secs_f32();
        let name = short(fact.name);
        match &outcome {
            Outcome::Holds => println!("ok     {name} ({took:.2} s)"),
            Outcome::Skipped(why) => println!("SKIPPED {name}: {why}"),
            Outcome::Fails(why) => println!("FAILED {name} ({took:.2} s): {why}\n{}", evidence.join("\n")),
        }
        outcome
    })
}

fn judge(fact: Fact) -> (Outcome, Vec<String>) {
    let outcome = if is_root() || !fact.root {
        match catch_unwind(AssertUnwindSafe(fact.show)) {
            Ok(Ok(())) => Outcome::Holds,
            Ok(Err(why)) => match why.downcast_ref::<Skipped>() {
                Some(skipped) => Outcome::Skipped(skipped.0.clone()),
                None => Outcome::Fails(format!("{why:#}{}", places(&why))),
            },
            Err(panic) => Outcome::Fails(words_of(panic.as_ref())),
        }
    } else {
        Outcome::Skipped("needs root, for network namespaces and BPF".to_owned())
    };
    (outcome, EVIDENCE.take())
}

/// The lines of the facts themselves from a backtrace, where `RUST_BACKTRACE` has one made.
fn places(why: &anyhow::Error) -> String {
    let trace = why.backtrace().to_string();
    let ours = trace.lines().map(str::trim).filter(|line| line.contains("tests/system/"));
    ours.map(|line| format!("\n  {line}")).collect()
}

fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}
