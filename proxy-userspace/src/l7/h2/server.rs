//! What drives a connection over a stream: one task, which reads, lets each exchange go on that was woken, and writes
//! what came of it in one piece.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};
use tokio::time::Sleep;

use crate::l7::body::Body;
use crate::l7::cause::Cause;
use crate::l7::handler::Handler;
use crate::l7::hang_up::HangUp;
use crate::l7::headers;
use crate::l7::leave::{Leave, Watch};
use crate::l7::request::{Connection, Interim, Record, Request, Response};
use crate::l7::respond::{self, Form};
use crate::net::buffers;
use crate::net::stream::Stream;

use super::arrive::{self, Around};
use super::error::ErrorCode;
use super::exchange::{self, Exchange, Place};
use super::fields::Head;
use super::inbound::{Inbound, Reads, Terms};
use super::machine::{Event, Machine};
use super::output::Output;
use super::pace::{Demand, Pace};
use super::ready::Ready;
use super::send::OUT_BYTES;
use super::turn::Turn;

/// While more than this waits to be written, nothing is read: who takes no answers gets no more of them.
const STALLED_BYTES: usize = 2 * OUT_BYTES;
/// Turns before other tasks of the thread have theirs.
const TURNS: u32 = 16;
/// Exchanges that are polled before what they wrote goes out.
const POLLS: u32 = 256;
/// How long, and how much, is read and dropped after our end: a reset would take GOAWAY away from the client.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;

/// Serves a client that speaks HTTP/2 until one side ends the connection. `read` holds what it has said already. True:
/// it did more than anybody needs to, and was sent away for that (ENHANCE_YOUR_CALM, RFC 9113 §7).
pub async fn serve<S: Stream, H: Handler>(
    stream: S,
    read: BytesMut,
    connection: Rc<Connection>,
    handler: H,
    leave: &Rc<Leave>,
) -> bool {
    let asked = handler.clone();
    // A closure gives the future a type that exchanges can be made of.
    let ask = move |request: Request| {
        let handler = asked.clone();
        async move { handler.handle(request).await }
    };
    let over = |connection: &Connection, record: &Record| handler.finished(connection, record);
    let watch = poll_fn(|context| Poll::Ready(leave.watch(context.waker().clone()))).await;
    let mut server = Server::new(stream, read, connection, ask, over, watch);
    poll_fn(|context| server.poll(context)).await;
    server.attacked
}

struct Server<S, A, F, O: Fn(&Connection, &Record)> {
    stream: S,
    input: BytesMut,
    connection: Rc<Connection>,
    ask: A,
    over: O,
    watch: Watch,
    machine: Machine,
    /// By key.
    exchanges: Vec<Option<Exchange<F>>>,
    /// By key.
    wakers: Vec<Waker>,
    /// Requests of the input in hand: they begin when all of it is known, with their bodies if those have come.
    arrived: Vec<Arrived>,
    /// Places of futures that have answered.
    spare: Vec<Place<F>>,
    ready: Arc<Ready>,
    reads: Rc<Reads>,
    /// Exchanges that wait for what is written to go out.
    blocked: Vec<usize>,
    /// Whose turn is next.
    next: usize,
    clock: Clock,
    stage: Stage,
    attacked: bool,
}

/// A request that has not begun.
struct Arrived {
    key: usize,
    head: Box<Head>,
    inbound: Option<Rc<Inbound>>,
    started: Instant,
}

struct Clock {
    sleep: Pin<Box<Sleep>>,
    /// It knows whom to wake.
    waits: bool,
    ticked: Instant,
    /// Nothing happens, and the next tick is far.
    resting: bool,
    writing: Pace,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Requests come and are answered.
    Open,
    /// All is written but what is in the output; then our side ends.
    Closing,
    /// Our side has ended; these many bytes are read and dropped until the client's has.
    Lingering(usize),
    /// There is nothing more to do.
    Over,
}

