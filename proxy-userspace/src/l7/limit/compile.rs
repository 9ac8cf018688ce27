//! From a configuration to what is enforced here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::connections::ConnectionRules;
use super::live::Live;
use super::registry::Registry;
use super::rule::Rule;
use super::whose::Whose;
use crate::config::{Amount, Config, LimitConfig, LimitName, ListenerName, Measure};

/// Everything that is limited here.
#[derive(Debug, Default)]
pub struct Limits {
    /// Those of each listener's connections that has any.
    pub listeners: HashMap<ListenerName, Arc<ConnectionRules>>,
    /// Those of each route's requests, in the configuration's order; and at the end those of requests that no route wants.
    routes: Vec<Option<Arc<RequestRules>>>,
    /// What is put in force with it.
    wanted: Vec<(Arc<Live>, Amount)>,
    /// All limits of the configuration, the kernel's too.
    names: HashSet<LimitName>,
}

/// Limits of a route's requests.
#[derive(Clone, Debug, Default)]
pub struct RequestRules {
    /// Of requests.
    pub requests: Vec<Arc<Rule>>,
    /// Of bytes.
    pub bandwidth: Vec<Arc<Rule>>,
    /// Those that count by backend.
    pub backend: BackendRules,
}

/// Limits of a route's requests that count by backend.
#[derive(Clone, Debug, Default)]
pub struct BackendRules {
    /// Of requests.
    pub requests: Vec<Arc<Rule>>,
    /// Of bytes.
    pub bandwidth: Vec<Arc<Rule>>,
}

impl Limits {
    /// What a configuration limits. Rates that have changed are not in force before [`Self::apply`].
    pub fn compile(config: &Config, registry: &Registry) -> Self {
        let names = config.limits.iter().map(|limit| limit.name.clone()).collect();
        let mut limits = Self { names, ..Self::default() };
        for limit in &config.limits {
            let serves = |name: &ListenerName| limit.listeners.is_empty() || limit.listeners.contains(name);
            let here = config.web_listeners.iter().any(|listener| serves(&listener.name));
            let Some(id) = registry.id(&limit.name).filter(|_| here) else { continue };
            // Packets and bytes of frames are the kernel's.
            let ours =
                |(measure, _): &(Measure, Amount)| !matches!(measure, Measure::Packets | Measure::Bytes);
            for (measure, amount) in limit.measures.iter().filter(ours) {
                let live = registry.live(&limit.name, measure, id, amount);
                limits.wanted.push((Arc::clone(&live), amount));
                let rule = Arc::new(Rule::new(limit, live, registry.desk()));
                limits.add(config, limit, measure, &rule);
            }
        }
        limits.listeners.retain(|_, rules| !rules.is_empty());
        limits
    }

    fn add(&mut self, config: &Config, limit: &LimitConfig, measure: Measure, rule: &Arc<Rule>) {
        match measure {
            Measure::Requests | Measure::Bandwidth => {
                self.routes.resize(config.routes.len() + 1, None);
                let names = config.routes.iter().map(|route| Some(&route.name)).chain([None]);
                for (rules, name) in self.routes.iter_mut().zip(names) {
                    let holds =
                        limit.routes.is_empty() || name.is_some_and(|name| limit.routes.contains(name));
                    if holds {
                        Arc::make_mut(rules.get_or_insert_default()).add(measure, rule);
                    }
                }
            }
            _ => {
                for listener in config.web_listeners.iter().filter(|listener| rule.is_of(&listener.name)) {
                    let rules = self
                        .listeners
                        .entry(listener.name.clone())
                        .or_insert_with(|| Arc::new(ConnectionRules::new(&listener.name)));
                    // Nobody else has it yet.
                    if let Some(rules) = Arc::get_mut(rules) {
                        rules.add(measure, rule);
                    }
                }
            }
        }
    }

    /// Those of a route's requests, by its place in the configuration; none: of requests that no route wants.
    pub fn of_route(&self, route: Option<u32>) -> Option<&RequestRules> {
        let last = self.routes.len().checked_sub(1)?;
        self.routes[route.map_or(last, |route| last.min(route as usize))].as_deref()
    }

    /// Puts it in force.
    pub fn apply(&self, registry: &Registry) {
        registry.apply(&self.wanted, |name| self.names.contains(name));
    }
}

impl RequestRules {
    fn add(&mut self, measure: Measure, rule: &Arc<Rule>) {
        let of_backend = matches!(rule.whose, Whose::Backend);
        let rules = match measure {
            Measure::Bandwidth if of_backend => &mut self.backend.bandwidth,
            _ if of_backend => &mut self.backend.requests,
            Measure::Bandwidth => &mut self.bandwidth,
            _ => &mut self.requests,
        };
        rules.push(Arc::clone(rule));
    }
}

impl ConnectionRules {
    fn add(&mut self, measure: Measure, rule: &Arc<Rule>) {
        let rules = match measure {
            Measure::Handshakes if rule.whose.is_of_hello() => &mut self.hellos.rules,
            // What needs a request is nothing that a connection has: `check` refuses it.
            _ if !rule.whose.is_of_connection() => return,
            Measure::Handshakes => &mut self.handshakes,
            Measure::Concurrent => &mut self.concurrent,
            _ => &mut self.connections,
        };
        rules.push(Arc::clone(rule));
    }
}
