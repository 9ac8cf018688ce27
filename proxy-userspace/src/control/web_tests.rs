//! Facts about listeners of HTTP that come, change and go while the daemon runs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use super::handover::Estate;
use super::outside::Outside;
use super::run::{RunError, start};
use super::supervisor::Supervisor;
use super::web::WebError;
use crate::config::KernelConfig;

const SOON: Duration = Duration::from_secs(10);

/// A daemon without a kernel part, whose loop does not run.
struct Served {
    folder: PathBuf,
    _io: Runtime,
    supervisor: Option<Supervisor>,
}

impl Served {
    fn start(name: &str, config: &str) -> Result<Self, RunError> {
        let folder = std::env::temp_dir().join(format!("pn-web-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let io = Builder::new_current_thread().enable_all().build().unwrap();
        let mut served = Self { folder, _io: io, supervisor: None };
        served.write(config);
        let open = |_: &KernelConfig| Err("there is no [kernel]".into());
        let outside = Outside { load: Box::new(crate::config::load), open: Box::new(open), give_back: || () };
        let (_, ordered) = mpsc::channel(1);
        let handle = served._io.handle().clone();
        let (supervisor, _) = start(&served.file(), outside, handle, ordered, Estate::default())?;
        served.supervisor = Some(supervisor);
        Ok(served)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("proxy.toml")
    }

    fn write(&self, config: &str) {
        let admin = self.folder.join("admin.sock");
        let text = format!("[admin]\nsocket = \"{}\"\n[server]\nworkers = 2\n{config}", admin.display());
        std::fs::write(self.file(), text).unwrap();
    }

    fn reload(&mut self, config: &str) -> Result<(), String> {
        self.write(config);
        let supervisor = self.supervisor.as_mut().unwrap();
        supervisor.reload("a test").map(drop).map_err(|refusal| refusal.error)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn listener(name: &str, address: SocketAddr, says: &str) -> String {
    format!(
        "[listener.{name}]\nbind = \"{address}\"\nprotocol = \"http\"\n\
         [[route]]\nlistener = \"{name}\"\nrespond = {{ status = 200, body = \"{says}\" }}\n"
    )
}

fn connect(address: SocketAddr) -> Option<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, SOON).ok()?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    Some(stream)
}

/// The body of the answer on a connection that stays.
fn ask(stream: &mut TcpStream) -> Option<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").ok()?;
    let mut answer = String::new();
    let mut bytes = [0; 1024];
    loop {
        let count = stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
        answer.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        if body.len() == length.parse::<usize>().unwrap() {
            return Some(body.to_owned());
        }
    }
}

fn once(address: SocketAddr) -> Option<String> {
    ask(&mut connect(address)?)
}

#[test]
fn listeners_come_and_go_and_a_connection_lives_through_what_does_not_concern_it() {
    let (one, other) = (free(), free());
    let mut served = Served::start("come", &listener("one", one, "first")).unwrap();
    let mut stays = connect(one).unwrap();
    assert_eq!(ask(&mut stays).as_deref(), Some("first"));
    assert_eq!(once(other), None);

    let both = listener("one", one, "second") + &listener("other", other, "new");
    served.reload(&both).unwrap();
    assert_eq!(once(other).as_deref(), Some("new"));
    assert_eq!(ask(&mut stays).as_deref(), Some("second"), "by the same connection");

    let mut leaves = connect(one).unwrap();
    assert_eq!(ask(&mut leaves).as_deref(), Some("second"));
    served.reload(&listener("other", other, "new")).unwrap();
    assert_eq!(once(other).as_deref(), Some("new"));
    let ends = leaves.read(&mut [0; 64]);
    assert!(matches!(ends, Ok(0)), "a connection of a listener that is gone ends: {ends:?}");
    assert!(connect(one).is_none(), "nobody waits there any more");
}

#[test]
fn a_listener_with_another_name_goes_on_with_the_connections_it_had() {
    let one = free();
    let mut served = Served::start("renamed", &listener("one", one, "first")).unwrap();
    let mut stays = connect(one).unwrap();
    assert_eq!(ask(&mut stays).as_deref(), Some("first"));
    served.reload(&listener("public", one, "second")).unwrap();
    assert_eq!(once(one).as_deref(), Some("second"));
    assert_eq!(ask(&mut stays).as_deref(), Some("second"), "by the same connection");
}

#[test]
fn a_request_that_was_on_its_way_to_a_listener_that_is_gone_is_not_told_that_there_is_nothing() {
    let (one, other) = (free(), free());
    let mut served = Served::start("stranded", &listener("one", one, "first")).unwrap();
    let mut stream = connect(one).unwrap();
    assert_eq!(ask(&mut stream).as_deref(), Some("first"));
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    served.reload(&listener("other", other, "new")).unwrap();
    assert_eq!(once(other).as_deref(), Some("new"));
    stream.write_all(b"host: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("connection: close\r\n"), "{answer}");
}

#[test]
fn a_configuration_with_an_address_in_use_changes_nothing() {
    let (one, other) = (free(), free());
    let mut served = Served::start("in-use", &listener("one", one, "first")).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let wanted = listener("one", one, "second")
        + &listener("other", other, "new")
        + &listener("taken", taken.0, "never");
    let refused = served.reload(&wanted).unwrap_err();
    assert!(refused.contains(&taken.0.to_string()) && refused.contains("in use"), "{refused}");
    assert_eq!(once(one).as_deref(), Some("first"));
    assert!(connect(other).is_none(), "what was bound for it is free again");

    let started = Served::start("in-use-at-start", &listener("taken", taken.0, "never"));
    assert!(matches!(started.err(), Some(RunError::Web(WebError::Listen(_)))));
}

#[test]
fn the_number_of_workers_is_for_the_next_daemon() {
    let one = free();
    let mut served = Served::start("workers", &listener("one", one, "first")).unwrap();
    served.write(&listener("one", one, "second"));
    let text = std::fs::read_to_string(served.file()).unwrap().replace("workers = 2", "workers = 3");
    std::fs::write(served.file(), text).unwrap();
    let refusal = served.supervisor.as_mut().unwrap().reload("a test").unwrap_err();
    assert!(refusal.error.contains("proxy-now upgrade"), "{}", refusal.error);
    assert_eq!(once(one).as_deref(), Some("first"));
}

#[test]
fn status_knows_who_is_connected_and_what_was_asked() {
    let one = free();
    let served = Served::start("status", &listener("one", one, "first")).unwrap();
    let mut stays = connect(one).unwrap();
    ask(&mut stays).unwrap();
    let status = served.supervisor.as_ref().unwrap().status();
    let http = &status.http[0];
    assert_eq!((http.connections, http.accepted, http.refused), (1, 1, 0), "{http:?}");
    assert_eq!(http.bind, [one.to_string()]);
}

#[test]
fn a_client_that_leaves_is_not_waited_for_and_one_that_stays_is_told() {
    let one = free();
    let mut served = Served::start("leave", &listener("one", one, "first")).unwrap();
    let mut stays = connect(one).unwrap();
    ask(&mut stays).unwrap();
    let supervisor = served.supervisor.as_mut().unwrap();
    assert!(!supervisor.leave("a test"), "somebody may be in");
    assert!(matches!(stays.read(&mut [0; 64]), Ok(0)), "an idle connection is closed");
    let since = std::time::Instant::now();
    while supervisor.has_left().is_none() {
        assert!(since.elapsed() < SOON);
        std::thread::yield_now();
    }
    assert!(connect(one).is_none());
    let refusal = supervisor.reload("a test").unwrap_err();
    assert!(refusal.error.contains("about to end"), "{}", refusal.error);
    assert!(connect(one).is_none(), "it does not come back");
}
