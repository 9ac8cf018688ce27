//! What the supervisor asks of the kernel part. A trait, so that all of this is tested without a kernel.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::admin::api::{Counter, FlowTable, Interface, Traffic};
use crate::config::{KernelConfig, ListenerName};
use crate::l4::Desired;

/// An error of the kernel part. Only ever shown.
pub(super) type DataplaneError = Box<dyn std::error::Error + Send + Sync>;

/// The kernel part. Dropped before [`Dataplane::keep`], it takes back what it has put in place.
pub(super) trait Dataplane {
    /// What an earlier daemon left in it.
    fn known(&self) -> HashMap<Place, Known>;
    /// Makes this so, or leaves everything as it was. Gives back what an operator should know.
    fn apply(&mut self, desired: &Desired) -> Result<Vec<String>, DataplaneError>;
    /// Attaches to these interfaces and no others. Gives back what an operator should know.
    fn attach(&mut self, config: &KernelConfig) -> Result<Vec<String>, DataplaneError>;
    /// The start has succeeded: everything stays when this is dropped.
    fn keep(&mut self);
    /// Takes note of routes, neighbours and interfaces that changed. Called often. Gives back what an operator
    /// should know.
    fn follow(&mut self) -> Result<Vec<String>, DataplaneError>;
    /// Goes on collecting flows that are over, for a few milliseconds.
    fn collect(&mut self) -> Result<(), DataplaneError>;
    /// What it does.
    fn observe(&self) -> Result<Observed, DataplaneError>;
    /// What becomes of a tuple.
    fn explain(&self, tuple: &str) -> Result<serde_json::Value, DataplaneError>;
}

/// What the kernel part does.
#[derive(Clone, Default, Debug)]
pub(super) struct Observed {
    pub(super) interfaces: Vec<Interface>,
    pub(super) flow_tables: Vec<FlowTable>,
    pub(super) drops: Vec<Counter>,
    pub(super) notices: Vec<Counter>,
    /// Backends of each listener.
    pub(super) backends: HashMap<Place, Seen>,
}

/// A backend of one listener.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    pub(super) listener: ListenerName,
    pub(super) address: SocketAddr,
}

/// What a backend of one listener has to do.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Seen {
    pub(super) flows: u64,
    pub(super) traffic: Traffic,
    /// It gets no new flows: it does not answer, or there is no way to it.
    pub(super) down: bool,
}

/// What an earlier daemon left about a backend of one listener.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Known {
    pub(super) down: bool,
    pub(super) drained_by_hand: bool,
}
