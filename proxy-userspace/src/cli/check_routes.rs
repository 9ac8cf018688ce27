//! Routes and `http` listeners, as `check` shows them.

use serde_json::{Value as Json, json};

use super::output::{Table, left};
use crate::config::{
    Config, FieldCondition, HostPattern, PathPattern, QueryCondition, RouteAction, RouteConfig, Template,
    TemplatePart, ValuePattern, Variable, WebListenerConfig,
};

/// Routes that are shown to people; programs get all.
const SHOWN: usize = 100;

/// A row of the table of listeners.
pub(super) fn listener_row(config: &Config, listener: &WebListenerConfig) -> [String; 6] {
    let routes = config.routes.iter().filter(|route| route.listeners.contains(&listener.name)).count();
    let bind: Vec<_> = listener.bind.iter().map(ToString::to_string).collect();
    let routes = if routes == 1 { "1 route".to_owned() } else { format!("{routes} routes") };
    [
        listener.name.to_string(),
        bind.join(", "),
        protocol(listener).to_owned(),
        "-".to_owned(),
        routes,
        "-".to_owned(),
    ]
}

fn protocol(listener: &WebListenerConfig) -> &'static str {
    listener.protocol()
}

/// The table of routes, and how many are not in it.
pub(super) fn table(config: &Config) -> (Table, usize) {
    let mut table =
        Table::new([left("ROUTE"), left("LISTENER"), left("HOST"), left("PATH"), left("IF"), left("TO")]);
    for route in config.routes.iter().take(SHOWN) {
        let listeners: Vec<_> = route.listeners.iter().map(ToString::to_string).collect();
        table.row([
            route.name.to_string(),
            listeners.join(", "),
            or_any(&hosts(route)),
            path(route),
            or_any(&conditions(route)),
            action(&route.action),
        ]);
    }
    (table, config.routes.len().saturating_sub(SHOWN))
}

/// A listener for programs.
pub(super) fn listener_json(listener: &WebListenerConfig) -> Json {
    json!({
        "name": listener.name,
        "bind": listener.bind.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "protocol": protocol(listener),
        "http2": listener.http2,
        "proxy_protocol": listener.proxy_protocol,
        "redirect_https": listener.redirect_https.as_ref().map(|redirect| &redirect.listener),
    })
}

/// A route for programs.
pub(super) fn route_json(route: &RouteConfig) -> Json {
    json!({
        "name": &*route.name,
        "line": route.line,
        "listeners": &route.listeners,
        "hosts": hosts(route),
        "path": path(route),
        "conditions": conditions(route),
        "to": action(&route.action),
    })
}

fn or_any(words: &[String]) -> String {
    if words.is_empty() { "any".to_owned() } else { words.join(", ") }
}

fn hosts(route: &RouteConfig) -> Vec<String> {
    route.hosts.iter().map(HostPattern::to_string).collect()
}

fn path(route: &RouteConfig) -> String {
    match &route.path {
        PathPattern::Any => "any".to_owned(),
        PathPattern::Exact(path) => format!("= {path}"),
        PathPattern::Prefix(path) => path.to_string(),
        PathPattern::Regex(regex) => format!("~ {regex}"),
    }
}

/// Everything but host and path.
fn conditions(route: &RouteConfig) -> Vec<String> {
    let mut all = Vec::new();
    if !route.methods.is_empty() {
        let methods: Vec<_> = route.methods.iter().map(ToString::to_string).collect();
        all.push(format!("method {}", methods.join("|")));
    }
    let header = |header: &FieldCondition| format!("header {}{}", header.name, value(&header.value));
    all.extend(route.headers.iter().map(header));
    let query = |query: &QueryCondition| format!("query {}{}", query.name, value(&query.value));
    all.extend(route.query.iter().map(query));
    if !route.client_ip.is_empty() {
        let networks: Vec<_> = route.client_ip.iter().map(ToString::to_string).collect();
        all.push(format!("client_ip {}", networks.join("|")));
    }
    if !route.client_hello.is_empty() {
        all.push(format!("client_hello {}", route.client_hello));
    }
    if route.passthrough {
        all.push("passthrough".to_owned());
    }
    all
}

fn value(value: &ValuePattern) -> String {
    match value {
        ValuePattern::Present => String::new(),
        ValuePattern::Absent => " absent".to_owned(),
        ValuePattern::Exact(text) => format!(" = {text:?}"),
        ValuePattern::Regex(regex) => format!(" ~ {regex}"),
    }
}

fn action(action: &RouteAction) -> String {
    match action {
        RouteAction::Pool(pool) => format!("pool {pool}"),
        RouteAction::Redirect(redirect) => format!("{} {}", redirect.status.as_u16(), template(&redirect.to)),
        RouteAction::Respond(respond) => format!("answer {}", respond.status.as_u16()),
        RouteAction::Refuse(refuse) => format!("refuse by {}", refuse.word()),
    }
}

/// As it was written.
fn template(template: &Template) -> String {
    let part = |part: &TemplatePart| match part {
        TemplatePart::Literal(text) => text.replace('{', "{{").replace('}', "}}"),
        TemplatePart::Variable(Variable::Header(name)) => format!("{{header.{name}}}"),
        TemplatePart::Variable(Variable::Cookie(name)) => format!("{{cookie.{name}}}"),
        TemplatePart::Variable(variable) => format!("{{{}}}", variable.name()),
    };
    template.0.iter().map(part).collect()
}
