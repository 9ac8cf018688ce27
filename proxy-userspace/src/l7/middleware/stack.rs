//! The steps of a route, in their order.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::access::Access;
use super::auth::BasicAuth;
use super::compress::Compress;
use super::edits::{RequestFields, ResponseFields};
use super::max_body::MaxBody;
use super::pages::ErrorPages;
use super::path::NewPath;
use super::service::{Around, LocalLayer, LocalService};
use crate::config::RouteConfig;

/// The steps of a route, outermost first. Shared by all threads; each makes its own services of it.
#[derive(Clone, Default)]
pub struct Stack(Vec<LocalLayer>);

/// Why a route's steps cannot be made: the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// An error page cannot be read.
    #[error("the error page {} cannot be read: {error}", path.display())]
    Page {
        /// The page.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A regular expression is too large.
    #[error(transparent)]
    Regex(#[from] regex::Error),
}

impl Stack {
    /// The steps that a route asks for, in the order of [`MiddlewareConfig`](crate::config::MiddlewareConfig).
    ///
    /// # Errors
    /// What a step needs is not there, or is not what it should be.
    pub fn compile(route: &RouteConfig) -> Result<Self, StackError> {
        let config = &route.middleware;
        let name = &*route.name;
        let mut steps = Vec::new();
        // The answer's side first, the last word outermost: it concerns what the steps below answer as well.
        if !config.response_headers.is_empty() {
            steps.push(Around::layer(ResponseFields::new(name, &config.response_headers)));
        }
        if let Some(compress) = &config.compress {
            steps.push(Around::layer(Compress::new(compress)));
        }
        if !config.error_pages.is_empty() {
            let pages = ErrorPages::read(&config.error_pages);
            let page = |(path, error)| StackError::Page { path, error };
            steps.push(Around::layer(pages.map_err(page)?));
        }
        // The request's side: what is cheap and refuses most stands first.
        if !config.allow.is_empty() || !config.deny.is_empty() {
            steps.push(Around::layer(Access::new(&config.allow, &config.deny)));
        }
        if let Some(auth) = &config.basic_auth {
            steps.push(Around::layer(BasicAuth::new(auth)));
        }
        if let Some(limit) = config.max_body {
            steps.push(Around::layer(MaxBody(limit)));
        }
        // Before the path changes: values are of the request as it came.
        if !config.request_headers.is_empty() {
            steps.push(Around::layer(RequestFields::new(name, &config.request_headers)));
        }
        if let Some(path) = NewPath::new(name, &route.path, config)? {
            steps.push(Around::layer(path));
        }
        Ok(Self(steps))
    }

    /// The route asks for nothing: its requests need no service.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The steps around what answers in the end. Services hold no state of one request: a thread may keep what it
    /// gets here, and clone it for free.
    pub fn service(&self, inner: LocalService) -> LocalService {
        self.0.iter().rev().fold(inner, |inner, layer| layer.layer(inner))
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stack({} steps)", self.0.len())
    }
}

#[cfg(test)]
#[path = "stack_tests.rs"]
mod tests;
