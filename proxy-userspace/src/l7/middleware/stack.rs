//! The steps of a route, in their order.

use std::fmt;

use super::service::{LocalLayer, LocalService};
use crate::config::RouteConfig;

/// The steps of a route, outermost first. Shared by all threads; `service` is called by each for itself.
#[derive(Clone, Default)]
pub struct Stack(Vec<LocalLayer>);

/// Why a route's steps cannot be made: the configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum StackError {}

impl Stack {
    /// The steps that a route asks for.
    ///
    /// # Errors
    /// What a step needs is not there, or is not what it should be.
    pub fn compile(_route: &RouteConfig) -> Result<Self, StackError> {
        Ok(Self(Vec::new()))
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
