//! A connection that nobody has made: what `explain` is asked of ClientHellos, and why it goes where it goes. Goes
//! through the routes one by one in the order of precedence, without the graph.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use super::explain::{Considered, Verdict, best_host};
use super::hello::{self, Hello};
use super::host::{BadHost, Host};
use super::steering::conditions;
use super::words;
use crate::config::{Config, HostPattern, RouteAction, RouteConfig, WebListenerConfig};

/// A ClientHello that nobody has sent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelloQuestion {
    /// The host that it names; none: it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// Protocols that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// The highest version that it speaks; none: 1.3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u16>,
    /// Cipher suites that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ciphers: Vec<u16>,
    /// Groups that it offers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<u16>,
    /// Its fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
    /// None: 127.0.0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// None: the only one that there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

/// A question that has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BadHelloQuestion {
    /// Its name is none.
    #[error("{0:?} is no name that a client could send: {1}")]
    Name(String, BadHost),
    /// There is no such listener, or no telling which one is meant.
    #[error("{problem}: name one with --listener; there are: {}", .there.join(", "))]
    Listener {
        /// What is not clear.
        problem: String,
        /// The `https`, `tls` and `quic` listeners.
        there: Vec<String>,
    },
    /// There are none.
    #[error("the configuration has no https, tls or quic listener: nobody reads a ClientHello")]
    NoListener,
}

/// Where a connection goes, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelloExplanation {
    /// The listener.
    pub listener: String,
    /// The name, canonical; empty: none.
    pub sni: String,
    /// `terminate`, `pass` or `refuse`.
    pub decision: String,
    /// The route that says so; none: none matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// What is done, in words.
    pub action: String,
    /// The routes of the listener and host, in the order of precedence.
    pub considered: Vec<Considered>,
    /// How many routes have other listeners or hosts.
    pub elsewhere: usize,
}

impl HelloQuestion {
    /// Explains where the connection would go.
    ///
    /// # Errors
    /// The question makes no sense, or no listener is meant.
    pub fn explain(&self, config: &Config) -> Result<HelloExplanation, BadHelloQuestion> {
        let name = self.sni.as_deref().unwrap_or_default();
        let host = match name {
            "" => String::new(),
            name => Host::parse(name.as_bytes())
                .map_err(|error| BadHelloQuestion::Name(name.to_owned(), error))?
                .name
                .to_string(),
        };
        let listener = self.listener(config)?;
        let hello = Hello {
            alpn: self.alpn.iter().map(|name| name.as_bytes().into()).collect(),
            version: self.version.unwrap_or(0x0304),
            ciphers: self.ciphers.clone().into(),
            groups: self.groups.clone().into(),
            ja4: self.ja4.as_deref().map(Into::into),
        };
        let client = self.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_canonical();
        let candidates = candidates(config, listener, &host);
        let taken = candidates.iter().position(|(route, _)| refusal(route, client, &hello).is_none());
        let considered = (0..).zip(&candidates).map(|(at, (route, pattern))| {
            let (verdict, why) = match refusal(route, client, &hello) {
                Some(why) => (Verdict::Refused, why),
                None if taken == Some(at) => (Verdict::Taken, String::new()),
                None => (Verdict::Outranked, "another one comes before it".into()),
            };
            let pattern = words::host(*pattern);
            Considered { route: route.name.to_string(), line: route.line, pattern, verdict, why }
        });
        let considered: Vec<_> = considered.collect();
        let route = taken.map(|at| candidates[at].0);
        let (decision, action) = decision(listener, route);
        Ok(HelloExplanation {
            listener: listener.name.to_string(),
            sni: host,
            decision: decision.to_owned(),
            route: route.map(|route| route.name.to_string()),
            action,
            elsewhere: config.routes.len() - considered.len(),
            considered,
        })
    }

    fn listener<'a>(&self, config: &'a Config) -> Result<&'a WebListenerConfig, BadHelloQuestion> {
        let all: Vec<_> = config.web_listeners.iter().filter(|listener| listener.has_hellos()).collect();
        let problem = |problem: String| {
            let there = all.iter().map(|listener| listener.name.to_string()).collect();
            Err(BadHelloQuestion::Listener { problem, there })
        };
        match (&self.listener, &all[..]) {
            (_, []) => Err(BadHelloQuestion::NoListener),
            (None, [only]) => Ok(only),
            (None, _) => problem("several listeners read ClientHellos".to_owned()),
            (Some(name), all) => match all.iter().find(|listener| listener.name.as_str() == name) {
                Some(listener) => Ok(listener),
                None => problem(format!("there is no https, tls or quic listener {name}")),
            },
        }
    }
}

