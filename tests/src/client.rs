//! Clients: HTTP, TCP and UDP, from inside a namespace.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::netns::Namespace;

/// How long a client waits for a connection or an answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that speaks HTTP/1.1 with keep-alive.
#[derive(Debug)]
pub struct Http {
    reader: BufReader<TcpStream>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Who answered.
    pub server: String,
    /// Whom the server saw.
    pub peer: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Http {
    /// Connects from inside `namespace`.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub fn connect(namespace: &Namespace, to: SocketAddr) -> Result<Self> {
        let stream = namespace
            .enter(|| TcpStream::connect_timeout(&to, PATIENCE))?
            .with_context(|| format!("no connection to {to}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::with_capacity(2048, stream) })
    }

    /// The connection itself.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// Who answers.
    ///
    /// # Errors
    /// When nobody does in time.
    pub fn who(&mut self) -> Result<String> {
        Ok(self.get("/")?.server)
    }

    /// Gets a path.
    ///
    /// # Errors
    /// When no whole answer comes in time.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n").as_bytes())
    }

    /// Posts `body`, which comes back.
    ///
    /// # Errors
    /// When no whole answer comes in time.
    pub fn post(&mut self, body: &[u8]) -> Result<Answer> {
        self.post_to("/echo", body)
    }

    /// Posts `body` to a path.
    ///
    /// # Errors
    /// When no whole answer comes in time.
    pub fn post_to(&mut self, path: &str, body: &[u8]) -> Result<Answer> {
        let length = body.len();
        let mut message =
            format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n").into_bytes();
        message.extend_from_slice(body);
        self.exchange(&message)
    }

    fn exchange(&mut self, message: &[u8]) -> Result<Answer> {
        self.reader.get_mut().write_all(message).context("a request cannot be sent")?;
        let mut line = String::new();
        if self.reader.read_line(&mut line).context("no answer")? == 0 {
            bail!("closed without an answer");
        }
        let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.with_context(|| format!("no status in {line:?}"))?;
        let (mut length, mut server, mut peer) = (0, String::new(), String::new());
        loop {
            line.clear();
            self.reader.read_line(&mut line).context("half an answer")?;
            let Some((key, value)) = line.trim().split_once(": ") else { break };
            match key.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse()?,
                "server-name" => value.clone_into(&mut server),
                "peer" => value.clone_into(&mut peer),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).context("half a body")?;
        Ok(Answer { status, server, peer, body })
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// When no whole answer comes in time.
pub fn get(namespace: &Namespace, to: SocketAddr, path: &str) -> Result<Answer> {
    Http::connect(namespace, to)?.get(path)
}

/// A UDP client: one socket, connected.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
}

impl Udp {
    /// A socket inside `namespace` that talks to `to` alone.
    ///
    /// # Errors
    /// When there is no route.
    pub fn connect(namespace: &Namespace, to: SocketAddr) -> Result<Self> {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = namespace.enter(|| -> std::io::Result<UdpSocket> {
            let socket = UdpSocket::bind(any)?;
            socket.connect(to)?;
            Ok(socket)
        })??;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { socket })
    }

    /// The socket itself.
    #[must_use]
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends a datagram and waits for the answer: who answered, and that the datagram came back whole.
    ///
    /// # Errors
    /// When none comes in time, or another one.
    pub fn ask(&self, datagram: &[u8]) -> Result<String> {
        self.socket.send(datagram).context("a datagram cannot be sent")?;
        let mut buffer = vec![0; 65_536];
        let length = self.socket.recv(&mut buffer).context("no datagram came back")?;
        let answer = &buffer[..length];
        let end = answer.iter().position(|byte| *byte == b'\n').context("an answer without a name")?;
        if &answer[end + 1..] != datagram {
            bail!("{} bytes were sent, others came back ({length} with the name)", datagram.len());
        }
        Ok(String::from_utf8_lossy(&answer[..end]).into_owned())
    }
}
