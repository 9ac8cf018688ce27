//! Flows of datagrams that a relay hands over: nothing is to be read out of a socket, and nothing to be translated but
//! addresses and ports.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Relaxed;

use socket2::SockRef;

use super::flows::UDP;
use super::take::{self, Ends, plain};
use super::taker::{PORTS, Taker};
use crate::net::handoff::{Kept, Passed};

impl Taker {
    /// To be called before a socket sends to a backend: gives it, which is bound to nothing, a place to send from that is its
    /// own in the flow table, too.
    ///
    /// # Errors
    /// It is to send from wherever the host says: its flow cannot be handed over later.
    pub fn prepare_datagrams(&self, backend: BorrowedFd<'_>, about: &Passed<'_>) -> Result<(), Kept> {
        self.counted(self.place_datagrams(backend, about))
    }

    /// Takes a flow over whose client has proved to be there: both directions are the kernel part's from now on. What is in
    /// the queues of both sockets is still the relay's to send on.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn hand_off_datagrams(
        &self,
        backend: BorrowedFd<'_>,
        (client, service): (SocketAddr, SocketAddr),
        about: &Passed<'_>,
    ) -> Result<(), Kept> {
        self.counted(self.take_datagrams(backend, (plain(client), plain(service)), about))?;
        self.done.fetch_add(1, Relaxed);
        Ok(())
    }

    fn place_datagrams(&self, backend: BorrowedFd<'_>, about: &Passed<'_>) -> Result<(), Kept> {
        let (_, source, ports) = self.backend(about)?;
        if source.is_ipv6() != about.backend.is_ipv6() {
            return Err(Kept::Families);
        }
        let socket = SockRef::from(&backend);
        for port in self.turns.candidates(&ports, PORTS) {
            let place = SocketAddr::new(source, port);
            let taken = self.parts.flows.is_taken(UDP, about.backend, place);
            if taken.map_err(|_| Kept::Refused)? {
                continue;
            }
            match socket.bind(&place.into()) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(_) => return Err(Kept::Refused),
            }
        }
        Err(Kept::Ports)
    }

    fn take_datagrams(
        &self,
        backend: BorrowedFd<'_>,
        (client, service): (SocketAddr, SocketAddr),
        about: &Passed<'_>,
    ) -> Result<(), Kept> {
        let (id, _, ports) = self.backend(about)?;
        let (source, far) = take::addresses(backend)?;
        if client.is_ipv6() != far.is_ipv6() {
            return Err(Kept::Families);
        }
        if !ports.contains(&source.port()) {
            return Err(Kept::Unprepared);
        }
        let ends = Ends { client, service, source, backend: far };
        self.ways(&ends)?;
        self.parts.flows.enter_datagrams(&ends, id, self.now()?)
    }
}
