//! What a good configuration means: defaults, units, names, families.

use std::time::Duration;

use proxy_userspace::config::{
    self, AttachMode, Config, Endpoint, Forward, LimitAction, ListenerConfig, Measures, Per, PoolName, Probe,
    ProbeTls, Protocol, Rate,
};

fn parse(text: &str) -> Config {
    config::parse(text, "proxy.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

const SMALLEST: &str = r#"
[kernel]
interfaces = ["eth0"]

[listener.web]
bind = ["203.0.113.10:80"]
protocol = "tcp"
pool = "app"

[pool.app]
backends = ["10.0.0.11:8080"]
"#;

fn names(listeners: &[ListenerConfig]) -> Vec<&str> {
    listeners.iter().map(|listener| listener.name.as_str()).collect()
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let config = parse(SMALLEST);
    let kernel = config.kernel.as_ref().expect("a kernel part");
    assert_eq!(kernel.attach, AttachMode::Auto);
    assert_eq!((kernel.nat_ports.as_ref(), kernel.hash_seed), (None, None));
    assert!(kernel.nat_source.is_empty());
    assert_eq!(kernel.tcp_idle, Duration::from_secs(3600));
    assert_eq!(kernel.tcp_closing, Duration::from_secs(60));
    assert_eq!(kernel.udp_idle, Duration::from_secs(120));
    assert_eq!(kernel.pin_dir.to_str(), Some("/sys/fs/bpf/proxy-now"));
    assert_eq!(config.admin.socket.to_str(), Some("/run/proxy-now/admin.sock"));
    assert_eq!(config.admin.mode, 0o660);
    assert_eq!(config.admin.audit_log, None);
    assert_eq!(kernel.limit_keys, 65_536);
    let [listener] = &config.listeners[..] else { panic!("{:?}", config.listeners) };
    assert_eq!((listener.protocol, listener.forward), (Protocol::Tcp, Forward::Nat));
    let [pool] = &config.pools[..] else { panic!("{:?}", config.pools) };
    assert_eq!((pool.backends[0].weight, pool.backends[0].drain), (1, false));
    assert_eq!(pool.health, None);
    assert_eq!(config.warnings, []);
}

#[test]
fn a_health_check_has_the_documented_defaults() {
    let config = parse(&format!("{SMALLEST}health = {{ https = \"/healthz\" }}\n"));
    let health = config.pools[0].health.as_ref().expect("a check");
    let Probe::Http(http) = &health.probe else { panic!("{health:?}") };
    assert_eq!((http.tls, http.host.as_deref()), (Some(ProbeTls::Verify), None));
    assert_eq!((http.path.as_str(), &http.status[..]), ("/healthz", &[200..=399][..]));
    assert_eq!((health.interval, health.timeout), (Duration::from_secs(2), Duration::from_secs(1)));
    assert_eq!((health.rise, health.fall, health.jitter), (2, 1, 0.1));
    assert_eq!(health.target(&config.pools[0].backends[0]).to_string(), "10.0.0.11:8080");
}

#[test]
fn a_timeout_that_is_not_said_is_never_longer_than_the_interval() {
    let config = parse(&format!("{SMALLEST}health = {{ tcp = true, interval = \"250ms\" }}\n"));
    assert_eq!(
        config.pools[0].health.as_ref().map(|health| health.timeout),
        Some(Duration::from_millis(250))
    );
}

#[test]
fn a_listener_of_both_families_is_two_and_each_has_the_backends_of_its_own() {
    let text = SMALLEST
        .replace("[\"203.0.113.10:80\"]", "[\"[2001:db8::10]:80\", \"203.0.113.10:80\", \"203.0.113.11:80\"]")
        .replace("[\"10.0.0.11:8080\"]", "[\"10.0.0.11:8080\", \"[fd00::11]:8080\", \"10.0.0.12:8080\"]");
    let config = parse(&text);
    assert_eq!(names(&config.listeners), ["web.v4", "web.v6"]);
    let addresses = |listener| config.backends(listener).map(|(a, _)| a.to_string()).collect::<Vec<_>>();
    assert_eq!(addresses(&config.listeners[0]), ["10.0.0.11:8080", "10.0.0.12:8080"]);
    assert_eq!(addresses(&config.listeners[1]), ["[fd00::11]:8080"]);
    assert_eq!(config.listeners[0].bind.len(), 2);
}

#[test]
fn a_dsr_backend_without_a_port_has_the_port_of_each_listener() {
    let dsr = |name: &str, port: u16| {
        format!(
            "[listener.{name}]\nbind = [\"203.0.113.10:{port}\"]\nprotocol = \"tcp\"\npool = \"app\"\nforward = \"dsr\"\n"
        )
    };
    let text = format!(
        "[kernel]\ninterfaces = [\"eth0\"]\n{}{}[pool.app]\nbackends = [\"203.0.113.21\"]\n",
        dsr("http", 80),
        dsr("https", 443)
    );
    let config = parse(&text);
    assert_eq!(names(&config.listeners), ["http", "https"]);
    let ports: Vec<_> = config
        .listeners
        .iter()
        .flat_map(|listener| config.backends(listener))
        .map(|(a, _)| a.port())
        .collect();
    assert_eq!(ports, [80, 443]);
    let name = PoolName::from("app");
    let address = config.pool(&name).map(|pool| pool.backends[0].endpoint.clone());
    assert_eq!(address, "203.0.113.21".parse::<Endpoint>().ok());
}

#[test]
fn one_address_and_port_serves_both_protocols() {
    let udp = "[listener.udp]\nbind = [\"203.0.113.10:80\"]\nprotocol = \"udp\"\npool = \"app\"\n";
    assert_eq!(names(&parse(&format!("{udp}{SMALLEST}")).listeners), ["udp", "web"]);
}

#[test]
fn tables_may_be_written_in_any_way_that_toml_knows() {
    let text = r#"
        kernel.interfaces = ["eth0"]
        listener = { web = { bind = ["203.0.113.10:80"], protocol = "tcp", pool = "app" } }
        pool.app.backends = [{ address = "10.0.0.11:8080", weight = 0x10 }]
        pool.app.health.tcp = true
    "#;
    assert_eq!(parse(text).pools[0].backends[0].weight, 16);
}

#[test]
fn a_limit_has_the_documented_defaults() {
    let config = parse(&format!("{SMALLEST}[limit.x]\nconnections = \"100/s\"\n"));
    let [limit] = &config.limits[..] else { panic!("{:?}", config.limits) };
    let rate = Rate { count: 100, period: Duration::from_secs(1), burst: 2 };
    assert_eq!(limit.measures, Measures { connections: Some(rate), ..Measures::default() });
    assert_eq!((&limit.per, limit.action, limit.line), (&Per::Ip, LimitAction::Auto, 12));
    assert!(limit.listeners.is_empty() && limit.routes.is_empty() && limit.exempt.is_empty());
}

#[test]
fn a_limit_knows_listeners_by_the_names_of_their_halves() {
    let text = SMALLEST
        .replace(r#"["203.0.113.10:80"]"#, r#"["203.0.113.10:80", "[2001:db8::10]:80"]"#)
        .replace(r#"["10.0.0.11:8080"]"#, r#"["10.0.0.11:8080", "[fd00::11]:8080"]"#);
    let listeners = |named: &str| {
        let config = parse(&format!("{text}[limit.x]\nlistener = {named}\npackets = \"5/s\"\n"));
        config.limits[0].listeners.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listeners("\"web\""), ["web.v4", "web.v6"]);
    assert_eq!(listeners("\"web.v6\""), ["web.v6"]);
    assert_eq!(listeners("[\"web\", \"web.v4\"]"), ["web.v4", "web.v6"]);
}

#[test]
fn keys_of_limits_are_as_many_as_a_power_of_two() {
    let config = parse(&SMALLEST.replace("[\"eth0\"]", "[\"eth0\"]\nlimit_keys = 5000"));
    assert_eq!(config.kernel.expect("a kernel part").limit_keys, 8192);
}
