//! A request that nobody has sent, as people write it: what `explain` is asked.

use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::{Deserialize, Serialize};

use super::canonical::BadTarget;
use super::compiled::CompileError;
use super::explain::{Explanation, explain};
use super::host::{BadHost, Host};
use super::query::Query;
use super::target::RequestTarget;
use crate::config::{Config, WebBind};

/// A request that nobody has sent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// `https://app.example.com/path?query`.
    pub url: String,
    /// None: GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// `name: value`. A Host takes the place of the URL's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// None: 127.0.0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// None: the one that is bound to the URL's port, or the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listener: Option<String>,
}

/// A question that has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BadQuestion {
    /// It is no URL.
    #[error("{0:?} is no URL such as https://app.example.com/path")]
    Url(String),
    /// Its host is none.
    #[error("such a request is answered with 400: {0}")]
    Host(#[from] BadHost),
    /// Its path is none.
    #[error("such a request is answered with 400: {0}")]
    Target(#[from] BadTarget),
    /// A method that is none.
    #[error("{0:?} is no method")]
    Method(String),
    /// A field that is none.
    #[error("{0:?} is no field such as \"name: value\"")]
    Field(String),
    /// There is no such listener, or no telling which one is meant.
    #[error("{problem}: name one with --listener; there are: {}", .there.join(", "))]
    Listener {
        /// What is not clear.
        problem: String,
        /// The `http` listeners.
        there: Vec<String>,
    },
    /// There are no `http` listeners.
    #[error("the configuration has no http listener: requests go nowhere")]
    NoListener,
    /// The routes do not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// What a question says of the request.
struct Asked {
    port: u16,
    host: Host,
    target: RequestTarget,
    method: Method,
    headers: HeaderMap,
}

impl Question {
    /// Whether this is a request at all, whatever the configuration.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn check(&self) -> Result<(), BadQuestion> {
        self.read().map(drop)
    }

    /// Explains how the request would be routed.
    ///
    /// # Errors
    /// It makes no sense, or no listener is meant.
    pub fn explain(&self, config: &Config) -> Result<Explanation, BadQuestion> {
        let Asked { port, host, target, method, headers } = self.read()?;
        let client = self.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let listener = self.listener(config, port)?;
        let query = Query {
            listener,
            host: &host.name,
            target: &target,
            method: &method,
            headers: &headers,
            client,
            hello: None,
        };
        Ok(explain(&config.routes, &query)?)
    }

    fn read(&self) -> Result<Asked, BadQuestion> {
        let (scheme, authority, rest) = self.split()?;
        let mut headers = HeaderMap::new();
        let mut host = Host::parse(authority.as_bytes())?;
        let default_port = if matches!(scheme, "https" | "wss") { 443 } else { 80 };
        let port = host.port.unwrap_or(default_port);
        for field in &self.headers {
            let (name, value) = read_field(field).ok_or_else(|| BadQuestion::Field(field.clone()))?;
            if name == http::header::HOST {
                host = Host::parse(value.as_bytes())?;
            } else {
                headers.append(name, value);
            }
        }
        let method = self.method.as_deref().unwrap_or("GET");
        let bad_method = || BadQuestion::Method(method.to_owned());
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| bad_method())?;
        let target = RequestTarget::parse(Bytes::copy_from_slice(rest.as_bytes()))?;
        Ok(Asked { port, host, target, method, headers })
    }

    /// Scheme, authority, and the target with its slash.
    fn split(&self) -> Result<(&str, &str, String), BadQuestion> {
        let bad = || BadQuestion::Url(self.url.clone());
        let (scheme, rest) = self.url.split_once("://").ok_or_else(bad)?;
        if !matches!(scheme, "http" | "https" | "ws" | "wss") {
            return Err(bad());
        }
        // A fragment is never sent.
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.is_empty() {
            return Err(bad());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok((scheme, authority, format!("{slash}{target}")))
    }

    fn listener<'a>(&'a self, config: &'a Config, port: u16) -> Result<&'a str, BadQuestion> {
        let listeners = || config.web_listeners.iter().filter(|listener| !listener.is_quic());
        let names: Vec<&str> = listeners().map(|listener| listener.name.as_str()).collect();
        let problem = |problem: String| {
            let there = names.iter().map(|name| (*name).to_owned()).collect();
            Err(BadQuestion::Listener { problem, there })
        };
        if let Some(name) = self.listener.as_deref() {
            return match names.contains(&name) {
                true => Ok(name),
                false => problem(format!("there is no http listener {name}")),
            };
        }
        let is_bound = |bind: &WebBind| matches!(bind, WebBind::Tcp(address) if address.port() == port);
        let bound = listeners().filter(|listener| listener.bind.iter().any(is_bound));
        let bound: Vec<&str> = bound.map(|listener| listener.name.as_str()).collect();
        match (&bound[..], &names[..]) {
            (_, []) => Err(BadQuestion::NoListener),
            ([only], _) | ([], [only]) => Ok(only),
            ([], _) => problem(format!("no http listener is bound to port {port}")),
            _ => problem(format!("several http listeners are bound to port {port}")),
        }
    }
}

fn read_field(field: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = field.split_once(':')?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
    Some((name, HeaderValue::from_str(value.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_LISTENERS: &str = r#"
        [listener.web]
        bind = ["127.0.0.1:80", "127.0.0.1:8080"]
        protocol = "http"

        [listener.other]
        bind = ["127.0.0.1:8081"]
        protocol = "http"

        [[route]]
        name = "a"
        host = "a.test"
        method = "POST"
        header = { x-a = "1" }
        client_ip = "10.0.0.0/8"
        respond = { status = 200, body = "a" }

        [[route]]
        name = "rest"
        respond = { status = 404, body = "rest" }
    "#;

    fn ask(url: &str) -> Question {
        Question { url: url.to_owned(), method: None, headers: Vec::new(), client: None, listener: None }
    }

    fn answer(question: &Question) -> Result<Explanation, BadQuestion> {
        question.explain(&crate::config::parse(TWO_LISTENERS, "proxy.toml").unwrap())
    }

    #[test]
    fn a_question_is_a_whole_request() {
        let question = Question {
            method: Some("POST".to_owned()),
            headers: vec!["X-A: 1".to_owned(), "host: A.test.:8080".to_owned()],
            client: Some("10.1.2.3".parse().unwrap()),
            ..ask("http://127.0.0.1:8080//x?y#z")
        };
        let said = answer(&question).unwrap();
        assert_eq!((said.route.as_deref(), &*said.host, &*said.path), (Some("a"), "a.test", "/x"));
        assert_eq!(said.action.as_deref(), Some("respond 200"));
        assert_eq!(answer(&ask("http://a.test")).unwrap().route.as_deref(), Some("rest"));
    }

    #[test]
    fn the_listener_is_found_by_its_port() {
        let listener = |url: &str| answer(&ask(url)).map(|said| said.listener);
        assert_eq!(listener("http://a.test/").unwrap(), "web");
        assert_eq!(listener("ws://a.test:8081?x").unwrap(), "other");
        let error = listener("https://a.test/").unwrap_err().to_string();
        assert!(error.contains("443") && error.contains("web, other"), "{error}");
        let named = Question { listener: Some("other".to_owned()), ..ask("https://a.test/") };
        assert_eq!(answer(&named).unwrap().listener, "other");
    }

    #[test]
    fn what_is_no_request_is_said() {
        for (question, said) in [
            (ask("a.test/x"), "no URL"),
            (ask("ftp://a.test/"), "no URL"),
            (ask("http:///x"), "no URL"),
            (ask("http://user@a.test/"), "400: the host has user"),
            (ask("http://a.test/../x"), "400: the path leads above"),
            (Question { method: Some("G T".to_owned()), ..ask("http://a.test/") }, "no method"),
            (Question { headers: vec!["x".to_owned()], ..ask("http://a.test/") }, "no field"),
            (
                Question { listener: Some("none".to_owned()), ..ask("http://a.test/") },
                "no http listener none",
            ),
        ] {
            let error = answer(&question).unwrap_err().to_string();
            assert!(error.contains(said), "{question:?}: {error}");
        }
    }
}
