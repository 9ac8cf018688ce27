//! What the kernel part tells of limits that are exceeded: a line in the log now and then, and what clients may be kept
//! out for.

use crate::l4::{Exceeded, Hear};
use crate::limit::Said;
use crate::telemetry::abuse::{Deed, Event, Sink};

/// Writes it down, and tells whoever bans. Only of clients that have shown that they are there: nobody gets anybody else
/// banned by packets with made up sources.
pub(in crate::control) fn hear(abuse: &Sink) -> Hear {
    let (said, abuse) = (Said::new(), abuse.wanting([Deed::Limited]));
    Box::new(move |exceeded| {
        if let Some(silent) = said.speak(exceeded.hash) {
            log(exceeded, silent);
        }
        if let Some(event) = deed(exceeded) {
            abuse.tell(Deed::Limited, || event);
        }
    })
}

/// What a client did, if it is one.
fn deed(exceeded: &Exceeded) -> Option<Event> {
    (exceeded.proved && !exceeded.observed).then(|| Event {
        client: exceeded.client,
        listener: exceeded.listener.clone(),
        deed: Deed::Limited,
        ja4: None,
    })
}

fn log(exceeded: &Exceeded, silent: u64) {
    tracing::warn!(
        target: "limit",
        limit = %exceeded.limit,
        measure = exceeded.measure.name(),
        key = %exceeded.key,
        listener = &*exceeded.listener,
        client = %exceeded.client,
        observed = exceeded.observed,
        count = exceeded.count,
        others_unsaid = silent,
        "limit exceeded"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Measure;
    use crate::telemetry::abuse;

    #[test]
    fn only_clients_that_are_there_and_are_refused_are_told_of() {
        let (sink, mut events) = abuse::channel();
        let mut hear = hear(&sink);
        let mut exceeded = Exceeded {
            limit: "per-client".into(),
            measure: Measure::Packets,
            listener: "dns".into(),
            key: "192.0.2.7".into(),
            hash: 7,
            client: "192.0.2.7".parse().unwrap(),
            proved: false,
            observed: false,
            count: 3,
        };
        hear(&exceeded);
        assert_eq!(events.waiting(), None, "its source may be made up");
        (exceeded.proved, exceeded.observed) = (true, true);
        hear(&exceeded);
        assert_eq!(events.waiting(), None, "nothing was refused");
        exceeded.observed = false;
        hear(&exceeded);
        let told = events.waiting().unwrap();
        assert_eq!((told.client, &*told.listener, told.deed), (exceeded.client, "dns", Deed::Limited));
    }
}
