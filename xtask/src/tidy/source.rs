//! Tracked files and their tokens.

use crate::process;
use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::path::Path;

/// One text file of the workspace.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Relative to the workspace, with `/`.
    pub(super) path: String,
    /// All of it.
    pub(super) text: String,
}

/// Every tracked text file, and those that are new and not ignored.
pub(super) fn tracked(root: &Path) -> Result<Vec<Source>> {
    let folder = root.to_string_lossy();
    let list = ["-C", &folder, "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"];
    let names =
        process::ask("git", &list).context("cannot list the tracked files: is this a git checkout?")?;
    // A file that is deleted but not yet committed, or that is not text, has nothing to check.
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    Ok(names.lines().filter_map(|path| Some(Source { path: path.into(), text: read(path)? })).collect())
}

impl Source {
    /// Whether it is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Tests in a file of their own may compose what they like.
    pub(super) fn is_test(&self) -> bool {
        self.name() == "tests.rs" || self.name().ends_with("_tests.rs") || self.path.contains("/tests/")
    }

    /// Its last part.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Lines before its tests.
    pub(super) fn own_lines(&self) -> usize {
        self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]")).count()
    }

    /// Its tokens: no comments, no white space. What does not lex the compiler will tell better.
    pub(super) fn tokens(&self) -> Vec<TokenTree> {
        self.text.parse::<TokenStream>().map_or_else(|_| Vec::new(), |stream| stream.into_iter().collect())
    }
}

/// The line on which a token starts.
pub(super) fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

/// Whether a token is this word.
pub(super) fn is_word(token: Option<&TokenTree>, word: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == word)
}

/// Whether a token is this sign.
pub(super) fn is_sign(token: Option<&TokenTree>, sign: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == sign)
}

/// Whether `::` stands at `at`.
pub(super) fn is_path_sign(tokens: &[TokenTree], at: usize) -> bool {
    is_sign(tokens.get(at), ':') && is_sign(tokens.get(at + 1), ':')
}

/// `#[cfg(test)]`
pub(super) fn is_test_attribute(tokens: &[TokenTree], at: usize) -> bool {
    let Some(TokenTree::Group(group)) = tokens.get(at + 1) else { return false };
    let text = group.stream().to_string().replace(' ', "");
    is_sign(tokens.get(at), '#') && text == "cfg(test)"
}

/// Past the item that begins at `at`: to its `;` or its braces.
pub(super) fn after_item(tokens: &[TokenTree], at: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => is_sign(Some(other), ';'),
    };
    tokens[at..].iter().position(ends).map_or(tokens.len(), |past| at + past + 1)
}
