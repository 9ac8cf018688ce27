//! What a good configuration of `http` listeners, routes and middleware means.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use proxy_userspace::config::{
    self, AccessLogFormat, AccessLogTarget, Balance, Config, Encoding, HashKey, HostPattern, PathPattern,
    ProxyProtocolVersion, RetryConfig, RewriteConfig, RouteAction, RouteConfig, ServerConfig, StatusRange,
    Template, TemplatePart, UpstreamProtocol, ValuePattern, Variable, WebBind, WebLimits, WebPoolConfig,
};

fn parse(text: &str) -> Config {
    config::parse(text, "proxy.toml").unwrap_or_else(|errors| panic!("{errors}"))
}

const SMALLEST: &str = r#"
[listener.web]
bind = "0.0.0.0:80"
protocol = "http"

[[route]]
pool = "app"

[pool.app]
backends = ["127.0.0.1:8080"]
"#;

/// The smallest configuration with more in its route.
fn route(more: &str) -> RouteConfig {
    let text = SMALLEST.replace("pool = \"app\"\n", &format!("pool = \"app\"\n{more}\n"));
    parse(&text).routes.remove(0)
}

fn text(template: &str) -> Template {
    Template(vec![TemplatePart::Literal(template.into())])
}

fn field(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let config = parse(SMALLEST);
    assert!(config.kernel.is_none() && config.listeners.is_empty());
    assert_eq!(config.warnings, []);
    assert_eq!(config.server, ServerConfig::default());
    let [listener] = &config.web_listeners[..] else { panic!("{:?}", config.web_listeners) };
    let bind: SocketAddr = "0.0.0.0:80".parse().unwrap();
    assert_eq!(listener.bind, [WebBind::Tcp(bind)]);
    assert_eq!((listener.http2, listener.proxy_protocol, listener.access_log), (true, false, true));
    assert!(listener.trusted_proxies.is_empty());
    assert_eq!(listener.limits, WebLimits::default());
    let [route] = &config.routes[..] else { panic!("{:?}", config.routes) };
    assert_eq!((&*route.name, route.line), ("route-1", 6));
    assert_eq!(route.listeners, ["web".into()]);
    assert_eq!(route.path, PathPattern::Any);
    assert_eq!(route.action, RouteAction::Pool("app".into()));
    assert_eq!(config.pools[0].web, WebPoolConfig::default());
}

/// What stands in the reference as a default is what holds where nothing is said.
#[test]
fn a_default_that_is_written_down_is_the_default() {
    let text = format!(
        "{}{}",
        SMALLEST.replace("protocol = \"http\"", "protocol = \"http\"\nlimits = { LIMITS }"),
        "POOL\n[server]\nSERVER\n"
    );
    let keys = |title: &str| {
        let reference = config::markdown();
        let (_, section) =
            reference.split_once(&format!(" `{title}`\n")).unwrap_or_else(|| panic!("{title}"));
        let rows = section.lines().skip_while(|line| !line.starts_with("| `"));
        let cells =
            rows.take_while(|line| line.starts_with("| `")).map(|row| row.split(" | ").collect::<Vec<_>>());
        let default = |cells: Vec<&str>| {
            let default = cells[2].strip_prefix('`')?.strip_suffix('`').filter(|text| !text.contains('`'))?;
            Some(format!("{} = {default}", cells[0].trim_matches(['|', ' ', '`'])))
        };
        cells.filter_map(default).collect::<Vec<_>>()
    };
    let inline = |title| format!("{{ {} }}", keys(title).join(", "));
    let pool = format!(
        "{}\ntimeout = {}\nretry = {}\neject = {}",
        keys("[pool.NAME]").join("\n"),
        inline("timeout = { … }"),
        inline("retry = { … }"),
        inline("eject = { … }"),
    );
    let text = text.replace("LIMITS", &keys("[listener.NAME.limits]").join(", ")).replace("POOL", &pool);
    let config = parse(&text.replace("SERVER", &keys("[server]").join("\n")));
    assert!(
        text.contains("h2_idle_frames") && text.contains("max_share") && text.contains("first_byte"),
        "{text}"
    );
    assert_eq!(config.web_listeners[0].limits, WebLimits::default());
    assert_eq!(config.pools[0].web, WebPoolConfig::default());
    assert_eq!(config.server, ServerConfig::default());
}

