//! What a good configuration of `https` listeners, certificates and hosts means.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proxy_userspace::config::{
    self, AcmeConfig, CertificateFiles, CertificateFrom, ChallengeType, ClientAuthConfig, Config, DnsConfig,
    DnsProvider, EabConfig, HostPattern, HstsConfig, InternalAcmeConfig, InternalCaConfig, IssuerConfig,
    KeyType, ListenerTlsConfig, OcspConfig, OnDemandConfig, PoolTlsConfig, RedirectHttps, TicketsConfig,
    TlsConfig, TlsPolicy, UpstreamProtocol,
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
fn a_listener_that_only_redirects_needs_no_route() {
    let routed = SMALLEST.replace("host = ", "listener = \"secure\"\nhost = ");
    assert_eq!(parse(&routed).warnings, []);
    let alone = routed.replace("protocol = \"http\"\n", "protocol = \"http\"\nredirect_https = false\n");
    assert_eq!(parse(&alone).warnings.len(), 1);
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

[acme.on_demand]
ask = "https://10.0.0.9/may"

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
    assert_eq!(config.warnings, []);
    assert_eq!(hosts(&config), wanted);
    let auth = config.tls.hosts[&exact("app.example.com")].client_auth.as_ref().unwrap();
    assert_eq!((auth.ca.as_path(), auth.optional, auth.headers), ("/etc/ca.pem".as_ref(), false, true));
}

