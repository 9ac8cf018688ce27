//! Handing over, on a real kernel: clients, the balancer and backends in namespaces of their own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol as Transport, SockRef, Socket, Type};

use super::handoff::step::Step;
use super::handoff::step::seam::when;
use super::*;
use crate::config::{AttachMode, GuardConfig, KernelConfig, Protocol};
use crate::net::handoff::{Kept, Passed};
use crate::net::repair;

/// Three hosts in a row, and a BPF file system.
struct Row {
    name: String,
    mount: PathBuf,
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command has a program");
    let output = Command::new(program).args(words).output().expect(program);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

const SETUP: &[(&str, &str)] = &[
    ("c", "link set lo up"),
    ("b", "link set lo up"),
    ("s", "link set lo up"),
    ("c", "addr add 10.81.0.2/24 dev eth"),
    ("b", "addr add 10.81.0.1/24 dev front"),
    ("b", "addr add 10.82.0.1/24 dev back"),
    ("s", "addr add 10.82.0.2/24 dev eth"),
    ("c", "addr add fd81::2/64 dev eth nodad"),
    ("b", "addr add fd81::1/64 dev front nodad"),
    ("b", "addr add fd82::1/64 dev back nodad"),
    ("s", "addr add fd82::2/64 dev eth nodad"),
    ("c", "link set eth up"),
    ("b", "link set front up"),
    ("b", "link set back up"),
    ("s", "link set eth up"),
];

impl Row {
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() || object::BYTES.is_empty() {
            let _ = writeln!(std::io::stderr(), "SKIPPED: needs root and the BPF toolchain");
            return None;
        }
        let name = format!("pn-ho-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let row = Self { mount: std::env::temp_dir().join(&name), name };
        std::fs::create_dir(&row.mount).unwrap();
        run(&format!("mount -t bpf bpf {}", row.mount.display()));
        for host in ["c", "b", "s"] {
            run(&format!("ip netns add {}", row.host(host)));
        }
        for (host, device) in [("c", "front"), ("s", "back")] {
            let (balancer, far) = (row.host("b"), row.host(host));
            run(&format!("ip -n {balancer} link add {device} type veth peer name eth netns {far}"));
        }
        for (host, command) in SETUP {
            run(&format!("ip -n {} {command}", row.host(host)));
        }
        for host in ["c", "s"] {
            // veth takes a redirected frame only where its peer polls; and it hands on what was never summed.
            run(&format!("ip netns exec {} ethtool -K eth gro on tx off", row.host(host)));
        }
        for setting in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
            run(&format!("ip netns exec {} sysctl -q {setting}", row.host("b")));
        }
        Some(row)
    }

    fn host(&self, host: &str) -> String {
        format!("{}{host}", self.name)
    }

    /// Runs something on a host.
    fn at<T: Send>(&self, host: &str, what: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.host(host))).unwrap();
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn config(&self) -> KernelConfig {
        KernelConfig {
            interfaces: vec!["front".into(), "back".into()],
            attach: AttachMode::Auto,
            flows: 4096,
            limit_keys: 1024,
            nat_ports: None,
            nat_source: Vec::new(),
            hash_seed: None,
            tcp_idle: Duration::from_secs(3600),
            tcp_closing: Duration::from_secs(60),
            udp_idle: Duration::from_secs(120),
            icmp_limit: None,
            pin_dir: self.mount.join("proxy-now"),
        }
    }

    fn kernel(&self) -> Kernel {
        let local = LocalListener {
            name: LISTENER.into(),
            addresses: SERVICES.iter().map(|text| text.parse().unwrap()).collect(),
            protocol: Protocol::Tcp,
            guard: GuardConfig::default(),
            tls: false,
            names: Vec::new(),
            handoff: true,
            backends: BACKENDS.iter().map(|text| DesiredBackend::ready(text.parse().unwrap(), 1)).collect(),
        };
        let desired =
            Desired { kernel: self.config(), listeners: Vec::new(), local: vec![local], limits: Vec::new() };
        self.at("b", || {
            let kernel = Kernel::open(&self.config()).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(kernel.apply(&desired).unwrap().unroutable, []);
            kernel.attach(&desired.kernel.interfaces, AttachMode::Auto).unwrap();
            kernel.follow().unwrap();
            kernel.keep();
            kernel
        })
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let hosts = ["c", "b", "s"].map(|host| format!("ip netns del {}", self.host(host)));
        let mount = self.mount.display();
        for command in hosts.into_iter().chain([format!("umount {mount}"), format!("rmdir {mount}")]) {
            let mut words = command.split_whitespace();
            drop(Command::new(words.next().unwrap_or("true")).args(words).output());
        }
    }
}