#[test]
fn a_route_has_its_conditions() {
    let route = route(
        r#"
name = "api"
host = ["App.Example.com.", "*.dev.example.com", "[2001:DB8::1]"]
path = "/api/"
method = ["GET", "PURGE"]
header = { X-Env = "dev", x-debug = false, x-any = true, accept = { regex = '^application/json' } }
query = { version = "2" }
client_ip = ["10.0.0.0/8", "2001:db8::1"]
timeout = "5m"
"#,
    );
    assert_eq!(&*route.name, "api");
    let exact = |host: &str| HostPattern::Exact(host.into());
    let wildcard = HostPattern::Wildcard("dev.example.com".into());
    assert_eq!(route.hosts, [exact("app.example.com"), wildcard, exact("2001:db8::1")]);
    assert_eq!(route.path, PathPattern::Prefix("/api/".into()));
    assert_eq!(route.methods, [Method::GET, Method::from_bytes(b"PURGE").unwrap()]);
    let headers: Vec<_> = route.headers.iter().map(|header| (header.name.as_str(), &header.value)).collect();
    let (dev, json) = (ValuePattern::Exact("dev".into()), ValuePattern::Regex("^application/json".into()));
    let wanted = [
        ("x-env", &dev),
        ("x-debug", &ValuePattern::Absent),
        ("x-any", &ValuePattern::Present),
        ("accept", &json),
    ];
    assert_eq!(headers, wanted);
    assert_eq!((&*route.query[0].name, &route.query[0].value), ("version", &ValuePattern::Exact("2".into())));
    assert_eq!(route.client_ip, ["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()]);
    assert_eq!(route.request_timeout, Some(Duration::from_secs(300)));
}

#[test]
fn a_route_belongs_to_the_listeners_that_it_names_or_to_all() {
    let text = format!(
        "{SMALLEST}\n[[route]]\nlistener = \"second\"\npath_exact = \"/x\"\nrespond = 404\n\
         [listener.second]\nbind = \"unix:/run/second.sock\"\nprotocol = \"http\"\n"
    );
    let config = parse(&text);
    assert_eq!(config.web_listeners[1].bind, [WebBind::Unix("/run/second.sock".into())]);
    assert_eq!(config.routes[0].listeners, ["web".into(), "second".into()]);
    assert_eq!(config.routes[1].listeners, ["second".into()]);
    assert_eq!((&*config.routes[1].name, config.routes[1].line), ("route-2", 12));
}

#[test]
fn redirects_and_answers_are_short_or_tables() {
    let action = |action: &str| parse(&SMALLEST.replace("pool = \"app\"", action)).routes.remove(0).action;
    let RouteAction::Redirect(redirect) = action("redirect = \"https://{host}{uri}\"") else { panic!() };
    assert_eq!(redirect.status, StatusCode::PERMANENT_REDIRECT);
    let host = TemplatePart::Variable(Variable::Host);
    assert_eq!(redirect.to.0[..2], [TemplatePart::Literal("https://".into()), host]);
    let RouteAction::Redirect(redirect) = action("redirect = { to = \"/x\", status = 302 }") else {
        panic!()
    };
    assert_eq!((redirect.status, redirect.to), (StatusCode::FOUND, text("/x")));
    let RouteAction::Respond(respond) = action("respond = 404") else { panic!() };
    assert_eq!((respond.status, &*respond.body), (StatusCode::NOT_FOUND, ""));
    let RouteAction::Respond(respond) = action("respond = { body = \"ok\" }") else { panic!() };
    assert_eq!((respond.status, &*respond.body), (StatusCode::OK, "ok"));
}

#[test]
fn a_pool_says_how_it_is_spoken_to() {
    let config = parse(&format!(
        r#"{SMALLEST}
balance = {{ maglev = {{ cookie = "session" }} }}
protocol = "h2c"
timeout = {{ connect = "1s", request = "30s" }}
retry = {{ attempts = 1, on = ["timeout", 503, "502"], methods = "GET" }}
eject = false
send_proxy_protocol = "v2"
host = "app.internal"
"#
    ));
    let web = &config.pools[0].web;
    assert_eq!(web.balance, Balance::Maglev(HashKey::Cookie("session".into())));
    assert_eq!(
        (web.protocol, web.send_proxy_protocol),
        (UpstreamProtocol::H2c, Some(ProxyProtocolVersion::V2))
    );
    assert_eq!(
        (web.connect_timeout, web.request_timeout),
        (Duration::from_secs(1), Some(Duration::from_secs(30)))
    );
    assert_eq!(web.first_byte_timeout, WebPoolConfig::default().first_byte_timeout);
    let retry = RetryConfig {
        attempts: 1,
        on_connect: false,
        on_reset: false,
        on_timeout: true,
        on_status: vec![502, 503],
        methods: vec![Method::GET],
        ..RetryConfig::default()
    };
    assert_eq!(web.retry, retry);
    assert_eq!(web.eject, None);
    assert_eq!(web.host.as_ref().map(|host| host.as_bytes()), Some(&b"app.internal"[..]));
    let of = |balance: &str| parse(&format!("{SMALLEST}balance = {balance}\n")).pools[0].web.balance.clone();
    assert_eq!(of("\"p2c\""), Balance::P2c);
    assert_eq!(of("\"maglev\""), Balance::Maglev(HashKey::ClientIp));
    assert_eq!(of("{ maglev = \"uri\" }"), Balance::Maglev(HashKey::Uri));
    assert_eq!(of("{ maglev = { header = \"X-User\" } }"), Balance::Maglev(HashKey::Header(field("x-user"))));
    assert_eq!(parse(&format!("{SMALLEST}retry = false\n")).pools[0].web.retry.attempts, 0);
}

#[test]
fn a_pool_can_have_tcp_listeners_and_routes() {
    let config = parse(
        &SMALLEST
            .replace("127.0.0.1:8080", "10.0.0.1:8080")
            .replace("[[route]]", "[kernel]\ninterfaces = [\"eth0\"]\n[listener.l4]\nbind = \"192.0.2.1:81\"\nprotocol = \"tcp\"\npool = \"app\"\n[[route]]"),
    );
    assert_eq!(config.backends(&config.listeners[0]).count(), 1);
    assert_eq!(config.pools[0].web.balance, Balance::RoundRobin);
}

#[test]
fn requests_are_written_down_where_the_file_says() {
    let of = |table: &str| parse(&format!("{SMALLEST}{table}")).server.access_log.expect("an access log");
    let log = of("[access_log]\n");
    assert_eq!((log.to, log.format), (AccessLogTarget::Stdout, AccessLogFormat::Json));
    let log = of("[access_log]\nto = \"/var/log/x\"\nformat = \"combined\"\n");
    assert_eq!((log.to, log.format), (AccessLogTarget::File("/var/log/x".into()), AccessLogFormat::Combined));
    assert_eq!(of("[access_log]\nto = \"syslog\"\n").to, AccessLogTarget::Syslog);
}

#[test]
fn a_route_has_its_middleware() {
    let middleware = route(
        r#"
allow = "10.0.0.0/8"
max_body = "10MiB"
request_headers = { set = { X-Client = "{client_ip}" }, add = { x-trace = ["a", "b"] }, remove = "cookie" }
strip_prefix = "/api"
rewrite_path = { regex = '^/v(\d)/', to = "/$1/" }
compress = ["br", "gzip"]
error_pages = { 404 = "/a", "500-599" = "/b" }
basic_auth = { users = { alice = "$2y$10$zVmz3EoGRGvTRGm8cMFCT.vH1mB7RHwk2aNh3LtDJBFAm5VhqJ9gW" }, user_header = "x-user" }
"#,
    )
    .middleware;
    assert_eq!(middleware.allow, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(middleware.max_body, Some(10 << 20));
    let edits = &middleware.request_headers;
    let client = Template(vec![TemplatePart::Variable(Variable::ClientIp)]);
    assert_eq!(edits.set, [(field("x-client"), client)]);
    assert_eq!(edits.add, [(field("x-trace"), text("a")), (field("x-trace"), text("b"))]);
    assert_eq!(edits.remove, [field("cookie")]);
    assert!(middleware.response_headers.is_empty());
    assert_eq!(middleware.strip_prefix.as_deref(), Some("/api"));
    let rewrite = RewriteConfig::Regex { regex: "^/v(\\d)/".into(), to: "/$1/".into() };
    assert_eq!(middleware.rewrite_path, Some(rewrite));
    let compress = middleware.compress.expect("compression");
    assert_eq!((compress.encodings, compress.min_bytes), (vec![Encoding::Brotli, Encoding::Gzip], 1024));
    assert!(compress.types.iter().any(|media_type| &**media_type == "text/*"));
    let pages: Vec<_> = middleware.error_pages.iter().map(|(range, path)| (*range, path.to_str())).collect();
    let range = |first, last| StatusRange { first, last };
    assert_eq!(pages, [(range(404, 404), Some("/a")), (range(500, 599), Some("/b"))]);
    let auth = middleware.basic_auth.expect("users");
    assert_eq!(
        (&*auth.realm, &*auth.users[0].0, auth.user_header),
        ("restricted", "alice", Some(field("x-user")))
    );
}

#[test]
fn a_routes_own_middleware_goes_before_that_it_uses_and_a_later_before_an_earlier() {
    let config = parse(&format!(
        r#"{}
[middleware.first]
max_body = "1KiB"
strip_prefix = "/first"
deny = "192.0.2.1"

[middleware.second]
max_body = "2KiB"
strip_prefix = "/second"
allow = "192.0.2.2"
"#,
        SMALLEST.replace(
            "pool = \"app\"\n",
            "pool = \"app\"\nuse = [\"first\", \"second\"]\nmax_body = \"3KiB\"\n"
        )
    ));
    let middleware = &config.routes[0].middleware;
    assert_eq!(middleware.max_body, Some(3 << 10));
    assert_eq!(middleware.strip_prefix.as_deref(), Some("/second"));
    assert_eq!((middleware.deny.len(), middleware.allow.len()), (1, 1));
}

#[test]
fn users_are_read_from_a_file() {
    let path = std::env::temp_dir().join(format!("pn-users-{}", std::process::id()));
    let hash = "$2y$10$zVmz3EoGRGvTRGm8cMFCT.vH1mB7RHwk2aNh3LtDJBFAm5VhqJ9gW";
    std::fs::write(&path, format!("# people\nalice:{hash}\n\nbob:{hash}\n")).expect("a file of users");
    let auth = |file: &str| format!("basic_auth = {{ file = \"{file}\", users = {{ bob = \"{hash}\" }} }}");
    let users = route(&auth(path.to_str().expect("a path"))).middleware.basic_auth.expect("users").users;
    let names: Vec<_> = users.iter().map(|(user, _)| &**user).collect();
    assert_eq!(names, ["bob", "alice"]);
    for (content, reason) in [
        ("alice", "line 1 of the file of users is not user:hash"),
        ("\nalice:secret", "line 2 of the file of users: this is no bcrypt hash"),
        ("#\n", "the file of users has none"),
    ] {
        std::fs::write(&path, content).expect("a file of users");
        let text = SMALLEST
            .replace("pool = \"app\"\n", &format!("pool = \"app\"\n{}\n", auth(path.to_str().unwrap())));
        let error = config::parse(&text, "proxy.toml").unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("secret"), "{error}");
    }
    std::fs::remove_file(&path).expect("to remove it");
}
