//! A proxy before the ACME server: it counts what goes through, and makes trouble as it is told. Addresses in answers are
//! made by the server from `Host`, so that who begins here comes back here.

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proxy_tests::netns::Namespace;
use proxy_tests::wait::until;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::authority::Authority;
use super::message::Message;
use super::step::Step;
use super::visit;

/// Trouble.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// This is answered; the server learns nothing.
    Answer(Message),
    /// The connection ends after so many bytes of the server's answer. This and what else is done to answers waits for
    /// one that is about the request: one that refuses its nonce (RFC 8555 §6.5; Pebble does it to one in twenty, for no
    /// reason) goes through as it is.
    Cut(usize),
    /// The server's answer is edited.
    Edit(fn(&mut Value)),
    /// The request waits here; the server learns nothing.
    HoldBefore,
    /// The server's answer waits here.
    HoldAfter,
}

impl Fault {
    /// Whether it is done to an answer.
    fn is_after(&self) -> bool {
        matches!(self, Self::Cut(_) | Self::Edit(_) | Self::HoldAfter)
    }
}

/// A request that came, and what the server answered.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    /// When it came.
    pub(super) at: Instant,
    /// What it was about.
    pub(super) step: Step,
    /// What it said, where it was signed (RFC 8555 §6.2); null otherwise.
    pub(super) payload: Value,
    /// The status that the server answered; none: it learnt nothing, or has not answered yet.
    pub(super) status: Option<u16>,
}

