//! The rules of one route, compiled.

use super::condition::Conditions;
use super::rule::{BadRule, PathRule, Regexes};
use crate::config::RouteConfig;

/// A route that cannot be compiled.
#[derive(Clone, Debug, thiserror::Error)]
#[error("route {name}: {what}: {why}")]
pub struct CompileError {
    /// The route.
    pub name: Box<str>,
    /// Its line in the file.
    pub line: usize,
    /// The key.
    pub what: &'static str,
    /// What is wrong.
    pub why: String,
}

/// The rules of one route, but for its listeners and hosts.
#[derive(Debug)]
pub(super) struct Compiled {
    /// What the path must be.
    pub(super) path: PathRule,
    /// What else must be; none: nothing.
    pub(super) conditions: Option<Box<Conditions>>,
}

impl Compiled {
    pub(super) fn new(route: &RouteConfig, regexes: &mut Regexes) -> Result<Self, CompileError> {
        let path = PathRule::compile(&route.path, regexes).map_err(|error| match error {
            BadRule::Regex(error) => bad(route, "path_regex", &error),
            BadRule::Path(error) => bad(route, "path", &error),
        })?;
        let conditions =
            Conditions::compile(route, regexes).map_err(|error| bad(route, "header or query", &error))?;
        Ok(Self { path, conditions: conditions.map(Box::new) })
    }
}

fn bad(route: &RouteConfig, what: &'static str, why: &dyn std::fmt::Display) -> CompileError {
    CompileError { name: route.name.clone(), line: route.line, what, why: why.to_string() }
}
