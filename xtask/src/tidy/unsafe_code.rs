//! Who has unsafe code: the files that the table names, and nobody else.

use super::finding::Finding;
use super::policy::UNSAFE;
use super::source::{Source, is_word, line};
use proc_macro2::TokenTree;

/// The first `unsafe` of a file that the table does not name.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let named = |path: &str| {
        UNSAFE.iter().any(|(name, _)| path == *name || (name.ends_with('/') && path.starts_with(name)))
    };
    if !source.is_rust() || named(&source.path) {
        return Vec::new();
    }
    let what = "`unsafe` in a file that the table UNSAFE does not name";
    let first = first_unsafe(&source.tokens());
    first.map(|line| Finding::new(&source.path, line, what.into())).into_iter().collect()
}

fn first_unsafe(tokens: &[TokenTree]) -> Option<usize> {
    tokens.iter().find_map(|token| match token {
        TokenTree::Group(group) => first_unsafe(&group.stream().into_iter().collect::<Vec<_>>()),
        other => is_word(Some(other), "unsafe").then(|| line(other)),
    })
}
