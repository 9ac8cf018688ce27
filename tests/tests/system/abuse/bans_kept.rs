//! Bans that last: through an upgrade, from documents of the web, and of clients behind proxies.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proxy_tests::config::{self, Listener};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::wait::{SOON, until_true};
use proxy_tests::web;
use proxy_tests::world::{Family, World};

pub(crate) const FACTS: &[Fact] = facts![
    bans_outlive_an_upgrade_and_are_the_new_daemons_then,
    a_list_of_the_web_is_asked_for_again_and_stays_while_it_does_not_come,
    clients_behind_a_proxy_are_banned_and_the_proxy_is_not,
];

/// A connection that is not answered is given up after this: nothing here is slow but what is dropped.
const DROPPED: Duration = Duration::from_millis(700);

fn is_let_in(world: &World, to: SocketAddr) -> bool {
    let connected = world.client().enter(|| TcpStream::connect_timeout(&to, DROPPED));
    connected.is_ok_and(|connected| connected.is_ok())
}

fn bans_outlive_an_upgrade_and_are_the_new_daemons_then() -> Result<()> {
    let world = World::routed().build()?;
    let path = world.folder().join("bad.txt");
    std::fs::write(&path, "203.0.113.0/24\n")?;
    let text = format!("{}\n[ban]\nlists = [{path:?}]\n", config::text(&world, &Listener::all(&world)));
    let daemon = Daemon::start(&world, &text)?;
    daemon.wait_log("is in force")?;
    let (client, to) = (world.client_address(Family::V4, 0).to_string(), world.service(Family::V4));
    daemon.cli(&["ban", "add", &client, "--for", "1h", "--why", "before"])?;
    daemon.cli(&["ban", "add", "198.51.100.7", "--for", "3s"])?;
    daemon.cli(&["upgrade"])?;
    ensure!(!is_let_in(&world, to), "still banned");
    let list = daemon.json(&["ban", "list"])?;
    let ban =
        list["bans"].as_array().into_iter().flatten().find(|ban| ban["prefix"] == format!("{client}/32"));
    let left = ban.context("the ban")?["seconds_left"].as_u64();
    ensure!(left.is_some_and(|left| (3000..=3600).contains(&left)), "{list}");
    // The daemon before has nothing to say any more: neither the end of its bans, nor its lists.
    daemon.cli(&["ban", "add", "198.51.100.7", "--for", "1h", "--why", "after"])?;
    std::fs::write(&path, "203.0.113.0/25\n")?;
    until_true("the new daemon reads the list", SOON, || {
        daemon.cli(&["ban", "list", "--all"]).is_ok_and(|list| list.contains("203.0.113.0/25"))
    })?;
    std::thread::sleep(Duration::from_secs(3));
    let list = daemon.cli(&["ban", "list", "--all"])?;
    ensure!(list.contains("198.51.100.7") && list.contains("after"), "{list}");
    ensure!(list.contains("203.0.113.0/25") && !list.contains("203.0.113.0/24"), "{list}");
    daemon.cli(&["ban", "remove", &client])?;
    ensure!(is_let_in(&world, to), "the new daemon lets it in again");
    Ok(())
}

/// A server with one document, and how often it was told that nothing has changed.
fn serve(
    world: &World,
    document: Arc<Mutex<Option<String>>>,
    unchanged: Arc<Mutex<u32>>,
) -> Result<SocketAddr> {
    let listener = world.balancer.enter(|| TcpListener::bind("127.0.0.1:0"))??;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut piece = [0; 1024];
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(count) => head.extend_from_slice(&piece[..count]),
                }
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let document = document.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let answer = match document {
                None => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n".to_owned(),
                Some(text) if head.contains(&format!("if-none-match: \"{}\"", text.len())) => {
                    *unchanged.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    "HTTP/1.1 304 Not Modified\r\n".to_owned()
                }
                Some(text) => {
                    format!(
                        "HTTP/1.1 200 OK\r\netag: \"{0}\"\r\ncontent-length: {0}\r\n\r\n{text}",
                        text.len()
                    )
                }
            };
            let end = if answer.contains("\r\n\r\n") { "" } else { "connection: close\r\n\r\n" };
            // Who asked may have gone.
            drop(stream.write_all(format!("{answer}{end}").as_bytes()));
        }
    });
    Ok(address)
}

