//! What the program does when it is started with words that need no kernel: answers, where they go, exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn proxy_now(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_proxy-now"))
        .args(arguments)
        .env_remove("PROXY_NOW_SOCKET")
        .output()
        .expect("to start proxy-now")
}

fn example(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    path.display().to_string()
}

fn mistakes(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes").join(name);
    path.display().to_string()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn check_says_what_would_be_served() {
    let output = proxy_now(&["check", &example("full.toml")]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for part in ["web.v4", "web.v6", "203.0.113.10:53", "https /healthz on port 8443 every 2s", "no mistake"]
    {
        assert!(text(&output.stdout).contains(part), "{part}: {}", text(&output.stdout));
    }
    assert!(!text(&output.stdout).contains('\x1b'), "colour without a terminal");
}

#[test]
fn check_finds_its_file_by_the_option_of_every_command() {
    let output = proxy_now(&["--config", &example("udp-dns.toml"), "check"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output.stdout).contains("dns-udp"));
}

#[test]
fn check_fails_with_every_mistake_on_standard_error() {
    let output = proxy_now(&["check", &mistakes("repeats.toml")]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    assert_eq!(text(&output.stderr).matches("-->").count(), 5);
    assert!(text(&output.stderr).ends_with("error: the configuration has 5 mistakes\n"));
}

#[test]
fn check_warns_and_yet_succeeds() {
    let output = proxy_now(&["check", &mistakes("warnings.toml")]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stderr).matches("warning:").count(), 2);
    assert!(text(&output.stdout).contains("no mistake (2 warnings)"));
}

#[test]
fn json_has_the_same_facts_for_programs() {
    let bad = proxy_now(&["check", "--json", &mistakes("repeats.toml")]);
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(json(&bad)["diagnostics"].as_array().map(Vec::len), Some(5));
    assert_eq!(json(&bad)["diagnostics"][0]["line"], 2);
    let good = proxy_now(&["check", "--json", &example("quickstart.toml")]);
    assert_eq!(good.status.code(), Some(0));
    assert_eq!(json(&good)["listeners"][0]["name"], "web.v4");
    let absent = proxy_now(&["check", "--json", "/nowhere/proxy.toml"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(json(&absent)["error"].as_str().is_some_and(|error| error.contains("/nowhere/proxy.toml")));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = proxy_now(&["check", "/nowhere/proxy.toml"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert_eq!(
        said,
        "error: cannot read the configuration /nowhere/proxy.toml: No such file or directory (os error 2)\n"
    );
}

#[test]
fn a_wrong_word_is_a_usage_error() {
    for arguments in [&["chekc"][..], &["check", "--jsn"], &["completions", "tcl"], &[]] {
        assert_eq!(proxy_now(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_request_that_is_none_is_a_usage_error_with_and_without_a_configuration() {
    for config in [example("full.toml"), "/nowhere/proxy.toml".to_owned()] {
        for arguments in [
            &["ftp://a.test/"][..],
            &["http://"],
            &["http://a.test/../x"],
            &["http://a.test/", "--method", "G T"],
            &["http://a.test/", "--header", "x"],
        ] {
            let output = proxy_now(&[&["explain", "--config", &config], arguments].concat());
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        }
    }
    let unread = proxy_now(&["explain", "--config", "/nowhere/proxy.toml", "http://a.test/"]);
    assert_eq!(unread.status.code(), Some(1), "{unread:?}");
}

#[test]
fn schema_knows_every_table_and_its_defaults() {
    let schema = json(&proxy_now(&["schema"]));
    let properties = &schema["properties"];
    assert_eq!(properties["kernel"]["properties"]["tcp_idle"]["default"], "1h");
    assert_eq!(properties["kernel"]["required"][0], "interfaces");
    let pool = &properties["pool"]["additionalProperties"]["properties"];
    assert_eq!(pool["health"]["properties"]["rise"]["minimum"], 1);
}

#[test]
fn there_are_completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = proxy_now(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("proxy-now"), "{shell}");
    }
}

#[test]
fn help_and_version_are_answers() {
    for arguments in [["--help"], ["--version"]] {
        let output = proxy_now(&arguments);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("proxy-now"));
    }
}

#[test]
fn check_says_where_the_certificate_of_each_host_comes_from_and_what_is_wrong_with_files() {
    let folder = std::env::temp_dir().join(format!("pn-check-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let pair = rcgen::generate_simple_self_signed(["shop.example.com".to_owned()]).unwrap();
    std::fs::write(folder.join("shop.pem"), pair.cert.pem() + &pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("broken.crt"), "no certificate").unwrap();
    let config = folder.join("proxy.toml");
    let path = |name: &str| folder.join(name).display().to_string();
    let written = format!(
        "[[tls.certificate]]\ncert = {:?}\n[[tls.certificate]]\ncert = {:?}\n\
         [listener.secure]\nbind = \"127.0.0.1:8443\"\nprotocol = \"https\"\n\
         [[route]]\nhost = [\"shop.example.com\", \"www.example.com\", \"vault.internal\"]\nrespond = 204\n\
         [[route]]\nhost = \"files.example.com\"\ntls = \"files\"\nrespond = 204\n",
        path("shop.pem"),
        path("broken.crt"),
    );
    std::fs::write(&config, written).unwrap();
    let output = proxy_now(&["check", &config.display().to_string()]);
    let programs = proxy_now(&["check", "--json", &config.display().to_string()]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let hosts: Vec<_> = json(&programs)["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|host| format!("{} {}", host["host"].as_str().unwrap(), host["certificate"].as_str().unwrap()))
        .collect();
    let wanted = [
        "files.example.com none",
        "shop.example.com files (rcgen self signed cert)",
        "vault.internal internal",
        "www.example.com acme (letsencrypt)",
    ];
    assert_eq!(hosts, wanted);
    let said = text(&output.stderr);
    assert!(said.contains("broken.crt") && said.contains("proxy.toml:4:1"), "{said}");
    assert!(said.contains("files.example.com wants its certificate from files"), "{said}");
    assert!(text(&output.stdout).contains("CERTIFICATE"), "{output:?}");
}
