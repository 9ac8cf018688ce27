//! One worker's side of the connections to backends.

use crate::net::epoll::Epoll;

/// One worker's side of the connections to backends. The connections themselves lie with their backend.
#[derive(Debug)]
pub struct Origins {
    pub(super) worker: usize,
    pub(super) driver: Epoll,
}

impl Origins {
    /// Of this worker, counted from 0.
    pub fn new(worker: usize, driver: Epoll) -> Self {
        Self { worker, driver }
    }

    /// Which worker's.
    pub fn worker(&self) -> usize {
        self.worker
    }
}
