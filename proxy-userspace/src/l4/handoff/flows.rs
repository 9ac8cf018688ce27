//! The two entries of the flow table that a connection has which was handed over: packets of the client, and packets of the backend.

use std::io;
use std::net::{IpAddr, SocketAddr};

use proxy_common::addr::{Address, Be16, Ip4, Ip6};
use proxy_common::checksum::{combine, delta, sum_address};
use proxy_common::flow::{Flow, FlowKey, FlowKind, Rewrite, SPLICED};
use proxy_common::hop::Hop;
use proxy_common::pod::Pod;

use super::take::Ends;
use crate::l4::known::KnownFlows;
use crate::l4::maps::{MapError, Table};
use crate::net::handoff::Kept;

/// `IPPROTO_TCP`.
pub(super) const TCP: u8 = 6;
/// `IPPROTO_UDP`.
pub(super) const UDP: u8 = 17;

/// What both entries have in common.
#[derive(Clone, Copy, Debug)]
struct Kin {
    /// [`SPLICED`], or 0.
    flag: u8,
    born: u32,
    backend: u16,
    now: u32,
}

/// The flow tables.
#[derive(Debug)]
pub(super) struct Flows {
    pub(super) v4: Table<FlowKey<Ip4>, Flow<Ip4>>,
    pub(super) v6: Table<FlowKey<Ip6>, Flow<Ip6>>,
    pub(super) known: KnownFlows,
}

/// A 5-tuple.
fn key<A: Address>(protocol: u8, from: (A, u16), to: (A, u16)) -> FlowKey<A> {
    FlowKey {
        source: from.0,
        destination: to.0,
        source_port: Be16::new(from.1),
        destination_port: Be16::new(to.1),
        protocol,
        pad: [0; 3],
    }
}

/// What makes packets under `old` such under `new`.
fn rewrite<A: Address>(old: &FlowKey<A>, new: &FlowKey<A>, kind: FlowKind, kin: Kin) -> Rewrite<A> {
    let sum = |key: &FlowKey<A>| sum_address(key.source) + sum_address(key.destination);
    let ports = |key: &FlowKey<A>| u64::from(key.source_port.raw()) + u64::from(key.destination_port.raw());
    let addresses = delta(sum(old), sum(new));
    Rewrite {
        new_source: new.source,
        new_destination: new.destination,
        new_source_port: new.source_port,
        new_destination_port: new.destination_port,
        backend: kin.backend,
        kind: kind as u8 | kin.flag,
        counted: 0,
        address_delta: addresses,
        transport_delta: combine(addresses, delta(ports(old), ports(new))),
    }
}

/// The two 5-tuples that come in: the client's, and the backend's.
struct Pair<A>([FlowKey<A>; 2]);

impl<A: Address> Pair<A> {
    fn of(protocol: u8, ends: [(A, u16); 4]) -> Self {
        let [client, service, source, backend] = ends;
        Self([key(protocol, client, service), key(protocol, backend, source)])
    }
}

impl Flows {
    /// Whether the answers of a backend to this place belong to a connection.
    pub(super) fn is_taken(
        &self,
        protocol: u8,
        backend: SocketAddr,
        source: SocketAddr,
    ) -> Result<bool, MapError> {
        match (backend.ip(), source.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let key = key(protocol, (Ip4::from(from), backend.port()), (Ip4::from(to), source.port()));
                Ok(self.v4.get(&key)?.is_some())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let key = key(protocol, (Ip6::from(from), backend.port()), (Ip6::from(to), source.port()));
                Ok(self.v6.get(&key)?.is_some())
            }
            _ => Ok(true),
        }
    }

    /// Enters both directions of a connection, the backend's first: the client's proves it.
    pub(super) fn enter(&self, ends: &Ends, number: u32, backend: u16, now: u32) -> Result<(), Kept> {
        self.enter_of(TCP, ends, Kin { flag: SPLICED, born: number, backend, now })
    }

    /// The same of a flow of datagrams, whose entries are like those of any `nat` flow.
    pub(super) fn enter_datagrams(&self, ends: &Ends, backend: u16, now: u32) -> Result<(), Kept> {
        self.enter_of(UDP, ends, Kin { flag: 0, born: now, backend, now })
    }

    fn enter_of(&self, protocol: u8, ends: &Ends, kin: Kin) -> Result<(), Kept> {
        match (v4(protocol, ends), v6(protocol, ends)) {
            (Some(pair), _) => self.enter_in(&self.v4, &pair, kin),
            (_, Some(pair)) => self.enter_in(&self.v6, &pair, kin),
            _ => Err(Kept::Families),
        }
    }

    fn enter_in<A: Address>(
        &self,
        table: &Table<FlowKey<A>, Flow<A>>,
        Pair([client, backend_side]): &Pair<A>,
        kin: Kin,
    ) -> Result<(), Kept>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
    {
        let activity = u64::from(kin.now) << 32;
        let flow = |rewrite| Flow { rewrite, born: kin.born, activity, hop: Hop::default() };
        let back = flow(rewrite(backend_side, &client.reversed(), FlowKind::NatReturn, kin));
        let forth = flow(rewrite(client, &backend_side.reversed(), FlowKind::NatForward, kin));
        for (key, flow) in [(backend_side, &back), (client, &forth)] {
            if let Err(error) = table.put(key, flow) {
                // What cannot be removed is of a connection that is nobody's, and collected.
                let _ = table.remove(backend_side);
                return Err(if is_full(&error.cause) { Kept::Full } else { Kept::Refused });
            }
            self.known.note(key);
        }
        Ok(())
    }

    /// Removes both directions again.
    pub(super) fn remove(&self, ends: &Ends) -> Result<(), MapError> {
        if let Some(Pair([client, backend])) = v4(TCP, ends) {
            self.v4.remove(&client)?;
            self.v4.remove(&backend)?;
        }
        if let Some(Pair([client, backend])) = v6(TCP, ends) {
            self.v6.remove(&client)?;
            self.v6.remove(&backend)?;
        }
        Ok(())
    }
}

fn is_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::E2BIG)
}

fn v4(protocol: u8, ends: &Ends) -> Option<Pair<Ip4>> {
    let one = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => Some((Ip4::from(ip), address.port())),
        IpAddr::V6(_) => None,
    };
    Some(Pair::of(protocol, [one(ends.client)?, one(ends.service)?, one(ends.source)?, one(ends.backend)?]))
}

fn v6(protocol: u8, ends: &Ends) -> Option<Pair<Ip6>> {
    let one = |address: SocketAddr| match address.ip() {
        IpAddr::V6(ip) => Some((Ip6::from(ip), address.port())),
        IpAddr::V4(_) => None,
    };
    Some(Pair::of(protocol, [one(ends.client)?, one(ends.service)?, one(ends.source)?, one(ends.backend)?]))
}
