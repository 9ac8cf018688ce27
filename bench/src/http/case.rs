//! What is measured.

/// A case.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// What it is, for people.
    pub(super) what: &'static str,
    /// What clients do.
    pub(super) load: Load,
    /// How many exchanges are measured; of `Idle`, how many connections.
    pub(super) count: usize,
}

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// HTTP/1.1 on connections that stay.
    H1 {
        /// Connections.
        connections: usize,
        /// What is asked for.
        path: &'static str,
    },
    /// HTTP/1.1, one request a connection.
    New {
        /// At a time.
        connections: usize,
    },
    /// HTTP/2 with prior knowledge.
    H2 {
        /// Connections.
        connections: usize,
        /// Requests at a time on each.
        streams: usize,
    },
    /// A message of 1 KiB there and back.
    WebSocket {
        /// Connections.
        connections: usize,
    },
    /// Connections that have asked once and then say nothing.
    Idle,
    /// HTTP/1.1 by TLS, one request a connection.
    Handshakes {
        /// At a time.
        connections: usize,
        /// What each begins with.
        hello: Hello,
    },
    /// HTTP/1.1 by TLS, on connections that stay.
    Tls {
        /// Connections.
        connections: usize,
        /// What is asked for.
        path: &'static str,
    },
    /// HTTP/2 by TLS.
    TlsH2 {
        /// Connections.
        connections: usize,
        /// Requests at a time on each.
        streams: usize,
    },
}

/// What a client of TLS 1.3 begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// A full handshake, by X25519.
    Full,
    /// A full handshake, by X25519MLKEM768.
    Hybrid,
    /// A ticket of an earlier connection, and X25519.
    Resumed,
}

/// The body of small answers.
pub(super) const BODY: usize = 1024;
/// Files of the backend: name, bytes.
pub(super) const FILES: &[(&str, usize)] = &[("100k", 100_000), ("10m", 10_000_000)];

impl Load {
    /// Cost is told for so many exchanges, in words and as a number, with so many digits: what is dear is told for fewer.
    pub(super) const fn unit(self) -> (&'static str, f64, usize) {
        match self {
            Self::Handshakes { .. } => ("CPU-s/k", 1e3, 3),
            _ => ("CPU-s/M", 1e6, 1),
        }
    }
}
