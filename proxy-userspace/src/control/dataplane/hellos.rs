//! What the kernel programs and the workers decided about ClientHellos: compared, and in words.

use std::collections::HashMap;
use std::net::SocketAddr;

use proxy_common::client_hello::Outline;
use proxy_common::client_hello::outline::alpn;

use crate::admin::trace::TracedHello;
use crate::l4::{HelloDecision, HelloSeen};
use crate::telemetry::hellos::Decided;

/// Connections that are remembered until the worker has decided, too.
const MOST_REMEMBERED: usize = 4096;

/// What the two said differently. What the worker says counts.
#[derive(Debug, Default)]
pub(in crate::control) struct Compared {
    /// Names that the kernel programs read, by client.
    names: HashMap<SocketAddr, Option<String>>,
    /// Connections that both have read.
    pub(in crate::control) both: u64,
    /// Those of them that have another name there than here.
    pub(in crate::control) differ: u64,
}

impl Compared {
    /// Takes in what the kernel programs saw.
    pub(in crate::control) fn kernel(&mut self, seen: &HelloSeen) {
        if seen.decided != HelloDecision::Passed {
            return;
        }
        if self.names.len() >= MOST_REMEMBERED {
            self.names.clear();
        }
        self.names.insert(seen.client, seen.name.clone());
    }

    /// Takes in what a worker decided.
    pub(in crate::control) fn worker(&mut self, decided: &Decided) {
        let Some(name) = self.names.remove(&decided.client) else { return };
        self.both += 1;
        if name.as_deref().unwrap_or_default() != &*decided.name {
            self.differ += 1;
        }
    }
}

/// What the kernel programs decided.
pub(in crate::control) fn of_kernel(listener: String, seen: &HelloSeen) -> TracedHello {
    let (decision, reason) = match seen.decided {
        HelloDecision::Left(why) => ("left", Some(why)),
        HelloDecision::Passed => ("passed", None),
        HelloDecision::Dropped => ("dropped", None),
        HelloDecision::Reset => ("reset", None),
        HelloDecision::Limited => ("limited", None),
    };
    let names = |outline: Outline| {
        let named = alpn::NAMES.iter().filter(move |(bit, _)| outline.alpn & bit != 0);
        named.map(|(_, name)| (*name).to_owned()).collect()
    };
    TracedHello {
        by: "kernel".into(),
        listener,
        client: seen.client,
        sni: seen.name.clone(),
        alpn: seen.outline.map_or_else(Vec::new, names),
        version: seen.outline.and_then(|outline| version(outline.version)),
        fingerprint: seen.outline.map(|outline| format!("{:016x}", outline.fingerprint)),
        decision: decision.into(),
        reason: reason.map(Into::into),
        route: seen.route.as_deref().filter(|route| !route.is_empty()).map(Into::into),
    }
}

/// What a worker decided.
pub(in crate::control) fn of_worker(decided: Decided) -> TracedHello {
    let some = |text: Box<str>| (!text.is_empty()).then(|| text.into_string());
    TracedHello {
        by: "worker".into(),
        listener: decided.listener.into_string(),
        client: decided.client,
        sni: some(decided.name),
        alpn: decided.alpn.into_iter().map(Into::into).collect(),
        version: version(decided.version),
        fingerprint: None,
        decision: decided.decision.into(),
        reason: decided.reason.map(Into::into),
        route: some(decided.route),
    }
}

/// A version of TLS, as people write it.
fn version(number: u16) -> Option<String> {
    match number {
        0 => None,
        0x0301..=0x0304 => Some(format!("1.{}", number - 0x0301)),
        other => Some(format!("{other:#06x}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(name: &str) -> HelloSeen {
        HelloSeen {
            listener: 1,
            client: "192.0.2.1:7".parse().unwrap(),
            name: Some(name.into()),
            outline: Some(Outline {
                fingerprint: 7,
                version: 0x0304,
                alpn: alpn::H2 | alpn::MORE,
                pad: [0; 5],
            }),
            decided: HelloDecision::Passed,
            entry: 0,
            route: None,
        }
    }

    fn decided(name: &str) -> Decided {
        Decided {
            listener: "tls".into(),
            client: "192.0.2.1:7".parse().unwrap(),
            name: name.into(),
            alpn: Some("h2".into()),
            version: 0x0303,
            decision: "terminated",
            reason: None,
            route: "".into(),
        }
    }

    #[test]
    fn what_both_have_read_is_compared() {
        let mut compared = Compared::default();
        compared.worker(&decided("a.test"));
        compared.kernel(&seen("a.test"));
        compared.worker(&decided("a.test"));
        compared.kernel(&seen("a.test"));
        compared.worker(&decided("b.test"));
        assert_eq!((compared.both, compared.differ), (2, 1));
    }

    #[test]
    fn both_are_shown_in_the_same_words() {
        let kernel = of_kernel("tls".into(), &seen("a.test"));
        assert_eq!(
            (kernel.version.as_deref(), &kernel.alpn[..]),
            (Some("1.3"), &["h2".into(), "more".into()][..])
        );
        assert_eq!(kernel.fingerprint.as_deref(), Some("0000000000000007"));
        let worker = of_worker(decided("a.test"));
        assert_eq!((worker.sni, worker.version.as_deref()), (kernel.sni, Some("1.2")));
        assert_eq!(version(0x7f12).as_deref(), Some("0x7f12"));
    }
}
