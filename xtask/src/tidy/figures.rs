//! Figures of the whole: not limits, but what to look at when it reads badly.

use super::sizes::functions;
use super::source::{Source, after_item, is_sign, is_test_attribute, is_word};
use proc_macro2::TokenTree;
use std::fmt;

/// How long things are, and how often what should be rare is there.
#[derive(Debug, Default)]
pub(super) struct Figures {
    files: Vec<usize>,
    functions: Vec<usize>,
    unsafe_words: usize,
    unwraps: usize,
}

/// Counts, over all Rust that is not a test.
pub(super) fn count(sources: &[Source]) -> Figures {
    let mut figures = Figures::default();
    for source in sources.iter().filter(|source| source.is_rust() && !source.is_test()) {
        figures.files.push(source.own_lines());
        let tokens = source.tokens();
        functions(&tokens, &mut |_, _, lines| figures.functions.push(lines));
        figures.words(&tokens);
    }
    figures.files.sort_unstable();
    figures.functions.sort_unstable();
    figures
}

impl Figures {
    fn words(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if is_test_attribute(tokens, at) {
                at = after_item(tokens, at + 2);
                continue;
            }
            if let TokenTree::Group(group) = token {
                self.words(&group.stream().into_iter().collect::<Vec<_>>());
            }
            let called = at > 0 && is_sign(tokens.get(at - 1), '.');
            let unwrap = is_word(Some(token), "unwrap") || is_word(Some(token), "expect");
            self.unwraps += usize::from(called && unwrap);
            self.unsafe_words += usize::from(is_word(Some(token), "unsafe"));
            at += 1;
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: usize = self.files.iter().sum();
        let (files, functions) = (&self.files, &self.functions);
        let thousands = (lines as f64 / 1000.0).max(0.001);
        writeln!(
            f,
            "files      {:>6}  lines {lines}, median {}, 90 % up to {}, longest {}",
            files.len(),
            share(files, 50),
            share(files, 90),
            share(files, 100)
        )?;
        writeln!(
            f,
            "functions  {:>6}  lines: 90 % up to {}, 99 % up to {}, longest {}",
            functions.len(),
            share(functions, 90),
            share(functions, 99),
            share(functions, 100)
        )?;
        writeln!(f, "unsafe     {:>6}", self.unsafe_words)?;
        write!(
            f,
            "unwrap     {:>6}  and expect: {:.2} per thousand lines",
            self.unwraps,
            self.unwraps as f64 / thousands
        )
    }
}

/// The value that `percent` of the sorted values do not exceed.
fn share(sorted: &[usize], percent: usize) -> usize {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(0)
}