fn a_list_of_the_web_is_asked_for_again_and_stays_while_it_does_not_come() -> Result<()> {
    let world = World::routed().build()?;
    let document = Arc::new(Mutex::new(Some("203.0.113.0/24\n".to_owned())));
    let unchanged = Arc::new(Mutex::new(0));
    let server = serve(&world, document.clone(), unchanged.clone())?;
    let put = |text: Option<String>| *document.lock().unwrap_or_else(PoisonError::into_inner) = text;
    let all = config::text(&world, &Listener::all(&world));
    let text = format!("{all}\n[ban]\nlists = [\"http://{server}/bad.txt\"]\nrefresh = \"1s\"\n");
    let daemon = Daemon::start(&world, &text)?;
    let (client, to) = (world.client_address(Family::V4, 0), world.service(Family::V4));
    daemon.wait_log("is in force")?;
    ensure!(is_let_in(&world, to), "nobody has banned {client}");
    until_true("it is asked whether it has changed", SOON, || {
        *unchanged.lock().unwrap_or_else(PoisonError::into_inner) > 0
    })?;
    put(Some(format!("203.0.113.0/24\n{client}\n")));
    until_true("what is new in the list is in force", SOON, || !is_let_in(&world, to))?;
    put(None);
    daemon.wait_log("what was in it before stays in force")?;
    ensure!(!is_let_in(&world, to), "the list of before stays");
    put(Some("203.0.113.0/24\n# nobody else\n".to_owned()));
    until_true("it comes again, without the client", Duration::from_secs(60), || is_let_in(&world, to))
}

fn clients_behind_a_proxy_are_banned_and_the_proxy_is_not() -> Result<()> {
    let world = World::routed().build()?;
    let bind = SocketAddr::new(world.balancer_address(Family::V4), 8088);
    let proxy = world.client_address(Family::V4, 0);
    let (interfaces, pins) = (world.interfaces(), world.pin_dir());
    let text = web::text(
        &world,
        &format!(
            "[kernel]\ninterfaces = {interfaces:?}\npin_dir = {pins:?}\nflows = 4096\n\n\
             [listener.web]\nbind = [\"{bind}\"]\nprotocol = \"http\"\ntrusted_proxies = [\"{proxy}\"]\n\n\
             [[route]]\nlistener = \"web\"\npath = \"/ok\"\nrespond = 204\n\n\
             [auto-ban.scans]\nevents = [\"404\"]\ncount = 3\nwithin = \"30s\"\nfor = \"10m\"\n"
        ),
    );
    let daemon = Daemon::start(&world, &text)?;
    let ask = |client: &str, path: &str| -> Result<u16> {
        let field = format!("x-forwarded-for: {client}");
        Ok(web::curl(world.client(), &["-H", &field, &format!("http://{bind}{path}")])?.status)
    };
    let (bad, good) = ("203.0.113.9", "203.0.113.10");
    for _ in 0..3 {
        ensure!(ask(bad, "/nothing")? == 404, "there is nothing there");
    }
    until_true("its requests are refused", SOON, || ask(bad, "/ok").is_ok_and(|status| status == 403))?;
    ensure!(ask(good, "/ok")? == 204, "another client of the same proxy is served");
    let list = daemon.json(&["ban", "list"])?;
    let prefixes: Vec<_> = list["bans"].as_array().into_iter().flatten().map(|ban| &ban["prefix"]).collect();
    ensure!(prefixes == [&format!("{bad}/32")], "{list}");
    let refused = daemon.command(&["ban", "add", &proxy.to_string()])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        !refused.status.success() && said.contains("trusts proxies") && said.contains("--force"),
        "{said}"
    );
    Ok(())
}
