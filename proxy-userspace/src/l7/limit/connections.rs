//! Connections and handshakes of a listener under limits.

use std::net::IpAddr;
use std::sync::Arc;

use proxy_common::gcra::Charged;
use smallvec::SmallVec;

use super::live::Fate;
use super::rule::Rule;
use super::whose::Caller;
use crate::config::{LimitAction, ListenerName};
use crate::limit::{Enter, Key};

/// Limits of a listener's connections.
#[derive(Debug)]
pub struct ConnectionRules {
    listener: ListenerName,
    /// Of new connections.
    pub(super) connections: Vec<Arc<Rule>>,
    /// Of connections at a time.
    pub(super) concurrent: Vec<Arc<Rule>>,
    /// Of handshakes, by where they come from.
    pub(super) handshakes: Vec<Arc<Rule>>,
    /// Of handshakes, by what their ClientHello says.
    pub(super) hellos: HelloRules,
}

/// Limits of a listener's handshakes that a ClientHello decides.
#[derive(Debug)]
pub struct HelloRules {
    pub(super) rules: Vec<Arc<Rule>>,
    listener: ListenerName,
}

/// What happens to a connection that is too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TurnedAway {
    /// It is closed.
    Close,
    /// It is reset.
    Reset,
}

/// A connection's place among those that are in at a time. Left when this is dropped.
#[derive(Debug, Default)]
pub struct Inside(SmallVec<[(Arc<Rule>, Key); 1]>);

impl Drop for Inside {
    fn drop(&mut self) {
        for (rule, key) in &self.0 {
            rule.desk.leave(key);
        }
    }
}

impl ConnectionRules {
    /// Whether connections are counted for as long as they are there.
    pub fn counts_those_inside(&self) -> bool {
        !self.concurrent.is_empty()
    }

    /// None yet, of this listener.
    pub(super) fn new(listener: &ListenerName) -> Self {
        let hellos = HelloRules { rules: Vec::new(), listener: listener.clone() };
        let (connections, concurrent, handshakes) = Default::default();
        Self { listener: listener.clone(), connections, concurrent, handshakes, hellos }
    }

    /// There are none.
    pub(super) fn is_empty(&self) -> bool {
        let all = [&self.connections, &self.concurrent, &self.handshakes, &self.hellos.rules];
        all.iter().all(|rules| rules.is_empty())
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// It is too much.
    pub fn connect(&self, client: IpAddr, worker: usize) -> Result<Inside, TurnedAway> {
        let caller = caller(client, &self.listener);
        let mut inside = Inside::default();
        for rule in self.concurrent.iter().filter(|rule| !rule.exempts(client, worker)) {
            let key = rule.key(&caller);
            let most = if rule.observes() { u64::MAX } else { rule.live.numbers().most };
            match rule.desk.enter(&key, most) {
                Enter::Entered(count) => {
                    inside.0.push((Arc::clone(rule), key));
                    let observed = rule.observes() && u64::from(count) > rule.live.numbers().most;
                    if observed {
                        rule.exceeded(&key, &caller, worker);
                    } else {
                        rule.live.count(worker, Fate::Passed, 1);
                    }
                }
                // What is not counted cannot be compared.
                Enter::Full => rule.live.count(worker, Fate::Passed, 1),
                Enter::Refused => {
                    rule.exceeded(&key, &caller, worker);
                    return Err(TurnedAway::of(rule));
                }
            }
        }
        charge(&self.connections, &caller, worker).map(|()| inside)
    }

    /// Lets a client begin a handshake.
    ///
    /// # Errors
    /// It is too much.
    pub fn handshake(&self, client: IpAddr, worker: usize) -> Result<(), TurnedAway> {
        charge(&self.handshakes, &caller(client, &self.listener), worker)
    }

    /// Limits that a ClientHello decides, if there are any.
    pub fn hellos(&self) -> Option<&HelloRules> {
        Some(&self.hellos).filter(|hellos| !hellos.rules.is_empty())
    }
}

impl HelloRules {
    /// Lets a client go on that has said this name, and is of this kind.
    ///
    /// # Errors
    /// It is too much.
    pub fn admit(
        &self,
        client: IpAddr,
        (sni, ja4): (Option<&str>, Option<&str>),
        worker: usize,
    ) -> Result<(), TurnedAway> {
        charge(&self.rules, &Caller { sni, ja4, ..caller(client, &self.listener) }, worker)
    }
}

/// Charges all or none.
fn charge(rules: &[Arc<Rule>], caller: &Caller<'_>, worker: usize) -> Result<(), TurnedAway> {
    let mut charges: SmallVec<[(&Rule, Key); 4]> = SmallVec::new();
    for rule in rules.iter().filter(|rule| !rule.exempts(caller.client, worker)) {
        let key = rule.key(caller);
        if !rule.observes() {
            charges.push((rule, key));
        } else if let Charged::Refused(_) = rule.charge(&key, worker) {
            rule.exceeded(&key, caller, worker);
        }
    }
    let refuse = |rule: &Rule, key: &Key| {
        rule.exceeded(key, caller, worker);
        Err(TurnedAway::of(rule))
    };
    if charges.len() > 1
        && let Some((rule, key)) = charges.iter().find(|(rule, key)| rule.peek(key).is_err())
    {
        return refuse(rule, key);
    }
    for (rule, key) in &charges {
        if let Charged::Refused(_) = rule.charge(key, worker) {
            return refuse(rule, key);
        }
    }
    Ok(())
}

impl TurnedAway {
    fn of(rule: &Rule) -> Self {
        if rule.action == LimitAction::Reset { Self::Reset } else { Self::Close }
    }
}

fn caller(client: IpAddr, listener: &ListenerName) -> Caller<'_> {
    Caller {
        client,
        listener: listener.as_str(),
        sni: None,
        ja4: None,
        request: None,
        route: "",
        backend: None,
    }
}
