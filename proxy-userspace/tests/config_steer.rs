//! What a configuration says of connections that are steered by their ClientHello.

use proxy_userspace::config::{Config, Refuse, RouteAction, StartTls, parse};

const HEAD: &str = r#"
[listener.web]
bind = "127.0.0.1:443"
protocol = "https"

[listener.db]
bind = "127.0.0.1:5432"
protocol = "tls"
starttls = "postgres"
handoff = false
limits = { relay_idle = "1h", relay_total = "1d" }

[listener.plain]
bind = "127.0.0.1:80"
protocol = "http"

[pool.app]
backends = ["10.0.0.1:443"]

[[route]]
listener = "plain"
pool = "app"
"#;

fn good(more: &str) -> Config {
    parse(&format!("{HEAD}{more}"), "test").unwrap_or_else(|errors| panic!("{errors}"))
}

fn said(more: &str) -> String {
    parse(&format!("{HEAD}{more}"), "test").map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_tls_listener_relays_connections() {
    let config = good("[[route]]\nhost = \"db.test\"\npassthrough = true\npool = \"app\"\n");
    let db = &config.web_listeners[1];
    assert!(db.is_raw() && !db.steer.handoff && db.protocol() == "tls");
    assert_eq!(db.steer.starttls, Some(StartTls::Postgres));
    assert_eq!(db.limits.relay_idle.as_secs(), 3600);
    assert_eq!(db.limits.relay_total.map(|total| total.as_secs()), Some(86_400));
    let names: Vec<_> = config.routes[1].listeners.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["web", "db"]);
    // No certificate is wanted of a name that is never decrypted.
    assert!(config.tls.hosts.is_empty(), "{:?}", config.tls.hosts);
}

#[test]
fn a_route_without_listeners_is_for_those_that_it_can_be_for() {
    let config = good(
        "[[route]]\nrefuse = \"drop\"\nclient_hello = { max_version = \"1.1\" }\n\
         [[route]]\nclient_hello = { alpn = \"h2\" }\npool = \"app\"\n[[route]]\npath = \"/x\"\nrespond = 404\n\
         [[route]]\nlistener = \"db\"\nhost = \"own.test\"\npool = \"app\"\n",
    );
    let listeners =
        |at: usize| -> Vec<String> { config.routes[at].listeners.iter().map(ToString::to_string).collect() };
    assert_eq!(config.routes[1].action, RouteAction::Refuse(Refuse::Drop));
    assert_eq!(listeners(1), ["web", "db"]);
    assert_eq!(listeners(2), ["web"]);
    assert_eq!(listeners(3), ["web", "plain"]);
    // What a tls listener decrypts has a certificate.
    let hosts: Vec<_> = config.tls.hosts.keys().map(ToString::to_string).collect();
    assert_eq!(hosts, ["own.test"]);
}

#[test]
fn what_cannot_be_is_said_with_a_reason_and_all_at_once() {
    let all = said(
        r#"
[[route]]
listener = "web"
passthrough = true
path = "/x"
method = "GET"
timeout = "1s"
pool = "app"

[[route]]
listener = "plain"
client_hello = { min_version = "1.3", max_version = "1.2" }
pool = "app"

[[route]]
listener = "plain"
passthrough = true
pool = "app"

[[route]]
listener = "db"
path = "/x"
respond = 404

[[route]]
listener = "web"
passthrough = true
refuse = "reset"

[[route]]
listener = "web"
client_hello = { cipher = "TLS_AES_128_GCM_SHA265", alpn = "" }
refuse = "rst"
"#,
    );
    for part in [
        "path is about requests",
        "method is about requests",
        "timeout is about requests",
        "never decrypted",
        "1.3 or later at best, and 1.2 or earlier",
        "listener \"plain\" speaks HTTP without TLS",
        "listener \"db\" relays connections and reads no requests: path, respond",
        "a connection that is refused is not passed through",
        "did you mean \"TLS_AES_128_GCM_SHA256\"",
        "1 to 255 visible characters",
        "refuse = \"rst\"",
    ] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
}

