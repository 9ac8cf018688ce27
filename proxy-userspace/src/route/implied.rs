//! Whether what one route asks for, beside host and path, follows from what another one asks for.

use ipnet::IpNet;

use super::hello;
use crate::config::{RouteConfig, ValuePattern};

/// Whether every request that meets the conditions of `narrow` meets those of `wide`. False if that is not sure.
pub(super) fn implies(narrow: &RouteConfig, wide: &RouteConfig) -> bool {
    let methods = wide.methods.is_empty()
        || !narrow.methods.is_empty() && narrow.methods.iter().all(|method| wide.methods.contains(method));
    let within = |inner: &IpNet| wide.client_ip.iter().any(|outer| outer.contains(inner));
    let clients =
        wide.client_ip.is_empty() || !narrow.client_ip.is_empty() && narrow.client_ip.iter().all(within);
    methods
        && clients
        && hello::implies(&narrow.client_hello, &wide.client_hello)
        && wide.headers.iter().all(|wanted| {
            let mut given = narrow.headers.iter().filter(|given| given.name == wanted.name);
            given.any(|given| value_implies(&given.value, &wanted.value))
        })
        && wide.query.iter().all(|wanted| {
            let mut given = narrow.query.iter().filter(|given| given.name == wanted.name);
            given.any(|given| value_implies(&given.value, &wanted.value))
        })
}

fn value_implies(given: &ValuePattern, wanted: &ValuePattern) -> bool {
    match (given, wanted) {
        (ValuePattern::Present | ValuePattern::Exact(_) | ValuePattern::Regex(_), ValuePattern::Present) => {
            true
        }
        (ValuePattern::Exact(value), ValuePattern::Regex(text)) => {
            regex::bytes::Regex::new(text).is_ok_and(|regex| regex.is_match(value.as_bytes()))
        }
        (given, wanted) => given == wanted,
    }
}
