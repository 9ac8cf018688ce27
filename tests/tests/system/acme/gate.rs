//! Who is asked whether a name may have a certificate.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Result;
use proxy_tests::netns::Namespace;

use super::message::Message;

/// An endpoint that permits, or does not. It ends when dropped.
#[derive(Debug)]
pub(super) struct Gate {
    shared: Arc<Shared>,
    listener: TcpListener,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    permits: AtomicBool,
    asked: AtomicUsize,
    last: Mutex<String>,
}

impl Gate {
    /// Permits nothing yet.
    pub(super) fn start(namespace: &Namespace, at: SocketAddr) -> Result<Self> {
        let listener = namespace.enter(|| TcpListener::bind(at))??;
        let (copy, shared) = (listener.try_clone()?, Arc::new(Shared::default()));
        let own = Arc::clone(&shared);
        let accepting = thread::spawn(move || {
            while let Ok((stream, _)) = copy.accept() {
                let own = Arc::clone(&own);
                // A client that goes away is no failure.
                thread::spawn(move || drop(own.serve(stream)));
            }
        });
        Ok(Self { shared, listener, accepting: Some(accepting) })
    }

    /// From now on every name is permitted.
    pub(super) fn permit(&self) {
        self.shared.permits.store(true, Relaxed);
    }

    /// How often it was asked.
    pub(super) fn asked(&self) -> usize {
        self.shared.asked.load(Relaxed)
    }

    /// What it was asked last.
    pub(super) fn last(&self) -> String {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        while let Some(request) = Message::read_request(&mut reader)? {
            self.asked.fetch_add(1, Relaxed);
            request.path().clone_into(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner));
            let status = if self.permits.load(Relaxed) { 200 } else { 403 };
            let answer = Message::answer(status, &[], "");
            reader.get_mut().write_all(&answer.bytes(&answer.first))?;
        }
        Ok(())
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // Wakes the thread that accepts; a listener that is closed already is closed.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.accepting.take() {
            drop(thread.join());
        }
    }
}
