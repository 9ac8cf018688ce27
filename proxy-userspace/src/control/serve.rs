//! From a configuration to what workers serve by. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::{Config, PoolName, RouteConfig};
use crate::l7::Snapshot;
use crate::l7::answer::Answer;
use crate::l7::middleware::{Stack, StackError};
use crate::l7::snapshot::{Action, Route};
use crate::route::{CompileError, Router};

/// Why a configuration cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Routes do not compile.
    #[error(transparent)]
    Routes(#[from] CompileError),
    /// A route's middleware does not.
    #[error("route \"{route}\" (line {line}): {error}")]
    Stack {
        /// The route.
        route: Box<str>,
        /// Where it stands.
        line: usize,
        /// What is wrong.
        error: StackError,
    },
}

/// What workers serve by.
pub(super) fn compile(config: &Arc<Config>, generation: u64) -> Result<Snapshot, ServeError> {
    let pools: HashMap<_, u32> = config.pools.iter().map(|pool| &pool.name).zip(0..).collect();
    Ok(Snapshot {
        generation,
        listeners: config.web_listeners.iter().cloned().map(Arc::new).collect(),
        router: Router::compile(&config.routes)?,
        routes: config.routes.iter().map(|route| compile_route(route, &pools)).collect::<Result<_, _>>()?,
        config: config.clone(),
    })
}

fn compile_route(route: &RouteConfig, pools: &HashMap<&PoolName, u32>) -> Result<Route, ServeError> {
    let wrong = |error| ServeError::Stack { route: route.name.clone(), line: route.line, error };
    let action = match (Answer::of(&route.action), &route.action) {
        (Some(answer), _) => Action::Answer(answer),
        (None, crate::config::RouteAction::Pool(name)) => Action::Pool(pools[name]),
        (None, _) => unreachable!("only what goes to a pool has no answer of its own"),
    };
    Ok(Route { stack: Stack::compile(route).map_err(wrong)?, action })
}
