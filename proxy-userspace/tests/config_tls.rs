//! What a good configuration of `https` listeners, certificates and hosts means.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proxy_userspace::config::{
    self, CertificateFiles, CertificateFrom, ClientAuthConfig, Config, HostPattern, HstsConfig,
    ListenerTlsConfig, OcspConfig, RedirectHttps, TicketsConfig, TlsConfig, TlsPolicy,
};

fn parse(text: &str) -> Config {
    config::parse(text, "proxy.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

const SMALLEST: &str = r#"
[listener.web]
bind = "0.0.0.0:80"
protocol = "http"

[listener.secure]
bind = "0.0.0.0:443"
protocol = "https"

[[route]]
host = "app.example.com"
respond = 204
"#;

fn exact(host: &str) -> HostPattern {
    HostPattern::Exact(host.into())
}

fn hosts(config: &Config) -> Vec<(String, CertificateFrom, Vec<&str>)> {
    let host = |(host, tls): (&HostPattern, &config::HostTlsConfig)| {
        let listeners = config.web_listeners.iter().map(|listener| &listener.name);
        let listeners = listeners.filter(|name| tls.listeners.contains(name)).map(|name| name.as_str());
        (host.to_string(), tls.from, listeners.collect())
    };
    config.tls.hosts.iter().map(host).collect()
}

#[test]
fn writing_a_host_name_is_enough() {
    let config = parse(SMALLEST);
    assert_eq!(config.warnings, []);
    let [web, secure] = &config.web_listeners[..] else { panic!("{:?}", config.web_listeners) };
    assert_eq!((&web.tls, &secure.tls), (&None, &Some(ListenerTlsConfig::default())));
    assert_eq!(hosts(&config), [("app.example.com".to_owned(), CertificateFrom::Auto, vec!["secure"])]);
    assert_eq!(config.tls, TlsConfig { hosts: config.tls.hosts.clone(), ..TlsConfig::default() });
    let redirect = RedirectHttps { listener: "secure".into(), port: 443 };
    assert_eq!((&web.redirect_https, &secure.redirect_https), (&Some(redirect), &None));
}

#[test]
fn certificates_and_tickets_are_files() {
    let text = r#"
[tls]
directory = "/etc/certs"
tickets = { rotate = "6h", key_file = "/etc/tickets.key" }
[[tls.certificate]]
cert = "/etc/a.pem"
[[tls.certificate]]
cert = "/etc/b.crt"
key = "/etc/b.key"
ocsp = true
[[tls.certificate]]
cert = "/etc/c.crt"
key = "/etc/c.key"
ocsp = "http://ocsp.example.com/x"
"#;
    let tls = parse(&format!("{SMALLEST}{text}")).tls;
    let files = |chain: &str, key: &str, ocsp| CertificateFiles {
        chain: PathBuf::from(chain),
        key: PathBuf::from(key),
        ocsp,
    };
    let wanted = [
        files("/etc/a.pem", "/etc/a.pem", None),
        files("/etc/b.crt", "/etc/b.key", Some(OcspConfig::Named)),
        files("/etc/c.crt", "/etc/c.key", Some(OcspConfig::Url("http://ocsp.example.com/x".into()))),
    ];
    assert_eq!(tls.certificates, wanted);
    assert_eq!(tls.directories, [PathBuf::from("/etc/certs")]);
    let key_file = Some(PathBuf::from("/etc/tickets.key"));
    assert_eq!(tls.tickets, TicketsConfig { rotate: Duration::from_secs(6 * 3600), key_file });
}

#[test]
fn a_listener_says_what_tls_is_like() {
    let text = SMALLEST.replace(
        "protocol = \"https\"",
        r#"protocol = "https"
hsts = { max_age = "730d", include_subdomains = true, preload = true }
[listener.secure.tls]
policy = "modern"
default = "*.Example.com"
client_auth = { ca = "/etc/ca.pem", mode = "optional", crl = "/etc/ca.crl", headers = false }"#,
    );
    let auth = ClientAuthConfig {
        ca: "/etc/ca.pem".into(),
        optional: true,
        crl: Some("/etc/ca.crl".into()),
        headers: false,
    };
    let hsts =
        HstsConfig { max_age: Duration::from_secs(730 * 86_400), include_subdomains: true, preload: true };
    let wanted = ListenerTlsConfig {
        policy: TlsPolicy::Modern,
        strict_sni: false,
        default: Some("*.example.com".into()),
        client_auth: Some(auth),
        hsts: Some(hsts),
    };
    assert_eq!(parse(&text).web_listeners[1].tls, Some(wanted));
}

#[test]
fn hsts_is_a_word_or_a_table() {
    let hsts = |value: &str| {
        let text = SMALLEST.replace("protocol = \"https\"", &format!("protocol = \"https\"\nhsts = {value}"));
        parse(&text).web_listeners.remove(1).tls.unwrap().hsts
    };
    assert_eq!(hsts("true"), Some(HstsConfig::default()));
    assert_eq!(hsts("{}"), Some(HstsConfig::default()));
    assert_eq!(hsts("false"), None);
}

#[test]
fn routes_of_a_host_say_once_where_its_certificate_comes_from() {
    let text = format!(
        r#"{SMALLEST}
[listener.inside]
bind = "10.0.0.1:8443"
protocol = "https"

[[route]]
listener = "inside"
host = ["app.example.com", "vault.internal"]
path = "/b"
tls = {{ from = "internal", client_auth = {{ ca = "/etc/ca.pem" }} }}
respond = 204

[[route]]
host = "*.example.com"
tls = "on-demand"
respond = 204

[[route]]
listener = "web"
host = "plain.example.com"
respond = 204

[[route]]
respond = 404
"#
    );
    let config = parse(&text);
    let wanted = [
        ("app.example.com".to_owned(), CertificateFrom::Internal, vec!["secure", "inside"]),
        ("vault.internal".to_owned(), CertificateFrom::Internal, vec!["inside"]),
        ("*.example.com".to_owned(), CertificateFrom::OnDemand, vec!["secure", "inside"]),
    ];
    assert_eq!(hosts(&config), wanted);
    let auth = config.tls.hosts[&exact("app.example.com")].client_auth.as_ref().unwrap();
    assert_eq!((auth.ca.as_path(), auth.optional, auth.headers), ("/etc/ca.pem".as_ref(), false, true));
}

#[test]
fn a_route_without_a_host_can_stand_for_every_name() {
    let text = SMALLEST.replace("host = \"app.example.com\"", "tls = \"on-demand\"");
    let config = parse(&text);
    assert_eq!(hosts(&config), [("*".to_owned(), CertificateFrom::OnDemand, vec!["secure"])]);
    assert!(config.tls.hosts.contains_key(&HostPattern::every()));
}

#[test]
fn a_redirect_leads_where_every_address_of_the_listener_is_served() {
    let redirect = |http: &str, https: &str| {
        let text = format!(
            "[listener.web]\nbind = {http}\nprotocol = \"http\"\n[listener.secure]\nbind = {https}\n\
             protocol = \"https\"\n[[route]]\nhost = \"a.internal\"\nrespond = 204\n"
        );
        parse(&text).web_listeners.remove(0).redirect_https.map(|redirect| redirect.port)
    };
    assert_eq!(redirect("\"10.0.0.1:80\"", "\"10.0.0.1:443\""), Some(443));
    assert_eq!(redirect("\"10.0.0.1:8080\"", "[\"10.0.0.1:8443\", \"10.0.0.2:443\"]"), Some(8443));
    assert_eq!(redirect("\"10.0.0.1:80\"", "[\"0.0.0.0:8443\", \"0.0.0.0:443\"]"), Some(443));
    assert_eq!(redirect("[\"0.0.0.0:80\", \"[::]:80\"]", "[\"0.0.0.0:443\", \"[::]:443\"]"), Some(443));
    assert_eq!(redirect("[\"0.0.0.0:80\", \"[::]:80\"]", "\"0.0.0.0:443\""), None);
    assert_eq!(redirect("\"0.0.0.0:80\"", "\"10.0.0.1:443\""), None);
    assert_eq!(redirect("\"10.0.0.1:80\"", "\"10.0.0.2:443\""), None);
    assert_eq!(redirect("\"unix:/run/web.sock\"", "\"0.0.0.0:443\""), None);
    assert_eq!(redirect("[\"unix:/run/web.sock\", \"10.0.0.1:80\"]", "\"0.0.0.0:443\""), Some(443));
    assert_eq!(redirect("\"10.0.0.1:80\"\nredirect_https = false", "\"10.0.0.1:443\""), None);
}

#[test]
fn ten_thousand_hosts_are_read_fast() {
    let route = |number| format!("[[route]]\nhost = \"h{number}.example.com\"\nrespond = 204\n");
    let text = format!("{SMALLEST}{}", (0..10_000).map(route).collect::<String>());
    let start = Instant::now();
    let config = parse(&text);
    let took = start.elapsed();
    assert_eq!(config.tls.hosts.len(), 10_001);
    // Without optimization on a busy machine; what grows with the square of the hosts takes minutes.
    assert!(took < Duration::from_secs(10), "{took:?}");
}
