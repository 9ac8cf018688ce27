//! Flows of one socket, by their clients: those whose first flight is being read, and those that have a backend.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use super::carry::Carried;
use crate::l7::relay::both::End;
use crate::net::quic::Flight;

/// First flights that are kept at a time, of one socket. The oldest goes for a new one: real ones are complete within
/// milliseconds, and most are in one datagram, which is not kept at all.
pub(super) const MOST_READING: usize = 4096;
/// Of one client address.
const MOST_OF_CLIENT: u32 = 256;
/// Bytes of memory that first flights of one socket may take.
const MOST_BYTES: usize = 8 << 20;
/// Bytes of datagrams that one first flight may have: what a client sends that is not answered.
const MOST_HELD: usize = 32 << 10;

/// A first flight that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) flight: Flight,
    /// Its datagrams, as they came.
    pub(super) held: Vec<Box<[u8]>>,
    pub(super) began: Instant,
    bytes: usize,
    number: u64,
}

/// Flows of one socket that have a backend, and whose clients have not proved to be there. The oldest goes for a new one: who
/// is there proves it within a round trip, and each that does not takes a socket.
pub(super) const MOST_UNPROVED: usize = 2048;

/// What is known of a client's flow.
#[derive(Debug)]
pub(super) enum Flow {
    Reading(Box<Reading>),
    Carried(Rc<Carried>),
}

/// All flows of one socket.
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_client: HashMap<SocketAddr, Flow>,
    /// Those that are being read, the oldest first. Some may have gone meanwhile.
    order: VecDeque<(SocketAddr, u64)>,
    readers: HashMap<IpAddr, u32>,
    /// Those whose clients have not proved to be there, the oldest first. Some may have gone, or proved it, meanwhile.
    begun: VecDeque<(SocketAddr, Rc<Carried>)>,
    /// How many of them are left.
    unproved: usize,
    reading: usize,
    bytes: usize,
    next: u64,
}

impl Reading {
    /// One that begins.
    pub(super) fn new(now: Instant) -> Self {
        Self { flight: Flight::default(), held: Vec::new(), began: now, bytes: 0, number: 0 }
    }

    /// Keeps a datagram. False: there are more than any client sends.
    pub(super) fn hold(&mut self, datagram: &[u8]) -> bool {
        let held: usize = self.held.iter().map(|datagram| datagram.len()).sum();
        let fits = held + datagram.len() <= MOST_HELD;
        if fits {
            self.held.push(datagram.into());
        }
        fits
    }
}

impl Flows {
    /// What is known of a client's flow.
    pub(super) fn of(&mut self, client: &SocketAddr) -> Option<&mut Flow> {
        self.by_client.get_mut(client)
    }

    /// Takes a first flight out.
    pub(super) fn take_reading(&mut self, client: &SocketAddr) -> Option<Box<Reading>> {
        match self.by_client.remove(client)? {
            Flow::Reading(reading) => {
                self.forget(client, &reading);
                Some(reading)
            }
            carried => {
                self.by_client.insert(*client, carried);
                None
            }
        }
    }

    /// Keeps a first flight, and gives how many others had to go for it. None: its client has too many, and it is not kept.
    pub(super) fn keep(&mut self, client: SocketAddr, mut reading: Box<Reading>) -> Option<usize> {
        let readers = self.readers.entry(client.ip()).or_insert(0);
        if *readers >= MOST_OF_CLIENT {
            return None;
        }
        *readers += 1;
        reading.bytes = reading.flight.memory() + reading.held.iter().map(|it| it.len()).sum::<usize>();
        reading.number = self.next;
        self.next += 1;
        self.reading += 1;
        self.bytes += reading.bytes;
        self.order.push_back((client, reading.number));
        self.by_client.insert(client, Flow::Reading(reading));
        let mut gone = 0;
        while self.reading > MOST_READING || self.bytes > MOST_BYTES {
            gone += usize::from(self.drop_oldest());
        }
        Some(gone)
    }

    /// Ends first flights that began before `then`, and gives how many.
    pub(super) fn expire(&mut self, then: Instant) -> usize {
        let mut late = 0;
        while let Some((client, number)) = self.order.front() {
            match self.by_client.get(client) {
                Some(Flow::Reading(reading)) if reading.number == *number && reading.began > then => break,
                _ => late += usize::from(self.drop_oldest()),
            }
        }
        late
    }

    /// A flow has a backend. Gives how many others had to go for it.
    pub(super) fn carry(&mut self, client: SocketAddr, carried: Rc<Carried>) -> usize {
        self.begun.push_back((client, Rc::clone(&carried)));
        self.unproved += 1;
        self.by_client.insert(client, Flow::Carried(carried));
        let mut gone = 0;
        while self.unproved > MOST_UNPROVED {
            let Some((client, oldest)) = self.begun.pop_front() else { break };
            if !oldest.is_proved() && self.is_there(&client, &oldest) {
                self.end(&client, &oldest);
                oldest.end(End::Crowded);
                gone += 1;
            }
        }
        // As with those that are being read.
        if self.begun.len() > 2 * MOST_UNPROVED {
            let mut begun = std::mem::take(&mut self.begun);
            begun.retain(|(client, carried)| !carried.is_proved() && self.is_there(client, carried));
            self.begun = begun;
        }
        gone
    }

