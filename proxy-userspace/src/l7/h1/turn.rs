//! One request of a connection: from its head to what answers it, and what must be known until it is answered.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{Method, Version};

use super::fault::Fault;
use super::incoming::Incoming;
use super::reading::Reading;
use super::request_head::{Length, RequestHead};
use super::scan::HeadLimits;
use super::wire::Wire;
use crate::l7::body::Body;
use crate::l7::cut::BodyError;
use crate::l7::request::{Interim, Record, Request};
use crate::net::stream::Stream;

/// What must be known of a request until it is answered.
#[derive(Debug)]
pub(super) struct Turn {
    /// HEAD: the answer has no body.
    pub(super) head_only: bool,
    pub(super) version: Version,
    pub(super) trailers: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: Option<Box<str>>,
    pub(super) record: Rc<Record>,
    pub(super) interim: Option<Rc<Interim>>,
}

impl Turn {
    /// What is known of a request that was refused.
    pub(super) fn refused(started: Instant) -> Self {
        Self {
            head_only: false,
            version: Version::HTTP_11,
            trailers: false,
            keep_alive: false,
            upgrade: None,
            record: Rc::new(Record::begin(started)),
            interim: None,
        }
    }
}

/// Makes a request of a head, with the body that follows it on `wire`.
pub(super) fn begin<S: Stream>(
    wire: &Rc<RefCell<Wire<S>>>,
    head: BytesMut,
    started: Instant,
) -> Result<(Request, Turn), Fault> {
    let parsed = RequestHead::parse(head, wire.borrow().limits().uri_bytes)?;
    let record = Rc::new(Record::begin(started));
    let body = body(wire, &parsed, &record)?;
    let new = parsed.version == Version::HTTP_11;
    let turn = Turn {
        head_only: parsed.method == Method::HEAD,
        version: parsed.version,
        trailers: parsed.trailers && new,
        keep_alive: parsed.keep_alive,
        upgrade: parsed.upgrade.clone(),
        record: Rc::clone(&record),
        interim: new.then(Rc::default),
    };
    let request = Request {
        method: parsed.method,
        authority: parsed.authority,
        target: parsed.target,
        version: parsed.version,
        headers: parsed.headers,
        body,
        trailers: turn.trailers,
        expects_continue: wire.borrow().owes_continue,
        upgrade: parsed.upgrade,
        interim: turn.interim.clone(),
        connection: Rc::clone(&wire.borrow().connection),
        record,
    };
    Ok((request, turn))
}

fn body<S: Stream>(
    wire: &Rc<RefCell<Wire<S>>>,
    head: &RequestHead,
    record: &Rc<Record>,
) -> Result<Body, Fault> {
    let mut borrowed = wire.borrow_mut();
    let length = match head.length {
        Length::Known(0) => {
            borrowed.begin(Reading::Done, false);
            return Ok(Body::empty());
        }
        Length::Known(length) => {
            borrowed.begin(Reading::Length(length), head.expects_continue);
            Some(length)
        }
        Length::Chunked => {
            let limits = borrowed.limits();
            let limits = HeadLimits { bytes: limits.header_bytes, fields: limits.header_count, target: 0 };
            borrowed.begin(Reading::chunked(limits), head.expects_continue);
            None
        }
    };
    // What came with the head is looked at before anything is sent on: what is malformed goes no further.
    let whole = length.is_none_or(|length| borrowed.buffer.len() as u64 >= length);
    let first = if whole { borrowed.begin_body()? } else { None };
    if borrowed.reading.is_done() {
        let data = match first.map(http_body::Frame::into_data) {
            None => Some(Bytes::new()),
            Some(Ok(data)) => Some(data),
            Some(Err(trailers)) => {
                borrowed.first = Some(trailers);
                None
            }
        };
        if let Some(data) = data {
            borrowed.unread = true;
            record.received.set(data.len() as u64);
            return Ok(Body::full(data));
        }
    } else {
        borrowed.first = first;
    }
    drop(borrowed);
    Ok(Body::stream(Incoming::new(wire, length, record)))
}

impl<S: Stream> Wire<S> {
    fn begin_body(&mut self) -> Result<Option<http_body::Frame<Bytes>>, Fault> {
        self.reading.next(&mut self.buffer).map_err(|error| match error {
            BodyError::Trailers => Fault::TooLong,
            _ => Fault::Chunks,
        })
    }
}
