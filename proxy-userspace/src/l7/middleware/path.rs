//! `strip_prefix` and `rewrite_path`: the path that the backend sees. Made canonical again, whatever comes out.

use regex::{Captures, Regex};

use super::service::{LocalService, Step};
use crate::config::{MiddlewareConfig, PathPattern, RewriteConfig, Template, TemplatePart, Variable};
use crate::l7::cause::Cause;
use crate::l7::request::{Request, Response};
use crate::l7::respond::{Form, refuse};
use crate::l7::template::{Text, Values};

/// Changes of a path.
#[derive(Debug)]
pub(super) struct NewPath {
    route: Box<str>,
    /// Without a slash at its end.
    prefix: Option<Box<str>>,
    rewrite: Option<Rewrite>,
}

#[derive(Debug)]
enum Rewrite {
    To(Vec<Part>),
    /// The route's `path_regex` has groups that literals name.
    Groups(Regex, Vec<Part>),
    Regex(Regex, Box<str>),
}

#[derive(Debug)]
enum Part {
    Literal(Box<str>),
    Variable(Text),
}

impl NewPath {
    /// The changes that a route asks for, if it does.
    ///
    /// # Errors
    /// A regular expression is none.
    pub(super) fn new(
        route: &str,
        pattern: &PathPattern,
        config: &MiddlewareConfig,
    ) -> Result<Option<Self>, regex::Error> {
        let rewrite = match &config.rewrite_path {
            None => None,
            Some(RewriteConfig::Regex { regex, to }) => Some(Rewrite::Regex(Regex::new(regex)?, to.clone())),
            Some(RewriteConfig::To(template)) => Some(match pattern {
                PathPattern::Regex(regex) => Rewrite::Groups(Regex::new(regex)?, parts(template)),
                _ => Rewrite::To(parts(template)),
            }),
        };
        let prefix = config.strip_prefix.as_deref().map(|prefix| prefix.trim_end_matches('/').into());
        let some = prefix.is_some() || rewrite.is_some();
        Ok(some.then(|| Self { route: route.into(), prefix, rewrite }))
    }

    fn change(&self, request: &mut Request) -> Result<(), Cause> {
        // `*` is the server as a whole.
        if !request.target.path().starts_with('/') {
            return Ok(());
        }
        let original = request.target.path().to_owned();
        if let Some(stripped) = self.prefix.as_deref().and_then(|prefix| strip(&original, prefix)) {
            request.target = request.target.with_path(stripped).map_err(|_| Cause::BadRewrite)?;
        }
        let Some(rewrite) = &self.rewrite else { return Ok(()) };
        let path = {
            let values = Values { request, route: &self.route };
            match rewrite {
                Rewrite::To(parts) => fill(parts, values, None),
                Rewrite::Groups(regex, parts) => fill(parts, values, regex.captures(&original).as_ref()),
                Rewrite::Regex(regex, to) => regex.replace(request.target.path(), &**to).into_owned(),
            }
        };
        request.target = request.target.with_path(&path).map_err(|_| Cause::BadRewrite)?;
        Ok(())
    }
}

impl Step for NewPath {
    async fn answer(&self, mut request: Request, next: &LocalService) -> Response {
        match self.change(&mut request) {
            Ok(()) => next.answer(request).await,
            Err(cause) => refuse(Form::of(&request), &request.record, cause),
        }
    }
}

fn parts(template: &Template) -> Vec<Part> {
    let part = |part: &TemplatePart| match part {
        TemplatePart::Literal(text) => Part::Literal(text.clone()),
        TemplatePart::Variable(variable) => {
            let variable: Variable = variable.clone();
            Part::Variable(Text::new(&Template(vec![TemplatePart::Variable(variable)])))
        }
    };
    template.0.iter().map(part).collect()
}

/// Groups are named by literals only: what a client sends is never read as a name of one.
fn fill(parts: &[Part], values: Values<'_>, groups: Option<&Captures<'_>>) -> String {
    let mut path = String::new();
    for part in parts {
        match (part, groups) {
            (Part::Literal(text), Some(groups)) => groups.expand(text, &mut path),
            (Part::Literal(text), None) => path.push_str(text),
            (Part::Variable(text), _) => path.push_str(&String::from_utf8_lossy(&text.bytes(values))),
        }
    }
    path
}

/// The path without a prefix of whole segments.
fn strip<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    match path.strip_prefix(prefix)? {
        "" => Some("/"),
        rest => rest.starts_with('/').then_some(rest),
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
