//! Lines of files and functions.

use super::finding::Finding;
use super::policy::{FILE_LINES, FUNCTION_LINES, MAIN_LINES, MOD_LINES};
use super::source::{Source, is_sign, is_word, line};
use proc_macro2::{Delimiter, TokenTree};

/// What is longer than its budget.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.is_rust() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let budget = match source.name() {
        "main.rs" => MAIN_LINES,
        "mod.rs" => MOD_LINES,
        _ => FILE_LINES,
    };
    let lines = source.own_lines();
    if lines > budget {
        let what = format!("{lines} lines before its tests; {budget} is the limit");
        findings.push(Finding::new(&source.path, lines, what));
    }
    functions(&source.tokens(), &mut |name, first, lines| {
        if lines > FUNCTION_LINES {
            let what = format!("`{name}` has {lines} lines; {FUNCTION_LINES} is the limit");
            findings.push(Finding::new(&source.path, first, what));
        }
    });
    findings
}

/// Every function with a body: name, first line, number of lines.
pub(super) fn functions(tokens: &[TokenTree], found: &mut impl FnMut(&str, usize, usize)) {
    for (at, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            functions(&group.stream().into_iter().collect::<Vec<_>>(), found);
        }
        let Some(TokenTree::Ident(name)) = tokens.get(at + 1).filter(|_| is_word(Some(token), "fn")) else {
            continue;
        };
        let end = tokens[at..].iter().find(|token| {
            is_sign(Some(token), ';')
                || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
        });
        if let Some(TokenTree::Group(body)) = end {
            found(&name.to_string(), line(token), body.span_close().end().line + 1 - line(token));
        }
    }
}
