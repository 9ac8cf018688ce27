//! What must not be banned by mistake: whoever the configuration needs, and the session of the one who asks.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;

/// An address that is needed, and for what.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Needed {
    /// The address.
    pub address: IpAddr,
    /// What it is: `backend app`, `the default gateway`, …
    pub what: String,
}

/// All of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Guard {
    /// Whom the configuration needs. They are never kept out, whatever is banned.
    pub needed: Vec<Needed>,
    /// Proxies that a listener trusts: whoever bans one bans all who come through it. And which listener that is.
    pub trusted: Vec<(IpNet, String)>,
    /// Where bans are written down.
    pub audit_log: Option<PathBuf>,
}

/// Objections that are said one by one.
const SAID: usize = 5;

impl Guard {
    /// What speaks against banning this; `session`: from where the operator is logged in.
    pub fn objections(&self, prefix: &IpNet, session: Option<IpAddr>) -> Vec<String> {
        let mut said = Vec::new();
        if prefix.prefix_len() == 0 {
            said.push(format!("{prefix} is everybody"));
        }
        if let Some(session) = session.map(|session| session.to_canonical())
            && prefix.contains(&session)
        {
            said.push(format!("it covers {session}, where your own session comes from"));
        }
        let covered: Vec<_> = self.needed.iter().filter(|needed| prefix.contains(&needed.address)).collect();
        said.extend(
            covered.iter().take(SAID).map(|needed| format!("it covers {}, {}", needed.address, needed.what)),
        );
        if covered.len() > SAID {
            said.push(format!("and {} more that the configuration needs", covered.len() - SAID));
        }
        let of_proxies =
            |(proxies, _): &&(IpNet, String)| proxies.contains(prefix) || prefix.contains(proxies);
        said.extend(self.trusted.iter().filter(of_proxies).take(1).map(|(proxies, listener)| {
            format!(
                "listener {listener} trusts proxies at {proxies}, whose clients would be banned with them"
            )
        }));
        said
    }

    /// The prefixes that are never kept out for this.
    pub fn prefixes(&self) -> Vec<IpNet> {
        let mut prefixes: Vec<IpNet> = self.needed.iter().map(|needed| needed.address.into()).collect();
        prefixes.extend([
            IpNet::from(IpAddr::from([127, 0, 0, 1])),
            IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]).into(),
        ]);
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_cut_somebody_off_is_said() {
        let needed =
            |address: &str, what: &str| Needed { address: address.parse().unwrap(), what: what.into() };
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        let guard = Guard {
            audit_log: None,
            trusted: vec![(net("172.16.0.0/16"), "web".into())],
            needed: vec![
                needed("10.0.0.11", "a backend of pool app"),
                needed("192.0.2.1", "the default gateway"),
            ],
        };
        let session = Some("198.51.100.7".parse().unwrap());
        assert_eq!(guard.objections(&net("203.0.113.0/24"), session), Vec::<String>::new());
        assert_eq!(
            guard.objections(&net("10.0.0.0/8"), session),
            ["it covers 10.0.0.11, a backend of pool app"]
        );
        assert_eq!(
            guard.objections(&net("198.51.100.0/24"), session),
            ["it covers 198.51.100.7, where your own session comes from"]
        );
        for prefix in ["172.16.7.7/32", "172.16.0.0/12"] {
            let said = guard.objections(&net(prefix), session);
            assert!(said[0].starts_with("listener web trusts proxies at 172.16.0.0/16"), "{said:?}");
        }
        assert_eq!(guard.objections(&net("0.0.0.0/0"), session).len(), 5);
        assert_eq!(guard.objections(&net("::/0"), session), ["::/0 is everybody"]);
    }
}
