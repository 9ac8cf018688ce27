//! What the commands that ask a daemon print, and how they end. The daemon here only says what it is told to say.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::thread::JoinHandle;

use proxy_userspace::admin::api::{
    Answer, Backend, Change, Daemon, Drain, Drained, DrainedBackend, Health, HttpListener, HttpUse, Kernel,
    Listener, Mistake, Pool, Refusal, RefusalKind, Reload, Request, State, Status, Upgrade, Use,
};
use proxy_userspace::admin::{Call, Server};

/// A daemon that answers like this until it is dropped.
struct FakeDaemon {
    folder: PathBuf,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDaemon {
    fn start(name: &str, answer: fn(Request) -> Result<Answer, Refusal>) -> Self {
        let folder = std::env::temp_dir().join(format!("pn-asking-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let socket = folder.join("admin.sock");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready, begun) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (calls, mut called) = tokio::sync::mpsc::channel::<Call>(4);
                let _server = Server::start(&socket, 0o600, calls).expect("a socket");
                ready.send(()).expect("somebody waits");
                let serve = async {
                    while let Some(call) = called.recv().await {
                        let _ = call.answer.send(answer(call.request));
                    }
                };
                tokio::select! { () = serve => {}, _ = stopped => {} }
            });
        });
        begun.recv().expect("the daemon begins");
        Self { folder, stop: Some(stop), thread: Some(thread) }
    }

    fn asked(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_proxy-now"))
            .args(words)
            .env("PROXY_NOW_SOCKET", self.folder.join("admin.sock"))
            .output()
            .expect("to start proxy-now")
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn reload_prints_what_changed() {
    let daemon = FakeDaemon::start("reload", |request| {
        assert_eq!(request, Request::Reload);
        let change = Change { what: "backend".into(), name: "app/10.0.0.1:80".into(), how: "added".into() };
        Ok(Answer::Reload(Reload { changes: vec![change], warnings: vec![] }))
    });
    let output = daemon.asked(&["reload"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "backend app/10.0.0.1:80: added\nreloaded; 1 change is in force\n");
    assert_eq!(json(&daemon.asked(&["reload", "--json"]))["changes"][0]["how"], "added");
}

#[test]
fn upgrade_says_who_serves_now() {
    let daemon = FakeDaemon::start("upgrade", |request| {
        assert_eq!(request, Request::Upgrade);
        Ok(Answer::Upgrade(Upgrade { pid: 4711, version: "9.8.7".into() }))
    });
    let output = daemon.asked(&["upgrade"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stdout);
    assert!(said.contains("9.8.7") && said.contains("4711"), "{said}");
    assert_eq!(json(&daemon.asked(&["upgrade", "--json"]))["pid"], 4711);
}

#[test]
fn a_refused_reload_prints_every_mistake_and_fails() {
    let daemon = FakeDaemon::start("refused", |_| {
        let mistake = |line| Mistake {
            severity: "error".into(),
            file: "proxy.toml".into(),
            line,
            column: 1,
            message: "wrong".into(),
            help: None,
            text: format!("error: wrong\n --> proxy.toml:{line}:1"),
        };
        let error = "the configuration has 2 mistakes".into();
        Err(Refusal { kind: RefusalKind::BadConfig, error, mistakes: vec![mistake(3), mistake(7)] })
    });
    let output = daemon.asked(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert!(said.contains("proxy.toml:3:1") && said.contains("proxy.toml:7:1"), "{said}");
    assert!(said.ends_with("error: the configuration has 2 mistakes\n"), "{said}");
    let output = daemon.asked(&["reload", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json(&output)["diagnostics"][1]["line"], 7);
}

fn drained(request: Request) -> Result<Answer, Refusal> {
    let (which, state) = match request {
        Request::Drain(which) => (which, State::Draining),
        Request::Undrain(which) => (which, State::Ready),
        Request::Status => return Ok(Answer::Status(Box::new(status()))),
        other => panic!("{other:?}"),
    };
    if which.backend == "10.9.9.9" {
        return Err(Refusal::new(RefusalKind::NotFound, "no backend 10.9.9.9 in any pool"));
    }
    assert_eq!(which, Drain { backend: "10.0.0.1:80".into(), pool: Some("app".into()) });
    let one = DrainedBackend { pool: "app".into(), backend: which.backend, state, flows: 7 };
    Ok(Answer::Drain(Drained { backends: vec![one] }))
}

#[test]
fn drain_and_undrain_say_what_is_left() {
    let daemon = FakeDaemon::start("drain", drained);
    let output = daemon.asked(&["drain", "10.0.0.1:80", "--pool", "app"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(text(&output.stdout), "10.0.0.1:80 in pool app is draining, 7 flows\n");
    let output = daemon.asked(&["undrain", "10.0.0.1:80", "--pool", "app", "--json"]);
    assert_eq!(json(&output)["backends"][0]["state"], "ready");
    let output = daemon.asked(&["drain", "10.9.9.9"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "error: no backend 10.9.9.9 in any pool\n");
}

#[test]
fn drain_that_waits_fails_when_the_time_is_over_and_flows_are_left() {
    let daemon = FakeDaemon::start("wait", drained);
    let words = ["drain", "10.0.0.1:80", "--pool", "app", "--wait", "--timeout", "100ms"];
    let output = daemon.asked(&words);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(text(&output.stderr).contains("still 12 flows"), "{output:?}");
    assert_eq!(
        daemon.asked(&["drain", "x", "--timeout", "1s"]).status.code(),
        Some(2),
        "--timeout wants --wait"
    );
}

fn status() -> Status {
    let use_ = Use { flows: 12, ..Use::default() };
    let why = Some("status 503".to_owned());
    let backend = Backend {
        address: "10.0.0.1:80".into(),
        weight: Some(3),
        state: State::Down,
        drained_by: None,
        health: Health { word: "down".into(), why, since: Some(61), took_ms: Some(1.5) },
        use_,
        http: Some(HttpUse { requests: 5, connections: 9, ejected: true }),
    };
    let front = HttpListener {
        name: "front".into(),
        bind: vec!["unix:/run/front.sock".into()],
        requests: 4711,
        ..HttpListener::default()
    };
    let listener = Listener {
        name: "web".into(),
        protocol: "tcp".into(),
        forward: "nat".into(),
        bind: vec!["192.0.2.1:80".parse().expect("an address")],
        pool: "app".into(),
        use_,
    };
    Status {
        daemon: Some(Daemon {
            version: "9.8.7".into(),
            refused: Some("2 mistakes".into()),
            ..Daemon::default()
        }),
        kernel: Some(Kernel::default()),
        listeners: vec![listener],
        http: vec![front],
        pools: vec![Pool { name: "app".into(), check: None, backends: vec![backend] }],
    }
}

#[test]
fn status_shows_who_gets_what_and_why_not() {
    let daemon = FakeDaemon::start("status", |_| Ok(Answer::Status(Box::new(status()))));
    let output = daemon.asked(&["status"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for words in [
        "9.8.7",
        "2 mistakes",
        "192.0.2.1:80",
        "10.0.0.1:80",
        "down 1m 1s",
        "status 503",
        "4711",
        "/run/front.sock",
    ] {
        assert!(text(&output.stdout).contains(words), "no {words} in\n{}", text(&output.stdout));
    }
    let output = daemon.asked(&["status", "--json"]);
    assert_eq!(json(&output)["pools"][0]["backends"][0]["flows"], 12);
    assert_eq!(serde_json::from_slice::<Status>(&output.stdout).expect("a status"), status());
}

#[test]
fn without_a_daemon_it_is_said_where_one_was_looked_for() {
    for words in [&["reload"][..], &["drain", "10.0.0.1:80"], &["undrain", "10.0.0.1:80"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_proxy-now"))
            .args(words)
            .args(["--socket", "/nowhere/admin.sock"])
            .output()
            .expect("to start proxy-now");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stderr), "error: no daemon answers on /nowhere/admin.sock\n");
    }
}
