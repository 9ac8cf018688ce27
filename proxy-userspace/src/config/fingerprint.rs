//! Who wants to know what kind of client says so: a fingerprint is made for nobody else.

use std::collections::HashSet;

use super::ban::AutoBanEvent;
use super::limit::Per;
use super::model::Config;
use super::name::ListenerName;
use super::web::{
    AccessLogFormat, HeaderEdits, RewriteConfig, RouteAction, RouteConfig, Template, TemplatePart, Variable,
    WebListenerConfig,
};

impl Config {
    /// Whether somebody asks for the JA4 of a listener's clients: a template, a limit, an automatic ban, or the lines of
    /// its access log.
    pub fn wants_ja4(&self, listener: &WebListenerConfig) -> bool {
        let is_meant = |names: &[ListenerName]| names.is_empty() || names.contains(&listener.name);
        if !listener.has_hellos() {
            return false;
        }
        let json = self.server.access_log.as_ref().is_some_and(|log| log.format == AccessLogFormat::Json);
        (listener.access_log && json)
            || self.routes.iter().any(|route| route.listeners.contains(&listener.name) && route_asks(route))
            || self.limits.iter().any(|limit| is_meant(&limit.listeners) && limit_asks(&limit.per))
            || self
                .auto_bans
                .iter()
                .any(|ban| is_meant(&ban.listeners) && ban.events.contains(&AutoBanEvent::Ja4))
    }

    /// Fingerprints that some automatic ban of a listener counts.
    pub fn listed_ja4(&self, listener: &WebListenerConfig) -> HashSet<Box<str>> {
        let bans = self.auto_bans.iter().filter(|ban| ban.events.contains(&AutoBanEvent::Ja4));
        let bans = bans.filter(|ban| ban.listeners.is_empty() || ban.listeners.contains(&listener.name));
        bans.flat_map(|ban| ban.ja4.iter().cloned()).collect()
    }
}

fn limit_asks(per: &Per) -> bool {
    match per {
        Per::Ja4 => true,
        Per::Template(template) => asks(template),
        _ => false,
    }
}

fn route_asks(route: &RouteConfig) -> bool {
    let middleware = &route.middleware;
    let edits = |edits: &HeaderEdits| edits.set.iter().chain(&edits.add).any(|(_, value)| asks(value));
    let rewrite = match &middleware.rewrite_path {
        Some(RewriteConfig::To(template)) => asks(template),
        Some(RewriteConfig::Regex { .. }) | None => false,
    };
    let redirect = match &route.action {
        RouteAction::Redirect(redirect) => asks(&redirect.to),
        RouteAction::Pool(_) | RouteAction::Respond(_) | RouteAction::Refuse(_) => false,
    };
    !route.client_hello.ja4.is_empty()
        || rewrite
        || redirect
        || edits(&middleware.request_headers)
        || edits(&middleware.response_headers)
}

fn asks(template: &Template) -> bool {
    template.0.iter().any(|part| *part == TemplatePart::Variable(Variable::Ja4))
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    const HEAD: &str = "\
[listener.web]
bind = \"127.0.0.1:443\"
protocol = \"https\"

[listener.plain]
bind = \"127.0.0.1:80\"
protocol = \"http\"

[pool.app]
backends = [\"10.0.0.1:80\"]

[[route]]
listener = \"web\"
pool = \"app\"
";

    /// Which listeners' clients get a fingerprint.
    fn wanted(more: &str) -> Vec<String> {
        let config =
            parse(&format!("{HEAD}{more}\n[[route]]\nlistener = \"plain\"\npool = \"app\"\n"), "test");
        let config = config.unwrap();
        let listeners = config.web_listeners.iter();
        listeners.filter(|web| config.wants_ja4(web)).map(|web| web.name.to_string()).collect()
    }

    #[test]
    fn a_fingerprint_is_made_for_whoever_asks() {
        assert!(wanted("").is_empty());
        assert!(wanted("request_headers = { set = { x-name = \"{sni}\" } }").is_empty());
        for asks in [
            "request_headers = { set = { x-client = \"{ja4}\" } }",
            "response_headers = { add = { x-client = [\"a\", \"is {ja4}\"] } }",
            "rewrite_path = \"/{ja4}{path}\"",
        ] {
            assert_eq!(wanted(asks), ["web"], "{asks}");
        }
        let log = |format: &str| format!("[access_log]\nto = \"stdout\"\nformat = \"{format}\"\n");
        // Who comes without TLS has none.
        assert_eq!(wanted(&log("json")), ["web"]);
        assert!(wanted(&log("combined")).is_empty());
        let limit = |listener: &str, per: &str| {
            format!("[limit.calls]\n{listener}per = {per:?}\nrequests = \"10/s\"\n")
        };
        assert_eq!(wanted(&limit("", "ja4")), ["web"]);
        assert_eq!(wanted(&limit("listener = \"web\"\n", "{client_ip} {ja4}")), ["web"]);
        assert!(wanted(&limit("listener = \"plain\"\n", "{ja4}")).is_empty());
        assert!(wanted(&limit("", "sni")).is_empty());
    }
}
