//! Where a connection may leave this process: the seam to the kernel part, which `control` fills.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::config::{ListenerName, PoolName};

/// What is known of a connection that is passed through.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Its listener.
    pub listener: ListenerName,
    /// Its route.
    pub route: Box<str>,
    /// The pool of its backend.
    pub pool: PoolName,
    /// Who has connected: the other end of the client's socket.
    pub client: SocketAddr,
    /// What was connected to: our end of it.
    pub local: SocketAddr,
    /// The backend.
    pub backend: SocketAddr,
}

/// Why a connection stays here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// A word for metrics: few, and fixed.
    pub reason: &'static str,
    /// It may be tried again, at a better moment.
    pub again: bool,
}

/// A moment at which a connection could leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// Nothing is on its way through this process, and the client has been answered.
    Quiet,
    /// Much has moved, and both senders were made to pause. So many bytes wait in the queues of the client and the backend, and
    /// were sent on nevertheless.
    Bulk([usize; 2]),
}

/// What was set aside for a connection before it came about, such as its port. Freed when it is dropped.
pub type Reserved = Box<dyn Any + Send>;

/// Takes connections over. Called by workers: it must not wait.
pub trait HandOff: fmt::Debug + Send + Sync {
    /// Prepares the socket towards the backend, which is not connected yet: binds it, sets its options. `about` has no
    /// more than what is known then.
    ///
    /// # Errors
    /// The connection will stay in this process; nothing was changed at the socket.
    fn reserve(
        &self,
        backend: BorrowedFd<'_>,
        client: BorrowedFd<'_>,
        about: &Passed,
    ) -> Result<Reserved, Kept>;

    /// Takes the connection over. With `Ok`, both sockets are closed silently when they are dropped, and `reserved` lives
    /// on elsewhere.
    ///
    /// # Errors
    /// The connection stays as it was, and so does `reserved`.
    fn try_hand_off(
        &self,
        client: BorrowedFd<'_>,
        backend: BorrowedFd<'_>,
        reserved: &mut Option<Reserved>,
        about: &Passed,
        moment: Moment,
    ) -> Result<(), Kept>;

    /// Prepares a socket that will send datagrams to a backend, and is bound to nothing.
    ///
    /// # Errors
    /// The flow will stay in this process; nothing was changed at the socket.
    fn reserve_datagrams(&self, backend: BorrowedFd<'_>, about: &Passed) -> Result<(), Kept>;

    /// Takes a flow of datagrams over, whose client has proved to be there. With `Ok`, what comes to both sockets from now
    /// on are stragglers.
    ///
    /// # Errors
    /// The flow stays as it was.
    fn take_datagrams(&self, backend: BorrowedFd<'_>, about: &Passed) -> Result<(), Kept>;
}
