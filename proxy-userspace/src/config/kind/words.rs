//! Words from a fixed set.

use std::fmt;

use serde_json::{Value as Json, json};

use super::wrong::text;
use crate::config::diagnostic::Fact;
use crate::config::nearest::{list, nearest};
use crate::config::report::{Report, Reported};
use crate::config::table::{Kind, Place};

/// A word and what it stands for.
#[derive(Debug)]
pub(in crate::config) struct Word<T>(pub(in crate::config) &'static str, pub(in crate::config) T);

/// One of some words.
#[derive(Debug)]
pub(in crate::config) struct Words<T: 'static> {
    pub(in crate::config) allowed: &'static [Word<T>],
    /// Words that are right elsewhere, and why they are not here.
    pub(in crate::config) elsewhere: (&'static [&'static str], &'static str),
}

impl<T: Copy + Sync> Kind for Words<T> {
    type Value = T;

    fn read(&self, place: Place<'_>, report: &mut Report<'_>) -> Result<T, Reported> {
        let example = self.allowed.first().map_or_else(String::new, |Word(word, _)| format!("{word:?}"));
        let wanted = text(place, &self.wanted(), &example, report)?;
        if let Some(Word(_, value)) = self.allowed.iter().find(|Word(word, _)| *word == wanted) {
            return Ok(*value);
        }
        let allowed: Vec<_> = self.allowed.iter().map(|Word(word, _)| *word).collect();
        let (others, why) = self.elsewhere;
        let why = others.contains(&wanted).then_some(why);
        let fact = NotOneOf { key: place.key, word: wanted, allowed: &allowed, why };
        Err(report.error(&place.node.span, &fact))
    }

    fn wanted(&self) -> String {
        let quoted = |Word(word, _): &Word<T>| format!("{word:?}");
        match self.allowed {
            [one] => quoted(one),
            _ => format!("one of {}", self.allowed.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        }
    }

    fn schema(&self) -> Json {
        json!({ "enum": self.allowed.iter().map(|Word(word, _)| *word).collect::<Vec<_>>() })
    }
}

struct NotOneOf<'a> {
    key: &'static str,
    word: &'a str,
    allowed: &'a [&'static str],
    why: Option<&'static str>,
}

impl fmt::Display for NotOneOf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Some(why) => write!(f, "{} = {:?}: {why}", self.key, self.word),
            None => write!(f, "{} = {:?}: there is no such word here", self.key, self.word),
        }
    }
}

impl Fact for NotOneOf<'_> {
    fn help(&self) -> Option<String> {
        let allowed = list(self.allowed.iter().copied());
        Some(match nearest(self.word, self.allowed.iter().copied()) {
            Some(word) if self.why.is_none() => format!("did you mean {word:?}? Allowed: {allowed}"),
            _ => format!("allowed: {allowed}"),
        })
    }
}
