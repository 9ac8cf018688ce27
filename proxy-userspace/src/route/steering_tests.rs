//! Which connection goes where.

use super::*;
use crate::config::parse;
use crate::route::{Why, unreachable};

const HEAD: &str = r#"
[listener.web]
bind = "127.0.0.1:443"
protocol = "https"

[listener.db]
bind = "127.0.0.1:5432"
protocol = "tls"

[listener.plain]
bind = "127.0.0.1:80"
protocol = "http"

[pool.app]
backends = ["10.0.0.1:443"]
"#;

fn config(routes: &str) -> Config {
    let text = format!("{HEAD}{routes}\n[[route]]\nlistener = \"plain\"\nrespond = 404\n");
    parse(&text, "test").unwrap_or_else(|errors| panic!("{errors}"))
}

fn hello(version: u16, alpn: &[&str]) -> Hello {
    Hello { version, alpn: alpn.iter().map(|name| name.as_bytes().into()).collect(), ..Hello::default() }
}

/// What becomes of a connection to a listener.
fn steer(config: &Config, listener: &str, name: &str, hello: &Hello) -> Option<Steered> {
    let steering = Steering::compile(config);
    steering.of(&listener.into()).unwrap().find(name, "192.0.2.1".parse().unwrap(), hello)
}

const PASS: &str = r#"
[[route]]
host = "vault.test"
passthrough = true
pool = "app"

[[route]]
host = ["*.test", "a.b.test"]
pool = "app"
path = "/api"

[[route]]
host = "*.b.test"
client_hello = { alpn = "h2" }
passthrough = true
pool = "app"

[[route]]
client_hello = { max_version = "1.2" }
refuse = "reset"
"#;

#[test]
fn the_most_specific_host_decides_and_then_what_else_is_said() {
    let config = config(PASS);
    let (old, new) = (hello(0x0303, &[]), hello(0x0304, &["h2"]));
    let web = |name: &str, hello: &Hello| steer(&config, "web", name, hello);
    assert_eq!(web("vault.test", &old), Some(Steered::Pass(0)));
    assert_eq!(web("x.test", &new), Some(Steered::Terminate(1)));
    assert_eq!(web("a.b.test", &new), Some(Steered::Terminate(1)));
    assert_eq!(web("c.b.test", &new), Some(Steered::Pass(2)));
    assert_eq!(web("c.b.test", &old), Some(Steered::Terminate(1)));
    assert_eq!(web("c.d.b.test", &new), Some(Steered::Pass(2)));
    assert_eq!(web("other.example", &old), Some(Steered::Refuse(3, Refuse::Reset)));
    assert_eq!(web("", &old), Some(Steered::Refuse(3, Refuse::Reset)));
    assert_eq!((web("test", &new), web("", &new)), (None, None));
    // What says nothing of connections is for listeners of requests.
    assert_eq!(steer(&config, "db", "x.test", &new), None);
    assert_eq!(steer(&config, "db", "vault.test", &new), Some(Steered::Pass(0)));
}

#[test]
fn a_listener_without_such_routes_does_not_look() {
    let config = config("[[route]]\nhost = \"a.test\"\npool = \"app\"\n");
    let steering = Steering::compile(&config);
    assert!(steering.of(&"web".into()).is_none() && steering.of(&"plain".into()).is_none());
    assert!(steering.of(&"db".into()).is_some(), "it has nothing else");
}

#[test]
fn the_kernel_part_learns_what_a_name_alone_decides() {
    let config = config(PASS);
    let mut plans = Steering::compile(&config).of(&"web".into()).unwrap().plans();
    plans.sort_by_key(|plan| format!("{:?}", plan.host));
    let host = |plan: &NamePlan| plan.host.as_ref().map_or("*".to_owned(), ToString::to_string);
    let said: Vec<_> = plans.iter().map(|plan| (host(plan), plan.steered)).collect();
    assert_eq!(
        said,
        [
            ("*".to_owned(), None),
            ("a.b.test".to_owned(), Some(Steered::Terminate(1))),
            ("vault.test".to_owned(), Some(Steered::Pass(0))),
            ("*.b.test".to_owned(), None),
            ("*.test".to_owned(), Some(Steered::Terminate(1))),
        ]
    );
}

#[test]
fn routes_that_no_connection_comes_to_are_found() {
    let config = config(
        r#"
[[route]]
listener = "web"
host = "a.test"
passthrough = true
pool = "app"

[[route]]
listener = "web"
host = "a.test"
path = "/x"
pool = "app"

[[route]]
listener = "web"
host = "a.test"
client_hello = { max_version = "1.1" }
refuse = "alert"

[[route]]
listener = "web"
host = "a.test"
client_hello = { max_version = "1.0" }
refuse = "alert"

[[route]]
listener = "web"
host = "a.test"
refuse = "alert"
"#,
    );
    let found = unreachable(&config.routes).unwrap();
    let said: Vec<_> = found.iter().map(|one| (one.route, &one.why)).collect();
    let by = |name: &str, line| Why::Shadowed(vec![(name.into(), line)]);
    assert_eq!(
        said,
        [(1, &by("route-1", 17)), (3, &by("route-3", 29)), (4, &by("route-1", 17))],
        "{found:?}"
    );
}

#[test]
fn each_part_of_a_client_hello_can_be_asked_for() {
    let asked = |condition: &str| {
        let config = config(&format!(
            "[[route]]\nclient_hello = {{ {condition} }}\nlistener = \"db\"\nrefuse = \"drop\"\n"
        ));
        let ja4 = Some("t13d1516h2_8daaf6152771_e5627efa2ab1".into());
        let hello = Hello {
            ciphers: [0x1301, 0x002f].into(),
            groups: [0x11ec].into(),
            ja4,
            ..hello(0x0304, &["h2"])
        };
        steer(&config, "db", "", &hello).is_some()
    };
    for yes in [
        "alpn = [\"mqtt\", \"h2\"]",
        "min_version = \"1.3\"",
        "max_version = \"1.3\"",
        "cipher = \"TLS_RSA_WITH_AES_128_CBC_SHA\"",
        "group = \"X25519MLKEM768\"",
        "ja4 = \"t13d1516h2_8daaf6152771_e5627efa2ab1\"",
        "alpn = \"h2\", min_version = \"1.2\", cipher = \"0x1301\"",
    ] {
        assert!(asked(yes), "{yes}");
    }
    for no in [
        "alpn = \"http/1.1\"",
        "max_version = \"1.2\"",
        "cipher = \"TLS_AES_256_GCM_SHA384\"",
        "group = \"x25519\"",
        "ja4 = \"t12d1516h2_8daaf6152771_e5627efa2ab1\"",
        "alpn = \"h2\", group = \"x25519\"",
    ] {
        assert!(!asked(no), "{no}");
    }
}