const SOON: Duration = Duration::from_secs(20);
const LISTENER: &str = "tls";
const SERVICES: [&str; 2] = ["10.81.0.1:443", "[fd81::1]:443"];
const BACKENDS: [&str; 2] = ["10.82.0.2:8443", "[fd82::2]:8443"];

/// A connection through the balancer: both of its ends, and the two sockets between.
struct Through {
    client: TcpStream,
    near: TcpStream,
    far: TcpStream,
    backend: TcpStream,
}

/// Listens at a place of a host.
fn listen(row: &Row, host: &str, at: &str) -> TcpListener {
    row.at(host, || TcpListener::bind(at).unwrap())
}

fn connect(row: &Row, kernel: &Kernel, family: usize) -> Through {
    let service = listen(row, "b", SERVICES[family]);
    let server = listen(row, "s", BACKENDS[family]);
    let client =
        row.at("c", || TcpStream::connect_timeout(&SERVICES[family].parse().unwrap(), SOON).unwrap());
    let near = service.accept().unwrap().0;
    let about = about(family);
    let far = row.at("b", || {
        let domain = Domain::for_address(about.backend);
        let socket = Socket::new(domain, Type::STREAM, Some(Transport::TCP)).unwrap();
        kernel.taker().prepare(near.as_fd(), socket.as_fd(), &about).unwrap();
        socket.connect(&about.backend.into()).unwrap();
        TcpStream::from(socket)
    });
    let backend = server.accept().unwrap().0;
    for stream in [&client, &near, &far, &backend] {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    Through { client, near, far, backend }
}

fn about(family: usize) -> Passed<'static> {
    Passed { listener: LISTENER, backend: BACKENDS[family].parse().unwrap() }
}

/// Moves bytes from one to the other.
fn carry(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut got = vec![0; bytes.len()];
    to.read_exact(&mut got).unwrap();
    assert!(got == bytes, "bytes changed on their way");
}

impl Through {
    /// A question and an answer, relayed.
    fn relay(&mut self) {
        carry(&mut self.client, &mut self.near, b"question");
        carry(&mut self.far, &mut self.backend, b"question");
        carry(&mut self.backend, &mut self.far, b"answer");
        carry(&mut self.near, &mut self.client, b"answer");
    }

    /// Hands the connection over, once it is quiet.
    fn hand_over(self, row: &Row, kernel: &Kernel, family: usize) -> (TcpStream, TcpStream) {
        let (taker, until) = (kernel.taker(), Instant::now() + Duration::from_secs(10));
        loop {
            match row
                .at("b", || taker.hand_off([self.near.as_fd(), self.far.as_fd()], [0; 2], &about(family)))
            {
                Ok(()) => return (self.client, self.backend),
                Err(Kept::Busy) if Instant::now() < until => {}
                Err(kept) => panic!("{kept}"),
            }
        }
    }
}

#[test]
fn a_relayed_connection_goes_on_without_its_relay() {
    let Some(row) = Row::new() else { return };
    let kernel = row.kernel();
    for family in [0, 1] {
        let mut through = connect(&row, &kernel, family);
        through.relay();
        let (mut client, mut backend) = through.hand_over(&row, &kernel, family);
        for round in 0..1000u32 {
            carry(&mut client, &mut backend, &round.to_ne_bytes());
            carry(&mut backend, &mut client, &round.to_be_bytes());
        }
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(backend.read(&mut [0; 1]).unwrap(), 0, "half closed");
        carry(&mut backend, &mut client, b"last words");
        drop(backend);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }
    assert_eq!(kernel.taker().handed_over(), 2);
}

