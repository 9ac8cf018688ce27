//! What a request must be beside its host and path.

use std::net::IpAddr;

use http::{HeaderName, Method};
use ipnet::IpNet;
use regex::bytes::Regex;

use super::hello::{self, Unlike};
use super::query::{Query, parameters};
use super::rule::Regexes;
use crate::config::{HelloCondition, RouteConfig, ValuePattern};

/// The conditions of a route, compiled.
#[derive(Debug)]
pub(super) struct Conditions {
    methods: Box<[Method]>,
    clients: Box<[IpNet]>,
    headers: Box<[(HeaderName, ValueRule)]>,
    query: Box<[(Box<str>, ValueRule)]>,
    hello: Option<HelloCondition>,
}

/// The condition that does not hold, as an index where there are several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    Method,
    Client,
    Header(usize),
    Query(usize),
    /// None: there is no ClientHello.
    Hello(Option<Unlike>),
}

#[derive(Debug)]
enum ValueRule {
    Present,
    Absent,
    Exact(Box<str>),
    Regex(Regex),
}

impl Conditions {
    /// Compiles the conditions of a route; none if it has none.
    pub(super) fn compile(route: &RouteConfig, regexes: &mut Regexes) -> Result<Option<Self>, regex::Error> {
        let mut headers = Vec::with_capacity(route.headers.len());
        for field in &route.headers {
            headers.push((field.name.clone(), ValueRule::compile(&field.value, regexes)?));
        }
        let mut query = Vec::with_capacity(route.query.len());
        for parameter in &route.query {
            query.push((parameter.name.clone(), ValueRule::compile(&parameter.value, regexes)?));
        }
        let some = super::rank::conditions(route) > 0;
        Ok(some.then(|| Self {
            methods: route.methods.clone().into(),
            clients: route.client_ip.clone().into(),
            headers: headers.into(),
            query: query.into(),
            hello: (!route.client_hello.is_empty()).then(|| route.client_hello.clone()),
        }))
    }

    /// The first condition that does not hold. The cheap ones are asked first.
    pub(super) fn refusal(&self, request: &Query<'_>) -> Option<Refusal> {
        if !self.methods.is_empty() && !self.methods.contains(request.method) {
            return Some(Refusal::Method);
        }
        if !self.clients.is_empty() && !covers(&self.clients, request.client) {
            return Some(Refusal::Client);
        }
        if let Some(wanted) = &self.hello {
            let unlike = request.hello.map(|hello| hello::refusal(wanted, hello));
            match unlike {
                None => return Some(Refusal::Hello(None)),
                Some(Some(unlike)) => return Some(Refusal::Hello(Some(unlike))),
                Some(None) => {}
            }
        }
        let header = self.headers.iter().position(|(name, rule)| {
            !rule.holds(|value| request.headers.map().get_all(name).iter().any(|line| value(line.as_bytes())))
        });
        if let Some(index) = header {
            return Some(Refusal::Header(index));
        }
        let query = request.target.query().unwrap_or_default();
        let parameter = self.query.iter().position(|(name, rule)| {
            !rule.holds(|value| {
                parameters(query).any(|(key, given)| *key == *name.as_bytes() && value(&given))
            })
        });
        parameter.map(Refusal::Query)
    }
}

/// An IPv4 client may come by an IPv6 socket.
fn covers(networks: &[IpNet], client: IpAddr) -> bool {
    let client = client.to_canonical();
    networks.iter().any(|network| network.contains(&client))
}

impl ValueRule {
    fn compile(pattern: &ValuePattern, regexes: &mut Regexes) -> Result<Self, regex::Error> {
        Ok(match pattern {
            ValuePattern::Present => Self::Present,
            ValuePattern::Absent => Self::Absent,
            ValuePattern::Exact(value) => Self::Exact(value.clone()),
            ValuePattern::Regex(text) => Self::Regex(regexes.get(text)?),
        })
    }

    /// Whether it holds: `any` tells whether one of the values is as its argument says.
    fn holds(&self, any: impl Fn(&dyn Fn(&[u8]) -> bool) -> bool) -> bool {
        match self {
            Self::Present => any(&|_| true),
            Self::Absent => !any(&|_| true),
            Self::Exact(exact) => any(&|value| value == exact.as_bytes()),
            Self::Regex(regex) => any(&|value| regex.is_match(value)),
        }
    }
}