/// The proxy. It ends when dropped.
#[derive(Debug)]
pub(super) struct FaultProxy {
    shared: Arc<Shared>,
    listener: TcpListener,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<ServerConfig>,
    server: SocketAddr,
    roots: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

/// A request that was noted.
struct Noted {
    /// Its place among those seen.
    number: usize,
    /// What shall happen to it.
    fault: Option<Fault>,
    /// Whether that was told once, for it, and not for all of its step.
    once: bool,
}

#[derive(Debug, Default)]
struct State {
    /// What shall happen at the next requests of a step.
    faults: Vec<(Step, Fault)>,
    /// What happens at all others of a step.
    always: Vec<(Step, Fault)>,
    held: usize,
    /// What becomes of those that are held: how often they were let go, and whether the server learns of them.
    let_go: usize,
    forwarded: bool,
    seen: Vec<Exchange>,
}

/// No request is held longer: a fact that forgets one does not hang.
const LONGEST: Duration = Duration::from_secs(60);
/// How long a daemon may take until it asks what is to be held.
const UNTIL_HELD: Duration = Duration::from_secs(30);

impl FaultProxy {
    /// Listens at `at` for the server at `server`, both with certificates of the harness.
    pub(super) fn start(
        namespace: &Namespace,
        at: SocketAddr,
        server: SocketAddr,
        authority: &Authority,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            config: authority.server()?,
            server,
            roots: authority.root(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let listener =
            namespace.enter(|| TcpListener::bind(at))?.with_context(|| format!("listen at {at}"))?;
        let (copy, own) = (listener.try_clone()?, Arc::clone(&shared));
        // Threads are where the thread is that begins them.
        let accepting = namespace.enter(|| thread::spawn(move || accept(&copy, &own)))?;
        Ok(Self { shared, listener, accepting: Some(accepting) })
    }

    /// At the next request of this step, this happens. Those that are told more than once happen in turn.
    pub(super) fn next(&self, step: Step, fault: Fault) {
        self.shared.lock().faults.push((step, fault));
    }

    /// At every request of this step, this happens, unless [`Self::next`] says otherwise.
    pub(super) fn always(&self, step: Step, fault: Fault) {
        self.shared.lock().always.push((step, fault));
    }

    /// Nothing happens any more.
    pub(super) fn calm(&self) {
        let mut state = self.shared.lock();
        state.faults.clear();
        state.always.clear();
    }

    /// Waits until a request is held.
    pub(super) fn wait_held(&self) -> Result<()> {
        until("a request is held", UNTIL_HELD, || {
            let state = self.shared.lock();
            ensure!(state.held > 0, "seen: {:?}", state.seen);
            Ok(())
        })
    }

    /// Those that are held go on.
    pub(super) fn release(&self) {
        self.let_go(true);
    }

    /// Those that are held end: nobody waits for them any more, and the server never learns of those that it has not
    /// seen.
    pub(super) fn abandon(&self) {
        self.let_go(false);
    }

    fn let_go(&self, forwarded: bool) {
        let mut state = self.shared.lock();
        state.let_go += 1;
        state.forwarded = forwarded;
        self.shared.changed.notify_all();
    }

    /// All requests so far.
    pub(super) fn seen(&self) -> Vec<Exchange> {
        self.shared.lock().seen.clone()
    }

    /// How many requests of a step the server has taken.
    pub(super) fn taken(&self, step: Step) -> usize {
        let taken = |seen: &&Exchange| seen.step == step && seen.status.is_some_and(|status| status < 300);
        self.shared.lock().seen.iter().filter(taken).count()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.abandon();
        // Wakes the thread that accepts; a listener that is closed already is closed.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.accepting.take() {
            drop(thread.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        let shared = Arc::clone(shared);
        // A client that goes away, or does not trust us, is no failure of ours.
        thread::spawn(move || drop(shared.serve(stream)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) -> Result<()> {
        let tls = ServerConnection::new(Arc::clone(&self.config))?;
        let mut reader = BufReader::new(StreamOwned::new(tls, stream));
        while let Some(request) = Message::read_request(&mut reader)? {
            let Some(answer) = self.answer(&request)? else { return Ok(()) };
            let stream = reader.get_mut();
            stream.write_all(&answer.bytes)?;
            stream.flush()?;
            if !answer.whole || request.first.ends_with("HTTP/1.0") {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What a client gets; nothing: its connection ends.
    fn answer(&self, request: &Message) -> Result<Option<Reply>> {
        let step = Step::of(request.path());
        let Noted { number, fault, once } = self.note(step, request);
        match fault {
            Some(Fault::Answer(answer)) => return Ok(Some(Reply::whole(&answer))),
            Some(Fault::HoldBefore) if !self.hold() => return Ok(None),
            _ => {}
        }
        let mut answer = self.forward(request)?;
        self.lock().seen[number].status = Some(answer.status());
        if refuses_nonce(&answer) {
            if let Some(fault) = fault.filter(|fault| once && fault.is_after()) {
                self.lock().faults.insert(0, (step, fault));
            }
            return Ok(Some(Reply::whole(&answer)));
        }
        match fault {
            Some(Fault::HoldAfter) if !self.hold() => return Ok(None),
            Some(Fault::Cut(bytes)) => {
                let mut reply = Reply::whole(&answer);
                reply.bytes.truncate(bytes);
                return Ok(Some(Reply { whole: false, ..reply }));
            }
            Some(Fault::Edit(edit)) => {
                let mut value = answer.json()?;
                edit(&mut value);
                answer.set_json(&value);
            }
            _ => {}
        }
        Ok(Some(Reply::whole(&answer)))
    }

    /// Notes a request.
    fn note(&self, step: Step, request: &Message) -> Noted {
        let mut state = self.lock();
        state.seen.push(Exchange {
            at: Instant::now(),
            step,
            payload: payload(request).unwrap_or(Value::Null),
            status: None,
        });
        let number = state.seen.len() - 1;
        if let Some(at) = state.faults.iter().position(|(of, _)| *of == step) {
            return Noted { number, fault: Some(state.faults.remove(at).1), once: true };
        }
        let fault = state.always.iter().find(|(of, _)| *of == step).map(|(_, fault)| fault.clone());
        Noted { number, fault, once: false }
    }

    /// Waits until it is let go: whether the exchange goes on.
    fn hold(&self) -> bool {
        let mut state = self.lock();
        state.held += 1;
        let before = state.let_go;
        let waiting = self.changed.wait_timeout_while(state, LONGEST, |state| state.let_go == before);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner).0;
        state.held -= 1;
        state.forwarded
    }

    fn forward(&self, request: &Message) -> Result<Message> {
        let method = request.first.split(' ').next().unwrap_or_default();
        // To HTTP/1.0 a server answers with the end of the connection as the end of the body.
        let first = format!("{method} {} HTTP/1.0", request.path());
        Ok(visit::send(self.server, "localhost", &self.roots, &request.bytes(&first))?.answer)
    }
}

/// Whether a server refuses a request for its nonce alone.
fn refuses_nonce(answer: &Message) -> bool {
    let of = |problem: Value| problem["type"] == "urn:ietf:params:acme:error:badNonce";
    answer.status() == 400 && answer.json().is_ok_and(of)
}

/// Bytes for a client, and whether they are all.
struct Reply {
    bytes: Vec<u8>,
    whole: bool,
}

impl Reply {
    fn whole(answer: &Message) -> Self {
        let (_, status) = answer.first.split_once(' ').unwrap_or_default();
        Self { bytes: answer.bytes(&format!("HTTP/1.1 {status}")), whole: true }
    }
}

/// What a signed request says.
fn payload(request: &Message) -> Option<Value> {
    let signed = request.json().ok()?;
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(signed["payload"].as_str()?).ok()?;
    serde_json::from_slice(&bytes).ok()
}
