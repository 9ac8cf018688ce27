//! What the supervisor asks of the kernel part. A trait, so that all of this is tested without a kernel.

/// What was decided about ClientHellos, compared, and in words.
pub(super) mod hellos;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::admin::api::{Counter, FlowTable, Guard, Interface, NamedHost, Traffic};
use crate::admin::limits::LimitedKey;
use crate::config::{Amount, KernelConfig, LimitName, ListenerName, Measure};
use crate::l4::{Desired, Hear, HelloSeen};
use crate::l7::relay::hand_off::HandOff;
use crate::limit::{Ids, Table};

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
    /// The table that it charges keys of limits in, and the numbers of limits, if it has them.
    fn limit_table(&self) -> Option<(Table, Arc<Ids>)> {
        None
    }
    /// What it keeps of limits.
    fn limits(&self) -> Vec<LimitInForce> {
        Vec::new()
    }
    /// What operators have set of limits, as it remembers: of what the workers count, too.
    fn limit_overrides(&self) -> Vec<(LimitName, Measure, Amount)> {
        Vec::new()
    }
    /// A measure of a limit lets through so much, from the next packet on; what the workers count is remembered.
    fn set_limit(
        &mut self,
        _limit: &LimitName,
        _measure: Measure,
        _amount: Amount,
    ) -> Result<(), DataplaneError> {
        Ok(())
    }
    /// What was set of a limit is forgotten: what was applied holds.
    fn reset_limit(&mut self, _limit: &LimitName) -> Result<(), DataplaneError> {
        Ok(())
    }
    /// What an address, masked, has used up of a limit is forgotten. How many keys those were.
    fn reset_limit_key(&mut self, _limit: &LimitName, _address: IpAddr) -> Result<usize, DataplaneError> {
        Ok(0)
    }
    /// Takes connections over that are relayed; none: it cannot.
    fn hand_off(&self) -> Option<Arc<dyn HandOff>> {
        None
    }
    /// What its programs tell is heard from now on, as it happens.
    fn hear(&mut self, _hear: Hear) -> Result<(), DataplaneError> {
        Ok(())
    }
    /// Keys that have been refused.
    fn limited(&self) -> Result<Vec<LimitedKey>, DataplaneError> {
        Ok(Vec::new())
    }
    /// Where its bans are; none: it has no place for any.
    fn bans(&self) -> Result<Option<Arc<dyn crate::ban::Place>>, DataplaneError> {
        Ok(None)
    }
    /// Is told for so long of ClientHellos that ask for `name`, or of all. What was told since the last call, each with
    /// the listener's name.
    fn hellos(
        &mut self,
        _name: Option<&str>,
        _lasts: Duration,
        _most: usize,
    ) -> Result<Vec<(String, HelloSeen)>, DataplaneError> {
        Ok(Vec::new())
    }
    /// What becomes of a tuple.
    fn explain(&self, tuple: &str) -> Result<serde_json::Value, DataplaneError>;
}

/// A measure of a limit, as one of those that keep it knows it.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct LimitInForce {
    pub(super) limit: LimitName,
    pub(super) measure: Measure,
    /// How much it lets through.
    pub(super) amount: Amount,
    pub(super) counts: LimitCounts,
}

/// What a measure of a limit came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct LimitCounts {
    pub(super) passed: u64,
    pub(super) refused: u64,
    pub(super) observed: u64,
    pub(super) exempt: u64,
}

impl std::ops::AddAssign for LimitCounts {
    fn add_assign(&mut self, more: Self) {
        self.passed += more.passed;
        self.refused += more.refused;
        self.observed += more.observed;
        self.exempt += more.exempt;
    }
}

/// What the kernel part does.
#[derive(Clone, Default, Debug)]
pub(super) struct Observed {
    pub(super) interfaces: Vec<Interface>,
    pub(super) flow_tables: Vec<FlowTable>,
    pub(super) guards: Vec<Guard>,
    pub(super) drops: Vec<Counter>,
    pub(super) notices: Vec<Counter>,
    /// What came of handing relayed connections over.
    pub(super) handoffs: Vec<Counter>,
    pub(super) names: Vec<NamedHost>,
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
