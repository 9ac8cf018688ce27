//! For tests: a client of a server that runs, over a stream in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use tokio::task::LocalSet;

use super::frame::{FrameHead, HEAD, flag, kind};
use super::hpack::decode::{Decoder, Fields};
use super::hpack::entry::{Entry, Name};
use super::server::serve;
use super::wire::begin;
use crate::config::{GuardConfig, WebLimits, WebListenerConfig};
use crate::l7::handler::Handler;
use crate::l7::{Connection, Leave, Record, Request, Response};
use crate::net::stream::Stream;

/// What a test's handler does.
#[derive(Clone)]
struct Answers<F> {
    answer: F,
    /// Of each exchange that is over: its status, its cause, and bytes both ways.
    over: Rc<RefCell<Vec<Over>>>,
}

pub(super) type Over = (u16, Option<&'static str>, u64, u64);

impl<F, A> Handler for Answers<F>
where
    F: Fn(Request) -> A + Clone + 'static,
    A: Future<Output = Response>,
{
    fn handle(&self, request: Request) -> impl Future<Output = Response> {
        (self.answer)(request)
    }

    fn finished(&self, _connection: &Connection, record: &Record) {
        let over = (record.status.get(), record.cause.get(), record.received.get(), record.sent.get());
        self.over.borrow_mut().push(over);
    }
}

/// Both ends of a stream in memory.
#[derive(Default, Debug)]
pub(super) struct Pipe {
    pub(super) to_server: RefCell<VecDeque<u8>>,
    to_client: RefCell<BytesMut>,
    /// The client takes nothing.
    pub(super) full: Cell<bool>,
    client_ended: Cell<bool>,
    pub(super) server_ended: Cell<bool>,
    pub(super) writes: Cell<usize>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

#[derive(Debug)]
struct ServerEnd(Rc<Pipe>);

impl Stream for ServerEnd {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.to_server.borrow().is_empty() && !self.0.client_ended.get() {
            *self.0.reader.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        if self.poll_readable(context).is_pending() {
            return Poll::Pending;
        }
        let mut waiting = self.0.to_server.borrow_mut();
        let count = waiting.len().min(into.capacity() - into.len());
        into.extend(waiting.drain(..count));
        Poll::Ready(Ok(count))
    }

    fn poll_write(&mut self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.0.full.get() {
            *self.0.writer.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.0.writes.set(self.0.writes.get() + 1);
        let mut to_client = self.0.to_client.borrow_mut();
        from.iter().for_each(|slice| to_client.extend_from_slice(slice));
        Poll::Ready(Ok(from.iter().map(|slice| slice.len()).sum()))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.server_ended.set(true);
        Poll::Ready(Ok(()))
    }

    fn is_quiet(&mut self) -> bool {
        true
    }
}

/// A client of a server that runs.
pub(super) struct Client {
    pub(super) pipe: Rc<Pipe>,
    decoder: Decoder,
    pub(super) leave: Rc<Leave>,
    pub(super) over: Rc<RefCell<Vec<Over>>>,
    pub(super) served: tokio::task::JoinHandle<bool>,
}

/// The fields of a block, in words; pseudo-fields by their name in code.
#[derive(Default)]
struct Words(Vec<String>);

impl Fields for Words {
    fn field(&mut self, entry: &Entry, _: bool) {
        let value = entry.value.as_ref().map_or("!", |value| value.to_str().unwrap());
        self.0.push(match &entry.name {
            Name::Field(name) => format!("{name}={value}"),
            _ => value.to_owned(),
        });
    }
}

impl Client {
    pub(super) fn send(&self, bytes: &[u8]) {
        self.pipe.to_server.borrow_mut().extend(bytes);
        if let Some(reader) = self.pipe.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    pub(super) fn end(&self) {
        self.pipe.client_ended.set(true);
        self.send(&[]);
    }

    pub(super) fn unblock(&self) {
        self.pipe.full.set(false);
        if let Some(writer) = self.pipe.writer.borrow_mut().take() {
            writer.wake();
        }
    }

    /// Lets the server do what it can, and gives what it says, in words.
    pub(super) async fn hear(&mut self) -> Vec<String> {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let mut all = self.pipe.to_client.borrow_mut().split();
        let mut said = Vec::new();
        while let Some(head) = FrameHead::read(&all) {
            let frame = all.split_to(HEAD + head.length);
            let end = if head.has(flag::END_STREAM) { " end" } else { "" };
            let payload = &frame[HEAD..];
            said.push(match head.kind {
                kind::HEADERS => {
                    let mut words = Words::default();
                    self.decoder.decode(payload, &mut words).unwrap();
                    format!("{}: {}{end}", head.stream, words.0.join(" "))
                }
                kind::DATA if payload.len() > 40 => format!("{}: {} bytes{end}", head.stream, payload.len()),
                kind::DATA => format!("{}: {:?}{end}", head.stream, String::from_utf8_lossy(payload)),
                kind::RST_STREAM => format!("{}: reset {}", head.stream, payload[3]),
                kind::GOAWAY => format!("goaway {}", payload[7]),
                kind::WINDOW_UPDATE => format!("{}: window", head.stream),
                kind => format!("frame {kind}"),
            });
        }
        said
    }

    /// Waits until the server has ended the connection: whether it took it for an attack.
    pub(super) async fn ended(&mut self) -> bool {
        (&mut self.served).await.unwrap()
    }

    pub(super) fn over(&self) -> Vec<Over> {
        std::mem::take(&mut self.over.borrow_mut())
    }
}

/// Serves a client by `answer`, and lets `test` be that client.
pub(super) fn run<F, A, T, C>(limits: WebLimits, answer: F, test: T)
where
    F: Fn(Request) -> A + Clone + 'static,
    A: Future<Output = Response> + 'static,
    T: FnOnce(Client) -> C,
    C: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let (pipe, over, leave) = (Rc::<Pipe>::default(), Rc::default(), Rc::<Leave>::default());
        let listener = WebListenerConfig {
            name: "web".into(),
            bind: Vec::new(),
            http2: true,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            limits,
            access_log: false,
            guard: GuardConfig::default(),
            tls: None,
            steer: crate::config::SteerConfig::default(),
            redirect_https: None,
        };
        let connection = Rc::new(Connection {
            listener: Arc::new(listener),
            client: "127.0.0.1:1".parse().unwrap(),
            local: "127.0.0.1:2".parse().unwrap(),
            trusted: false,
            tls: None,
        });
        let handler = Answers { answer, over: Rc::clone(&over) };
        let (stream, left) = (ServerEnd(Rc::clone(&pipe)), Rc::clone(&leave));
        let served = tokio::task::spawn_local(async move {
            serve(stream, BytesMut::from(&begin()[..]), connection, handler, &left).await
        });
        let mut client = Client { pipe, decoder: Decoder::default(), leave, over, served };
        assert_eq!(client.hear().await, ["frame 4", "0: window", "frame 4"]);
        test(client).await;
    });
}
