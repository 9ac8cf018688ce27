//! What a path must be, compiled.

use std::collections::HashMap;

use bytes::Bytes;
use regex::bytes::{Regex, RegexBuilder};

use super::canonical::BadTarget;
use super::target::RequestTarget;
use crate::config::PathPattern;

/// Bytes that one compiled regular expression may take, and as much again for its cache.
pub(super) const REGEX_BYTES: usize = 1 << 20;

/// What a path must be.
#[derive(Clone, Debug)]
pub(super) enum PathRule {
    /// Every path.
    Any,
    /// This one.
    Exact(Box<str>),
    /// It is this, or begins with this and a slash. Not empty, without a slash at its end.
    Prefix(Box<str>),
    /// It matches.
    Regex(Regex),
}

/// A path rule that cannot be compiled.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum BadRule {
    #[error("{0}")]
    Regex(#[from] regex::Error),
    #[error("{0}")]
    Path(#[from] BadTarget),
}

/// Compiles regular expressions, each once.
#[derive(Default, Debug)]
pub(super) struct Regexes(HashMap<Box<str>, Regex>);

impl Regexes {
    pub(super) fn get(&mut self, text: &str) -> Result<Regex, regex::Error> {
        if let Some(regex) = self.0.get(text) {
            return Ok(regex.clone());
        }
        let regex = RegexBuilder::new(text).size_limit(REGEX_BYTES).dfa_size_limit(REGEX_BYTES).build()?;
        self.0.insert(text.into(), regex.clone());
        Ok(regex)
    }
}

impl PathRule {
    /// Compiles a pattern. A path is compared in its canonical form; `path = "/"` says what no path says.
    pub(super) fn compile(pattern: &PathPattern, regexes: &mut Regexes) -> Result<Self, BadRule> {
        Ok(match pattern {
            PathPattern::Any => Self::Any,
            PathPattern::Exact(path) => Self::Exact(canonical(path)?),
            PathPattern::Prefix(path) => {
                let path = canonical(path)?;
                match path.strip_suffix('/').unwrap_or(&path) {
                    "" => Self::Any,
                    prefix => Self::Prefix(prefix.into()),
                }
            }
            PathPattern::Regex(text) => Self::Regex(regexes.get(text)?),
        })
    }

    /// Whether a canonical path is so.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => path == &**exact,
            Self::Prefix(prefix) => is_within(path.as_bytes(), prefix.as_bytes()),
            Self::Regex(regex) => regex.is_match(path.as_bytes()),
        }
    }

    /// Whether the pattern itself names an escape, such as `%2F`: then a path that has it is meant.
    pub(super) fn has_escape(&self) -> bool {
        match self {
            Self::Any => false,
            Self::Exact(path) | Self::Prefix(path) => path.contains('%'),
            Self::Regex(regex) => regex.as_str().contains('%'),
        }
    }
}

/// Whether a path is `prefix`, or goes on below it.
pub(super) fn is_within(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
}

fn canonical(path: &str) -> Result<Box<str>, BadTarget> {
    let target = RequestTarget::parse(Bytes::copy_from_slice(path.as_bytes()))?;
    match target.query() {
        None => Ok(target.path().into()),
        Some(_) => Err(BadTarget::Character),
    }
}

/// What every path that a regular expression matches begins with: what follows `^`, up to the first character that
/// may mean something else. Empty if that is not known.
pub(super) fn literal_prefix(regex: &str) -> &str {
    let Some(rest) = regex.strip_prefix('^') else { return "" };
    // An alternative may begin otherwise; where it stands is not looked at.
    if rest.contains('|') {
        return "";
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_~%!&=:@,;'".contains(&byte);
    let end = rest.bytes().position(|byte| !plain(byte)).unwrap_or(rest.len());
    // A repetition belongs to the character before it.
    match rest.as_bytes().get(end) {
        Some(b'?' | b'*' | b'{') => &rest[..end.saturating_sub(1)],
        _ => &rest[..end],
    }
}