    /// The client of a flow has proved to be there.
    pub(super) fn proved(&mut self) {
        self.unproved -= 1;
    }

    /// A flow that has a backend is over.
    pub(super) fn end(&mut self, client: &SocketAddr, carried: &Rc<Carried>) {
        if self.is_there(client, carried) {
            self.by_client.remove(client);
            self.unproved -= usize::from(!carried.is_proved());
        }
    }

    fn is_there(&self, client: &SocketAddr, carried: &Rc<Carried>) -> bool {
        matches!(self.by_client.get(client), Some(Flow::Carried(known)) if Rc::ptr_eq(known, carried))
    }

    /// First flights that are being read.
    pub(super) fn reading(&self) -> usize {
        self.reading
    }

    /// Drops the first of the order. False: it had gone already.
    fn drop_oldest(&mut self) -> bool {
        let Some((client, number)) = self.order.pop_front() else { return false };
        let is_it = matches!(self.by_client.get(&client), Some(Flow::Reading(it)) if it.number == number);
        is_it && self.take_reading(&client).is_some()
    }

    fn forget(&mut self, client: &SocketAddr, reading: &Reading) {
        self.reading -= 1;
        self.bytes -= reading.bytes;
        if let Some(readers) = self.readers.get_mut(&client.ip()) {
            *readers -= 1;
            if *readers == 0 {
                self.readers.remove(&client.ip());
            }
        }
        // What has gone by itself stands in the order until its turn comes: not too many of them.
        if self.order.len() > 2 * MOST_READING {
            let by_client = &self.by_client;
            self.order.retain(|(client, number)| {
                matches!(by_client.get(client), Some(Flow::Reading(it)) if it.number == *number)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn client(number: u32) -> SocketAddr {
        SocketAddr::new(IpAddr::V4((0x0a00_0000 | number >> 4).into()), 1024 + (number & 15) as u16)
    }

    #[test]
    fn the_oldest_first_flight_goes_for_a_new_one() {
        let (mut flows, now) = (Flows::default(), Instant::now());
        let mut gone = 0;
        for number in 0..10_000 {
            gone += flows.keep(client(number), Box::new(Reading::new(now))).unwrap();
        }
        assert_eq!((flows.reading(), gone), (MOST_READING, 10_000 - MOST_READING));
        assert!(flows.of(&client(0)).is_none() && flows.of(&client(9_999)).is_some());
        assert!(flows.order.len() <= 2 * MOST_READING + 1);
        assert_eq!(flows.expire(now), MOST_READING);
        assert!(flows.readers.is_empty() && flows.by_client.is_empty() && flows.bytes == 0);
    }

    #[test]
    fn a_first_flight_that_is_complete_leaves_nothing() {
        let (mut flows, now) = (Flows::default(), Instant::now());
        for number in 0..100_000 {
            flows.keep(client(number & 0xff), Box::new(Reading::new(now))).unwrap();
            flows.take_reading(&client(number & 0xff)).unwrap();
        }
        assert!(flows.order.len() <= 2 * MOST_READING + 1);
        assert_eq!((flows.reading(), flows.bytes, flows.expire(now + Duration::from_secs(9))), (0, 0, 0));
    }

    #[test]
    fn the_oldest_flow_of_a_client_that_may_be_made_up_goes_for_a_new_one() {
        let mut flows = Flows::default();
        let mut gone = 0;
        for number in 0..3 * MOST_UNPROVED as u32 {
            let carried = Carried::new(Vec::new());
            gone += flows.carry(client(number), Rc::clone(&carried));
            // Every fourth one proves to be there, and every fifth one has ended.
            if number.is_multiple_of(4) {
                carried.prove();
                flows.proved();
            } else if number.is_multiple_of(5) {
                flows.end(&client(number), &carried);
            }
        }
        let proved = (0..3 * MOST_UNPROVED as u32).step_by(4).filter(|number| {
            matches!(flows.of(&client(*number)), Some(Flow::Carried(carried)) if carried.is_proved())
        });
        assert_eq!(proved.count(), 3 * MOST_UNPROVED / 4, "who proves to be there stays");
        assert_eq!(flows.unproved, MOST_UNPROVED);
        assert_eq!(flows.by_client.len(), 3 * MOST_UNPROVED / 4 + MOST_UNPROVED);
        assert!(gone > 0 && flows.begun.len() <= 2 * MOST_UNPROVED);
    }

    #[test]
    fn bytes_and_flights_of_one_client_have_limits() {
        let (mut flows, now) = (Flows::default(), Instant::now());
        let one = |number: u16| SocketAddr::new(IpAddr::V4([10, 0, 0, 1].into()), number);
        let kept = (1..1000).filter(|port| flows.keep(one(*port), Box::new(Reading::new(now))).is_some());
        assert_eq!(kept.count(), MOST_OF_CLIENT as usize);
        let mut full = Reading::new(now);
        while full.hold(&[0; 1200]) {}
        assert_eq!(full.held.len(), MOST_HELD / 1200);
    }
}