#[test]
fn a_route_without_a_host_can_stand_for_every_name() {
    let text = SMALLEST.replace("host = \"app.example.com\"", "tls = \"on-demand\"");
    let text = format!("{text}[acme.on_demand]\nask = \"http://10.0.0.9/may\"\n");
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
    assert_eq!(redirect("\"10.0.0.1:80\"\nredirect_https = 8443", "\"10.0.0.1:443\""), Some(8443));
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

#[test]
fn without_a_table_lets_encrypt_is_asked() {
    let acme = parse(SMALLEST).acme;
    assert_eq!(acme, AcmeConfig::default());
    assert_eq!(parse(&format!("{SMALLEST}[acme]\n[acme.internal]\n")).acme, AcmeConfig::default());
    let [issuer] = &acme.issuers[..] else { panic!("{:?}", acme.issuers) };
    assert_eq!(issuer.staging.as_deref(), Some(IssuerConfig::LETSENCRYPT_STAGING));
}

#[test]
fn one_ca_is_named_in_the_table_itself() {
    let text = r#"
[acme]
email = "ops@example.com"
directory = "https://ca.example.com:14000/dir"
directory_ca = "/etc/root.pem"
eab = { key_id = "k", hmac_key = "abc-_=" }
profile = "shortlived"
staging = "letsencrypt-staging"
storage = "/srv/acme"
challenges = "http-01"
key_type = "p384"
"#;
    let acme = parse(&format!("{SMALLEST}{text}")).acme;
    let issuer = IssuerConfig {
        name: "ca.example.com:14000".into(),
        directory: "https://ca.example.com:14000/dir".into(),
        directory_ca: Some("/etc/root.pem".into()),
        staging: Some(IssuerConfig::LETSENCRYPT_STAGING.into()),
        eab: Some(EabConfig { key_id: "k".into(), hmac_key: "abc-_".into() }),
        profile: Some("shortlived".into()),
    };
    let wanted = AcmeConfig {
        email: Some("ops@example.com".into()),
        issuers: vec![issuer],
        storage: "/srv/acme".into(),
        challenges: vec![ChallengeType::Http01],
        key_type: KeyType::P384,
        ..AcmeConfig::default()
    };
    assert_eq!(acme, wanted);
    assert!(!format!("{acme:?}").contains("abc"), "{acme:?}");
}

#[test]
fn several_cas_are_asked_in_their_order() {
    let text = r#"
[[acme.issuer]]
directory = "letsencrypt"
staging = false
[[acme.issuer]]
directory = "zerossl"
eab = { key_id = "k", hmac_key = "abc" }
[[acme.issuer]]
directory = "https://ca.example.com/dir"
"#;
    let issuers = parse(&format!("{SMALLEST}{text}")).acme.issuers;
    let names: Vec<_> = issuers.iter().map(|issuer| (&*issuer.name, issuer.staging.is_some())).collect();
    assert_eq!(names, [("letsencrypt", false), ("zerossl", false), ("ca.example.com", false)]);
}

/// A provider, of the keys of `[acme.dns]`.
fn dns(keys: &str) -> DnsConfig {
    parse(&format!("{SMALLEST}[acme.dns]\n{keys}\n")).acme.dns.unwrap()
}

#[test]
fn dns_has_its_providers() {
    let wanted = DnsConfig {
        provider: DnsProvider::Rfc2136 {
            server: "10.0.0.53:53".parse().unwrap(),
            key_name: Some("acme.".into()),
            algorithm: "hmac-sha256".into(),
            secret: "c2VjcmV0".into(),
        },
        resolvers: vec!["9.9.9.9:53".parse().unwrap(), "[2001:db8::1]:5353".parse().unwrap()],
        propagation: Duration::from_secs(120),
        ttl: Duration::from_secs(60),
    };
    let keys = "provider = \"rfc2136\"\nserver = \"10.0.0.53\"\nkey_name = \"acme.\"\nsecret = \"c2VjcmV0\"\n\
                resolvers = [\"9.9.9.9\", \"[2001:db8::1]:5353\"]";
    assert_eq!(dns(keys), wanted);
    let unsigned = dns("provider = \"rfc2136\"\nserver = \"[2001:db8::53]:530\"").provider;
    assert!(matches!(unsigned, DnsProvider::Rfc2136 { key_name: None, .. }));
    let file = std::env::temp_dir().join(format!("proxy-now-token-{}", std::process::id()));
    std::fs::write(&file, "tok\n").unwrap();
    let cloudflare = dns(&format!("provider = \"cloudflare\"\ntoken_file = {file:?}"));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(cloudflare.provider, DnsProvider::Cloudflare { token: "tok".into(), endpoint: None });
    let route53 =
        dns("provider = \"route53\"\naccess_key = \"A\"\nsecret_key = \"S\"\nendpoint = \"http://x/\"");
    let wanted = DnsProvider::Route53 {
        access_key: "A".into(),
        secret_key: "S".into(),
        session_token: None,
        endpoint: Some("http://x/".into()),
    };
    assert_eq!(route53.provider, wanted);
    let exec =
        dns("provider = \"exec\"\ncommand = [\"/bin/dns\", \"-v\"]\npropagation = \"0s\"\nttl = \"5s\"");
    assert_eq!(exec.provider, DnsProvider::Exec { command: vec!["/bin/dns".into(), "-v".into()] });
    assert_eq!((exec.propagation, exec.ttl), (Duration::ZERO, Duration::from_secs(5)));
}

#[test]
fn on_demand_and_our_own_ca_have_tables() {
    let text = r#"
[acme.on_demand]
ask = "http://127.0.0.1:9000/may"
per_minute = 60
remember_refused = "1h"
remember_most = 5
wait = "10s"
[acme.internal]
name = "Example"
lifetime = "1d"
serve = { bind = "10.0.0.1:9443", host = "CA.internal", names = ["*.internal", "10.0.0.7"] }
"#;
    let acme = parse(&format!("{SMALLEST}{text}")).acme;
    let on_demand = OnDemandConfig {
        ask: Some("http://127.0.0.1:9000/may".into()),
        per_minute: 60.try_into().unwrap(),
        remember_refused: Duration::from_secs(3600),
        remember_most: 5,
        wait: Duration::from_secs(10),
    };
    assert_eq!(acme.on_demand, on_demand);
    let serve = InternalAcmeConfig {
        bind: "10.0.0.1:9443".parse().unwrap(),
        host: "ca.internal".into(),
        names: vec![HostPattern::Wildcard("internal".into()), exact("10.0.0.7")],
    };
    let internal = InternalCaConfig {
        name: "Example".into(),
        lifetime: Duration::from_secs(86_400),
        serve: Some(serve),
    };
    assert_eq!(acme.internal, internal);
}

#[test]
fn a_pool_speaks_tls_with_its_backends() {
    let pool = |keys: &str| {
        let text = SMALLEST.replace("respond = 204", "pool = \"app\"");
        parse(&format!("{text}[pool.app]\nbackends = [\"10.0.0.1:443\"]\n{keys}\n")).pools.remove(0).web
    };
    assert_eq!(pool("tls = false").tls, None);
    assert_eq!(pool("tls = true").tls, Some(PoolTlsConfig::default()));
    assert_eq!(pool("tls = true").protocol, UpstreamProtocol::Auto);
    assert_eq!(pool("tls = true\nprotocol = \"http1\"").protocol, UpstreamProtocol::Http1);
    assert_eq!(pool("tls = true\nprotocol = \"h2\"").protocol, UpstreamProtocol::H2c);
    let keys = r#"tls = { ca = "/etc/ca.pem", sni = "App.internal", client_cert = "/etc/edge.pem" }"#;
    let client = CertificateFiles { chain: "/etc/edge.pem".into(), key: "/etc/edge.pem".into(), ocsp: None };
    let wanted = PoolTlsConfig {
        verify: true,
        ca: Some("/etc/ca.pem".into()),
        sni: Some("app.internal".into()),
        client: Some(client),
    };
    assert_eq!(pool(keys).tls, Some(wanted));
    assert!(!pool("tls = { verify = false }").tls.unwrap().verify);
}