impl<S, A, F, O: Fn(&Connection, &Record)> fmt::Debug for Server<S, A, F, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("machine", &self.machine)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl<S, A, F, O> Server<S, A, F, O>
where
    S: Stream,
    A: Fn(Request) -> F,
    F: Future<Output = Response>,
    O: Fn(&Connection, &Record),
{
    fn new(stream: S, input: BytesMut, connection: Rc<Connection>, ask: A, over: O, watch: Watch) -> Self {
        let limits = &connection.listener.limits;
        let machine = Machine::new(limits);
        let ready = Ready::new(limits.h2_streams as usize);
        let tick = machine.tick_length();
        Self {
            stream,
            input,
            ask,
            over,
            watch,
            exchanges: Vec::new(),
            wakers: Vec::new(),
            arrived: Vec::new(),
            spare: Vec::new(),
            reads: Reads::new(Arc::clone(&ready).into()),
            ready,
            blocked: Vec::new(),
            next: 0,
            attacked: false,
            clock: Clock {
                sleep: Box::pin(tokio::time::sleep(tick)),
                waits: false,
                ticked: Instant::now(),
                resting: false,
                writing: Pace::default(),
            },
            machine,
            connection,
            stage: Stage::Open,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let other = self.ready.enter(context.waker());
        // Most often the timer knows whom to wake, and has not.
        self.clock.waits &= !other && !self.clock.sleep.is_elapsed();
        if self.watch.is_leaving() {
            self.machine.leave();
        }
        self.take_events();
        for _ in 0..TURNS {
            self.poll_clock(context);
            let Ok(moved) = self.turn(context) else {
                self.stage = Stage::Over;
                break;
            };
            if self.stage == Stage::Over {
                break;
            }
            if !moved && self.ready.leave() {
                return Poll::Pending;
            }
        }
        if self.stage == Stage::Over {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads, lets exchanges go on, writes. Whether anything has moved; an error: the client has gone.
    fn turn(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let read = self.poll_input(context)?;
        let polled = self.poll_exchanges();
        self.take_reads();
        if self.stage == Stage::Open && self.machine.is_over() {
            self.abandon();
            self.stage = Stage::Closing;
        }
        let wrote = self.poll_output(context)?;
        let ended = self.poll_end(context)?;
        Ok(read || polled || wrote || ended)
    }

    fn poll_input(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        if self.machine.out.len() > STALLED_BYTES || self.stage == Stage::Over {
            return Ok(false);
        }
        buffers::room(&mut self.input);
        let Poll::Ready(read) = self.stream.poll_read(context, &mut self.input) else {
            buffers::give_if_empty(&mut self.input);
            return Ok(false);
        };
        let bytes = read?;
        if bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Stage::Lingering(left) = self.stage {
            self.input.clear();
            self.stage = left.checked_sub(bytes).map_or(Stage::Over, Stage::Lingering);
            return Ok(true);
        }
        self.take_events();
        Ok(true)
    }

    /// Takes what the input says.
    fn take_events(&mut self) {
        if self.input.is_empty() {
            return;
        }
        if self.clock.resting {
            // What is to come is measured from now.
            self.tick();
        }
        let mut now = None;
        while let Some(event) = self.machine.receive(&mut self.input) {
            match event {
                Event::Request { key, head, ended } => {
                    let started = *now.get_or_insert_with(Instant::now);
                    self.arrive(key, head, ended, started);
                }
                Event::Refused { key, status } => {
                    let record = Rc::new(Record::begin(*now.get_or_insert_with(Instant::now)));
                    let response = match status {
                        StatusCode::URI_TOO_LONG => {
                            respond::refuse(Form::default(), &record, Cause::UriTooLong)
                        }
                        StatusCode::EXPECTATION_FAILED => {
                            respond::text(false, status, "417 Expectation Failed\n")
                        }
                        _ => respond::refuse(Form::default(), &record, Cause::HeadTooLong),
                    };
                    self.answer(key, response, false, record);
                }
                Event::Reset { key } => self.reset(key),
                Event::Writable { key } => self.ready.set(key),
                Event::AllWritable => self.machine.blocked().for_each(|key| self.ready.set(key)),
                Event::Failed(error) => {
                    tracing::debug!("{}: {error}", self.connection.client);
                    self.attacked |= error.code == ErrorCode::EnhanceYourCalm;
                    self.abandon();
                }
            }
        }
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.drain(..).for_each(|request| self.begin(request));
        self.arrived = arrived;
    }

    /// A request has come.
    fn arrive(&mut self, key: usize, head: Box<Head>, ended: bool, started: Instant) {
        let inbound = (!ended).then(|| {
            let number = self.machine.number(key).unwrap_or_default();
            let terms = Terms { length: head.length, awaits_continue: head.expects_continue };
            Inbound::new(number, terms, &self.reads)
        });
        if let Some(inbound) = &inbound {
            self.machine.attach(key, Rc::clone(inbound));
        }
        self.arrived.push(Arrived { key, head, inbound, started });
    }

    /// A request begins.
    fn begin(&mut self, Arrived { key, mut head, inbound, started }: Arrived) {
        let head_only = head.method == Method::HEAD;
        let form = Form { head: head_only, grpc: respond::is_grpc(&head.fields) };
        let around = Around {
            connection: Rc::clone(&self.connection),
            record: Rc::new(Record::begin(started)),
            interim: Rc::new(Interim::default()),
        };
        let connect = head.protocol.is_some();
        let body = match &inbound {
            // A tunnel reads what comes by itself.
            Some(inbound) if !connect => match inbound.take_whole() {
                Some(whole) => {
                    head.expects_continue = false;
                    Body::full(whole)
                }
                None => Body::stream(inbound.body()),
            },
            _ => Body::empty(),
        };
        let request = match arrive::request(*head, body, &around) {
            Ok(request) => request,
            Err(cause) => {
                let response = respond::refuse(form, &around.record, cause);
                return self.answer(key, response, head_only, around.record);
            }
        };
        let future = (self.ask)(request);
        let place = match self.spare.pop() {
            Some(mut place) => {
                place.set(Some(future));
                place
            }
            None => Box::pin(Some(future)),
        };
        let exchange = Exchange::asking(place, around.record, around.interim, inbound);
        self.insert(key, exchange.head_only(head_only).connect(connect));
        self.ready.set(key);
    }

    /// A request is answered before it is one.
    fn answer(&mut self, key: usize, mut response: Response, head_only: bool, record: Rc<Record>) {
        headers::date(&mut response);
        let mut exchange = Exchange::refused(record).head_only(head_only);
        exchange.answer(response, &mut self.machine, key);
        if exchange.is_over() {
            return self.finish(&exchange);
        }
        self.insert(key, exchange);
        self.ready.set(key);
    }

    fn insert(&mut self, key: usize, exchange: Exchange<F>) {
        while self.exchanges.len() <= key {
            self.wakers.push(self.ready.waker(self.exchanges.len()));
            self.exchanges.push(None);
        }
        self.exchanges[key] = Some(exchange);
    }

    /// A stream was closed, by the client or for what it did.
    fn reset(&mut self, key: usize) {
        if let Some(at) = self.arrived.iter().position(|request| request.key == key) {
            let request = self.arrived.remove(at);
            return never_begun(&request, &self.connection, &self.over);
        }
        if let Some(exchange) = self.exchanges.get_mut(key).and_then(Option::take) {
            exchange::abandoned(&exchange.record);
            self.finish(&exchange);
        }
    }

    fn finish(&self, exchange: &Exchange<F>) {
        finish(exchange, &self.connection, &self.over);
    }

    /// Lets those go on that were woken.
    fn poll_exchanges(&mut self) -> bool {
        let mut moved = false;
        for _ in 0..POLLS {
            let Some(key) = self.ready.take(self.next) else { break };
            self.next = key + 1;
            let Some(exchange) = self.exchanges.get_mut(key).and_then(Option::as_mut) else { continue };
            moved = true;
            let mut context = Context::from_waker(&self.wakers[key]);
            match exchange.poll(&mut self.machine, key, &mut self.spare, &mut context) {
                Turn::Waits => {}
                Turn::Blocked => self.blocked.push(key),
                Turn::Again => self.ready.set(key),
                Turn::Over => {
                    if let Some(exchange) = self.exchanges[key].take() {
                        self.finish(&exchange);
                        self.hang_up(exchange.record.hang_up.get());
                        if exchange.record.is_stranded() {
                            self.machine.leave();
                        }
                    }
                }
            }
        }
        moved
    }

    /// Ends the connection, if an exchange has ended so.
    fn hang_up(&mut self, how: Option<HangUp>) {
        match how {
            None | Some(HangUp::Drop) => {}
            Some(HangUp::Close) => self.machine.leave_now(),
            Some(HangUp::Reset) => {
                self.stream.reset_at_end();
                self.stage = Stage::Over;
            }
        }
    }

    /// Tells clients that they may send.
    fn take_reads(&mut self) {
        while let Some(stream) = self.reads.take_read() {
            self.machine.was_read(stream);
        }
        while let Some(stream) = self.reads.take_continue() {
            let Some(key) = self.machine.key(stream) else { continue };
            if self.exchanges.get(key).and_then(Option::as_ref).is_some_and(Exchange::is_asking) {
                self.machine.send_head(key, StatusCode::CONTINUE, None, &HeaderMap::new(), false);
            }
        }
    }

    fn poll_output(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while !self.machine.out.is_empty() {
            let mut slices = [IoSlice::new(&[]); Output::SLICES];
            let count = self.machine.out.slices(&mut slices);
            let Poll::Ready(written) = self.stream.poll_write(context, &slices[..count]) else { break };
            let written = written?;
            self.machine.out.advance(written);
            self.clock.writing.count(written);
            moved = true;
        }
        let waits = moved || !self.blocked.is_empty();
        if waits && self.stream.poll_flush(context)?.is_ready() && self.machine.out.len() < OUT_BYTES / 2 {
            self.blocked.drain(..).for_each(|key| self.ready.set(key));
        }
        Ok(moved)
    }

    /// The end of a connection that is over.
    fn poll_end(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        if self.stage != Stage::Closing || !self.machine.out.is_empty() {
            return Ok(false);
        }
        if self.stream.poll_shutdown(context)?.is_pending() {
            return Ok(false);
        }
        self.input.clear();
        self.stage = Stage::Lingering(LINGER_BYTES);
        self.clock.waits = false;
        self.clock.sleep.as_mut().reset((Instant::now() + LINGER).into());
        Ok(true)
    }

    fn poll_clock(&mut self, context: &mut Context<'_>) {
        while !std::mem::replace(&mut self.clock.waits, true)
            && self.clock.sleep.as_mut().poll(context).is_ready()
        {
            if matches!(self.stage, Stage::Lingering(_)) {
                self.stage = Stage::Over;
                return;
            }
            self.tick();
            if self.stage == Stage::Over {
                return;
            }
        }
    }

    /// Time has passed.
    fn tick(&mut self) {
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut self.clock.ticked, now);
        let limits = &self.connection.listener.limits;
        let demand = Demand { silence: limits.body_timeout, rate: limits.body_min_rate };
        if self.clock.writing.tick(!self.machine.out.is_empty(), elapsed, demand) {
            self.stage = Stage::Over;
            return;
        }
        let partial = !self.input.is_empty();
        for event in self.machine.tick(elapsed, partial) {
            if let Event::Reset { key } = event {
                self.reset(key);
            }
        }
        if self.machine.open() == 0 {
            // Nobody needs these for a while.
            self.spare.clear();
            self.machine.out.shrink();
        }
        let next = self.machine.next_tick(partial);
        self.clock.resting = next > self.machine.tick_length();
        self.clock.waits = false;
        self.clock.sleep.as_mut().reset((now + next).into());
    }
}

impl<S, A, F, O: Fn(&Connection, &Record)> Server<S, A, F, O> {
    /// Nobody waits for what is not answered yet.
    fn abandon(&mut self) {
        self.machine.abandon();
        for request in self.arrived.drain(..) {
            never_begun(&request, &self.connection, &self.over);
        }
        for exchange in self.exchanges.drain(..).flatten() {
            exchange::abandoned(&exchange.record);
            finish(&exchange, &self.connection, &self.over);
        }
        self.wakers.clear();
    }
}

impl<S, A, F, O: Fn(&Connection, &Record)> Drop for Server<S, A, F, O> {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn never_begun(request: &Arrived, connection: &Connection, over: &impl Fn(&Connection, &Record)) {
    let record = Record::begin(request.started);
    exchange::abandoned(&record);
    over(connection, &record);
}

fn finish<F>(exchange: &Exchange<F>, connection: &Connection, over: &impl Fn(&Connection, &Record)) {
    let record = &exchange.record;
    if let Some(inbound) = &exchange.inbound {
        record.received.set(inbound.total());
    }
    over(connection, record);
}
