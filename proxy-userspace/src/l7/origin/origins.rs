//! One worker's side of the connections to backends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::streams::Streams;
use crate::net::epoll::Epoll;
use crate::upstream::Backend;

/// One worker's side of the connections to backends. Those of HTTP/1.1 lie with their backend as long as they are idle;
/// those of HTTP/2, which many requests share, lie here.
#[derive(Debug)]
pub struct Origins {
    pub(super) worker: usize,
    pub(super) driver: Epoll,
    streams: RefCell<HashMap<u64, Rc<Streams>>>,
}

impl Origins {
    /// Of this worker, counted from 0.
    pub fn new(worker: usize, driver: Epoll) -> Self {
        Self { worker, driver, streams: RefCell::default() }
    }

    /// Which worker's.
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The HTTP/2 connections to a backend.
    pub(super) fn streams(&self, backend: &Backend) -> Rc<Streams> {
        let mut streams = self.streams.borrow_mut();
        if let Some(streams) = streams.get(&backend.id()) {
            return Rc::clone(streams);
        }
        // Backends come and go: those that nobody is connected to are forgotten now and then.
        streams.retain(|_, streams| Rc::strong_count(streams) > 1 || !streams.is_empty());
        Rc::clone(streams.entry(backend.id()).or_default())
    }
}