/// What a peer does in the middle of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ends {
    Closes,
    Resets,
}

/// One end does it at this step.
fn ends(how: Ends, at: Step, end: &mut Option<TcpStream>) {
    let own =
        if how == Ends::Closes { end.as_ref().unwrap().try_clone().unwrap() } else { end.take().unwrap() };
    when(at, move || {
        if how == Ends::Closes {
            own.shutdown(Shutdown::Write).unwrap();
        } else {
            SockRef::from(&own).set_linger(Some(Duration::ZERO)).unwrap();
            drop(own);
        }
        // It is on its way.
        std::thread::sleep(Duration::from_millis(1));
    });
}

/// Whether a read says that the connection was reset, or has ended.
fn is_over(end: &mut TcpStream) -> bool {
    match end.read(&mut [0; 16]) {
        Ok(count) => count == 0,
        Err(error) => {
            let gone = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
            assert!(gone.contains(&error.kind()), "{error}");
            true
        }
    }
}

#[test]
fn a_peer_may_close_or_reset_at_every_step() {
    let Some(row) = Row::new() else { return };
    let kernel = row.kernel();
    let cases = Step::ALL.into_iter().flat_map(|step| {
        [Ends::Closes, Ends::Resets].into_iter().flat_map(move |how| [(step, how, 0), (step, how, 1)])
    });
    for (step, how, who) in cases {
        let mut through = connect(&row, &kernel, 0);
        through.relay();
        let Through { client, near, far, backend } = through;
        until_quiet(&near, &far);
        let mut peers = [Some(client), Some(backend)];
        let taker = kernel.taker();
        let result = row.at("b", || {
            ends(how, step, &mut peers[who]);
            taker.hand_off([near.as_fd(), far.as_fd()], [0; 2], &about(0))
        });
        let case = format!("{step:?} {how:?} {who}: {result:?}");
        let [mut one, mut other] = peers;
        if who == 1 {
            std::mem::swap(&mut one, &mut other);
        }
        let mut other = other.unwrap();
        // Its relay goes on: what one side says the other is told.
        let (mut its, mut others) = if who == 0 { (near, far) } else { (far, near) };
        let handed = result.is_ok();
        if handed {
            drop((its, others));
            if how == Ends::Closes {
                assert_eq!(other.read(&mut [0; 1]).expect(&case), 0, "{case}");
                carry(&mut other, one.as_mut().unwrap(), b"last words");
                drop(other);
                assert_eq!(one.unwrap().read(&mut [0; 1]).expect(&case), 0, "{case}");
            } else {
                // A reset that was lost comes again when it is asked for.
                assert!(other.write_all(b"?").is_err() || is_over(&mut other), "{case}");
            }
        } else if how == Ends::Closes {
            assert_eq!(its.read(&mut [0; 1]).expect(&case), 0, "{case}");
            others.shutdown(Shutdown::Write).unwrap();
            assert_eq!(other.read(&mut [0; 1]).expect(&case), 0, "{case}");
            carry(&mut other, &mut others, b"last words");
            carry(&mut its, one.as_mut().unwrap(), b"last words");
        } else {
            assert!(is_over(&mut its), "{case}");
            SockRef::from(&others).set_linger(Some(Duration::ZERO)).unwrap();
            drop(others);
            assert!(is_over(&mut other), "{case}");
        }
    }
    std::thread::sleep(Duration::from_millis(150));
    kernel.taker().tidy().unwrap();
    assert!(kernel.taker().counts().iter().all(|count| count.word != "torn" || count.count == 0));
}

/// Waits until all that was sent was acknowledged.
fn until_quiet(near: &TcpStream, far: &TcpStream) {
    let until = Instant::now() + SOON;
    while [near, far].iter().any(|socket| repair::unacknowledged(socket.as_fd()).unwrap() > 0) {
        assert!(Instant::now() < until);
        std::thread::yield_now();
    }
}
