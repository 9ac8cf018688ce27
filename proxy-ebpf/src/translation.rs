//! What a flow writes into its packets: worked out once a flow, so that a packet costs a few additions.

use proxy_common::{
    addr::{Address, Be16},
    backend::Backend,
    checksum::{combine, delta, sum_address},
    flow::{FlowKey, FlowKind, Rewrite},
    listener::ListenerKey,
};

/// `dsr`: nothing but the link layer changes.
#[inline(never)]
pub fn dsr<A: Address>(rewrite: &mut Rewrite<A>, key: &FlowKey<A>, id: u16, backend: &Backend<A>) {
    rewrite.new_source.assign(&key.source);
    rewrite.new_destination.assign(&backend.address);
    rewrite.new_source_port = key.source_port;
    rewrite.new_destination_port = key.destination_port;
    rewrite.backend = id;
    rewrite.kind = FlowKind::Dsr as u8;
    rewrite.counted = 0;
    rewrite.address_delta = 0;
    rewrite.transport_delta = 0;
}

/// `nat`: a packet under `old` leaves as one under `new`.
#[inline(never)]
pub fn nat<A: Address>(
    rewrite: &mut Rewrite<A>,
    old: &FlowKey<A>,
    new: &FlowKey<A>,
    kind: FlowKind,
    id: u16,
) {
    let addresses = delta(
        sum_address(old.source) + sum_address(old.destination),
        sum_address(new.source) + sum_address(new.destination),
    );
    let sum_ports = |key: &FlowKey<A>| key.source_port.raw() as u64 + key.destination_port.raw() as u64;
    rewrite.new_source.assign(&new.source);
    rewrite.new_destination.assign(&new.destination);
    rewrite.new_source_port = new.source_port;
    rewrite.new_destination_port = new.destination_port;
    rewrite.backend = id;
    rewrite.kind = kind as u8;
    rewrite.counted = 0;
    rewrite.address_delta = addresses;
    rewrite.transport_delta = combine(addresses, delta(sum_ports(old), sum_ports(new)));
}

/// The 5-tuple on the backend's side of a `nat` flow, as packets to the backend carry it.
#[inline(always)]
pub fn backend_side<A: Address>(
    key: &mut FlowKey<A>,
    source: &A,
    port: Be16,
    backend: &Backend<A>,
    protocol: u8,
) {
    key.set(source, &backend.address, port, backend.port, protocol);
}

/// Where a packet under this key is listened for.
#[inline(always)]
pub fn place<A: Address>(key: &FlowKey<A>) -> ListenerKey<A> {
    ListenerKey { address: key.destination, port: key.destination_port, protocol: key.protocol, pad: 0 }
}