#[test]
fn keys_of_other_protocols_are_refused() {
    let all = said(
        r#"
[listener.two]
bind = "127.0.0.1:5433"
protocol = "tls"
http2 = false
hsts = true
redirect_https = true
pool = "app"

[listener.three]
bind = "127.0.0.1:81"
protocol = "http"
handoff = false
starttls = "smtp"

[listener.four]
bind = "127.0.0.1:5434"
protocol = "tls"
starttls = "imap"
"#,
    );
    for part in [
        "http2 has a meaning for http and https listeners only",
        "hsts has a meaning for https listeners only",
        "redirect_https has a meaning for http listeners only",
        "names no pool: its routes do",
        "handoff has a meaning for https, tls and quic listeners only",
        "starttls has a meaning for tls listeners only",
        "this build knows how PostgreSQL and SMTP ask for TLS",
    ] {
        assert!(all.contains(part), "{part} is not in:\n{all}");
    }
}

#[test]
fn a_pool_that_would_encrypt_again_is_told_of() {
    let config = good(
        "[[route]]\nhost = \"db.test\"\npassthrough = true\npool = \"sealed\"\n[pool.sealed]\n\
         backends = [\"10.0.0.2:443\"]\ntls = true\n",
    );
    let warnings: Vec<_> = config.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|one| one.contains("in TLS already")), "{warnings:?}");
}

#[test]
fn a_listener_of_quic_has_an_address_and_routes_together_with_those_of_tls() {
    let config = good(
        "[listener.h3]\nbind = \"127.0.0.1:443\"\nprotocol = \"quic\"\n\
         [[route]]\nhost = \"a.test\"\npassthrough = true\npool = \"app\"\n\
         [[route]]\nlistener = \"h3\"\nhost = \"b.test\"\nrefuse = \"drop\"\n",
    );
    let h3 = config.web_listeners.iter().find(|listener| listener.name.as_str() == "h3").unwrap();
    assert!(h3.is_raw() && h3.is_quic() && h3.has_hellos() && h3.tls.is_none());
    assert_eq!((h3.protocol(), h3.limits.relay_idle.as_secs()), ("quic", 120));
    let names: Vec<_> = config.routes[1].listeners.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["web", "db", "h3"]);
}

#[test]
fn what_cannot_be_by_quic_is_said() {
    let said = said(
        "[listener.h3]\nbind = [\"0.0.0.0:443\", \"unix:/x\"]\nprotocol = \"quic\"\nhttp2 = true\nstarttls = \"smtp\"\n\
         proxy_protocol = true\n[listener.h3b]\nbind = \"127.0.0.1:443\"\nprotocol = \"quic\"\n\
         [listener.h3c]\nbind = \"127.0.0.1:443\"\nprotocol = \"quic\"\n\
         [[route]]\nlistener = \"h3b\"\npool = \"app\"\n[[route]]\nlistener = \"h3b\"\nrefuse = \"reset\"\n\
         [[route]]\nlistener = \"h3c\"\nhost = \"a.test\"\npassthrough = true\npool = \"proxied\"\n\
         [pool.proxied]\nbackends = [\"10.0.0.2:443\"]\nsend_proxy_protocol = \"v2\"\n",
    );
    for words in [
        "cannot be bound to 0.0.0.0:443",
        "cannot be bound to unix:/x",
        "http2 has a meaning for http and https listeners only",
        "starttls has a meaning for tls listeners only",
        "proxy_protocol has a meaning for http, https and tls listeners only",
        "listener \"h3c\" is bound to 127.0.0.1:443 (udp), and so is listener \"h3b\"",
        "must pass its connections through",
        "are not told that they are refused",
        "pool \"proxied\" wants a PROXY protocol header",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}
