//! What has become of the ways to prove a name: the one that worked is tried first, the one that failed last.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::ChallengeType;

/// Of one name. Whoever keeps certificates keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct History {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worked: Option<Box<str>>,
    /// And when, in seconds since 1970. What works is forgotten here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<Box<str>, u64>,
}

impl History {
    /// A CA was shown what it wanted to see.
    pub fn worked(&mut self, kind: ChallengeType) {
        self.failed.remove(name(kind));
        self.worked = Some(name(kind).into());
    }

    /// A CA looked in vain, or there was nothing to look at; when, in seconds since 1970.
    pub fn failed(&mut self, kind: ChallengeType, unix: u64) {
        self.failed.insert(name(kind).into(), unix);
    }

    /// The best first: what worked, what has not failed, what failed longest ago; otherwise as they stand.
    pub(super) fn sort(&self, kinds: &mut [ChallengeType]) {
        kinds.sort_by_key(|&kind| {
            let failed = self.failed.get(name(kind)).copied();
            (failed, self.worked.as_deref() != Some(name(kind)))
        });
    }
}

/// As RFC 8555 and RFC 8737 name it.
pub fn name(kind: ChallengeType) -> &'static str {
    match kind {
        ChallengeType::Http01 => "http-01",
        ChallengeType::TlsAlpn01 => "tls-alpn-01",
        ChallengeType::Dns01 => "dns-01",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_worked_comes_first_and_what_failed_last_comes_last() {
        use ChallengeType::{Dns01, Http01, TlsAlpn01};
        let mut history = History::default();
        let sorted = |history: &History| {
            let mut kinds = [TlsAlpn01, Http01, Dns01];
            history.sort(&mut kinds);
            kinds
        };
        assert_eq!(sorted(&history), [TlsAlpn01, Http01, Dns01]);
        history.failed(TlsAlpn01, 100);
        assert_eq!(sorted(&history), [Http01, Dns01, TlsAlpn01]);
        history.failed(Http01, 200);
        assert_eq!(sorted(&history), [Dns01, TlsAlpn01, Http01]);
        history.worked(Dns01);
        assert_eq!(sorted(&history), [Dns01, TlsAlpn01, Http01]);
        history.failed(Dns01, 300);
        assert_eq!(sorted(&history), [TlsAlpn01, Http01, Dns01]);
        history.worked(Http01);
        assert_eq!(sorted(&history), [Http01, TlsAlpn01, Dns01]);
        let kept = serde_json::to_string(&history).unwrap();
        assert_eq!(kept, r#"{"worked":"http-01","failed":{"dns-01":300,"tls-alpn-01":100}}"#);
        assert_eq!(serde_json::from_str::<History>(&kept).unwrap(), history);
        assert_eq!(serde_json::from_str::<History>("{}").unwrap(), History::default());
    }
}
