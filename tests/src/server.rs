//! Small real servers that say who they are: HTTP/1.1 with keep-alive, and UDP that answers name and datagram.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use anyhow::{Context, Result};

use crate::netns::Namespace;

/// Servers of one backend: any number of addresses, one name, one state of health. They stop when dropped.
pub struct Server {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    listeners: Vec<TcpListener>,
}

struct Shared {
    name: String,
    healthy: AtomicBool,
    stop: AtomicBool,
    requests: AtomicU64,
    datagrams: AtomicU64,
    connections: Mutex<HashMap<u64, TcpStream>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl Server {
    /// A server that listens on nothing yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let shared = Shared {
            name: name.to_owned(),
            healthy: AtomicBool::new(true),
            stop: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            datagrams: AtomicU64::new(0),
            connections: Mutex::new(HashMap::new()),
        };
        Self { shared: Arc::new(shared), threads: Vec::new(), listeners: Vec::new() }
    }

    /// Speaks HTTP at `address`: `/` says the name, `/bytes/N` gives N bytes, `/healthz` is 200 or 503, and what is
    /// posted comes back.
    ///
    /// # Errors
    /// When the address is not to be had.
    pub fn http(&mut self, namespace: &Namespace, address: SocketAddr) -> Result<()> {
        let listener = namespace
            .enter(|| TcpListener::bind(address))?
            .with_context(|| format!("{} cannot listen at tcp {address}", self.shared.name))?;
        self.listeners.push(listener.try_clone()?);
        let shared = Arc::clone(&self.shared);
        self.threads.push(thread::spawn(move || accept(&listener, &shared)));
        Ok(())
    }

    /// Answers each datagram at `address` with the name, a line feed and the datagram.
    ///
    /// # Errors
    /// When the address is not to be had.
    pub fn udp(&mut self, namespace: &Namespace, address: SocketAddr) -> Result<()> {
        let socket = namespace
            .enter(|| UdpSocket::bind(address))?
            .with_context(|| format!("{} cannot listen at udp {address}", self.shared.name))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let shared = Arc::clone(&self.shared);
        self.threads.push(thread::spawn(move || answer_datagrams(&socket, &shared)));
        Ok(())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// What `/healthz` says from now on.
    pub fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Relaxed);
    }

    /// HTTP requests answered so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Relaxed)
    }

    /// Datagrams answered so far.
    #[must_use]
    pub fn datagrams(&self) -> u64 {
        self.shared.datagrams.load(Relaxed)
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections().len()
    }

    /// Stops listening and closes every connection.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        for listener in self.listeners.drain(..) {
            // Wakes the thread that accepts; a listener that is closed already is closed.
            let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
        }
        for stream in self.shared.connections().values() {
            drop(stream.shutdown(Shutdown::Both));
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's thread needs little stack, and there may be thousands.
const STACK: usize = 96 * 1024;

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut number = 0;
    while let Ok((stream, peer)) = listener.accept() {
        if shared.stop.load(Relaxed) {
            return;
        }
        let (Ok(copy), _) = (stream.try_clone(), stream.set_nodelay(true)) else { continue };
        number += 1;
        let key = number << 16 | u64::from(listener.local_addr().map_or(0, |address| address.port()));
        shared.connections().insert(key, copy);
        let for_thread = Arc::clone(shared);
        let serve = move || {
            // A client that goes away is no failure of a server.
            drop(serve(stream, peer, &for_thread));
            for_thread.connections().remove(&key);
        };
        if thread::Builder::new().stack_size(STACK).spawn(serve).is_err() {
            shared.connections().remove(&key);
        }
    }
}

/// What a request asked for.
struct Request {
    path: String,
    body: Vec<u8>,
    close: bool,
}

fn serve(stream: TcpStream, peer: SocketAddr, shared: &Shared) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(16 * 1024, stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read_request(&mut reader)? {
        shared.requests.fetch_add(1, Relaxed);
        let (status, body) = respond(&request, shared);
        let head = format!(
            "HTTP/1.1 {status}\r\nServer-Name: {}\r\nPeer: {peer}\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
            shared.name,
            body.len(),
            if request.close { "close" } else { "keep-alive" },
        );
        let mut message = head.into_bytes();
        message.extend_from_slice(&body);
        stream.write_all(&message)?;
        if request.close {
            return Ok(());
        }
    }
    Ok(())
}

fn respond(request: &Request, shared: &Shared) -> (&'static str, Vec<u8>) {
    if let Some(count) = request.path.strip_prefix("/bytes/") {
        return ("200 OK", pattern(count.parse().unwrap_or(0)));
    }
    match request.path.as_str() {
        "/healthz" if !shared.healthy.load(Relaxed) => ("503 Service Unavailable", b"ill\n".to_vec()),
        "/healthz" => ("200 OK", b"well\n".to_vec()),
        "/echo" => ("200 OK", request.body.clone()),
        _ => ("200 OK", format!("{}\n", shared.name).into_bytes()),
    }
}

/// `count` bytes in which every position can be told from its neighbours.
#[must_use]
pub fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8 ^ (at / 251) as u8).collect()
}

fn read_request(reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
    let (mut length, mut close) = (0, false);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let lower = line.trim().to_ascii_lowercase();
        if lower.is_empty() {
            break;
        }
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        close |= lower == "connection: close";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request { path, body, close }))
}

fn answer_datagrams(socket: &UdpSocket, shared: &Shared) {
    let mut buffer = vec![0; 65_536];
    while !shared.stop.load(Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let mut answer = format!("{}\n", shared.name).into_bytes();
        answer.extend_from_slice(&buffer[..length]);
        shared.datagrams.fetch_add(1, Relaxed);
        // Lost datagrams are the client's to notice.
        drop(socket.send_to(&answer, from));
    }
}