/// The routes whose listener and host match, in the order of precedence.
fn candidates<'a>(
    config: &'a Config,
    listener: &WebListenerConfig,
    host: &str,
) -> Vec<(&'a RouteConfig, Option<&'a HostPattern>)> {
    let mut found: Vec<_> = (0..)
        .zip(&config.routes)
        .filter(|(_, route)| route.listeners.contains(&listener.name))
        .filter_map(|(index, route): (u32, _)| {
            let (rank, pattern) = best_host(route, host)?;
            Some(((rank, Reverse(conditions(route)), index), route, pattern))
        })
        .collect();
    found.sort_by_key(|(rank, ..)| *rank);
    found.into_iter().map(|(_, route, pattern)| (route, pattern)).collect()
}

/// Why a route does not take the connection.
fn refusal(route: &RouteConfig, client: IpAddr, said: &Hello) -> Option<String> {
    if !route.client_ip.is_empty() && !route.client_ip.iter().any(|network| network.contains(&client)) {
        return Some(format!("the client {client} is of none of its networks"));
    }
    let unlike = hello::refusal(&route.client_hello, said)?;
    Some(hello::words(unlike, &route.client_hello, said))
}

fn decision(listener: &WebListenerConfig, route: Option<&RouteConfig>) -> (&'static str, String) {
    let Some(route) = route else {
        return match listener.is_raw() {
            true if listener.is_quic() => ("refuse", "dropped: no route matches".to_owned()),
            true => ("refuse", "refused by an alert: no route matches".to_owned()),
            false => ("terminate", "decrypted here: no route says otherwise".to_owned()),
        };
    };
    match &route.action {
        RouteAction::Refuse(_) if listener.is_quic() => ("refuse", "refused: drop".to_owned()),
        RouteAction::Refuse(how) => ("refuse", format!("refused: {}", how.word())),
        RouteAction::Pool(pool) if route.passthrough => {
            ("pass", format!("passed through to pool {pool}, undecrypted"))
        }
        RouteAction::Pool(pool) if listener.is_raw() => {
            ("terminate", format!("decrypted here, and relayed to pool {pool}"))
        }
        _ => ("terminate", "decrypted here: its requests find their own routes".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [listener.web]
        bind = "127.0.0.1:443"
        protocol = "https"

        [pool.app]
        backends = ["10.0.0.1:443"]

        [[route]]
        name = "vault"
        host = "*.test"
        client_hello = { alpn = "h2", min_version = "1.3" }
        passthrough = true
        pool = "app"

        [[route]]
        name = "old"
        client_hello = { max_version = "1.1" }
        refuse = "reset"

        [[route]]
        name = "rest"
        pool = "app"
    "#;

    fn ask(question: &HelloQuestion) -> HelloExplanation {
        question.explain(&crate::config::parse(CONFIG, "proxy.toml").unwrap()).unwrap()
    }

    #[test]
    fn a_client_hello_is_explained_with_all_that_refused_it() {
        let named =
            HelloQuestion { sni: Some("A.test".into()), alpn: vec!["h2".into()], ..HelloQuestion::default() };
        let said = ask(&named);
        assert_eq!((&*said.decision, said.route.as_deref(), &*said.sni), ("pass", Some("vault"), "a.test"));
        let old = ask(&HelloQuestion { version: Some(0x0302), ..named });
        assert_eq!((&*old.decision, old.route.as_deref()), ("refuse", Some("old")));
        assert!(old.considered[0].why.contains("speaks 1.1 at best, not 1.3"), "{old:?}");
        assert_eq!(old.considered[2].verdict, Verdict::Outranked);
        let plain = ask(&HelloQuestion::default());
        assert_eq!(
            (&*plain.decision, plain.route.as_deref(), plain.elsewhere),
            ("terminate", Some("rest"), 1)
        );
    }

    #[test]
    fn a_question_without_an_answer_says_what_is_missing() {
        let config = crate::config::parse(CONFIG, "proxy.toml").unwrap();
        let of =
            |listener: &str| HelloQuestion { listener: Some(listener.into()), ..HelloQuestion::default() };
        let error = of("db").explain(&config).unwrap_err().to_string();
        assert!(error.contains("no https, tls or quic listener db") && error.contains("web"), "{error}");
        let bad = HelloQuestion { sni: Some("a b".into()), ..HelloQuestion::default() };
        assert!(bad.explain(&config).is_err());
    }
}
