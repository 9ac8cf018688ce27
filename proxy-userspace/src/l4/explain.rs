//! What becomes of a packet, by its addresses alone: the same steps as the kernel takes, on the same tables, with the
//! same hash, each said in words.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use proxy_common::addr::{Address, Be16, Ip4, Ip6};
use proxy_common::backend::Backend;
use proxy_common::drop_reason::DropReason;
use proxy_common::flow::{Encode, Flow, FlowKey, FlowKind, Young, YoungSlot, state, way_back, young};
use proxy_common::hash::{flow_hash, one_of};
use proxy_common::limits::YOUNG;
use proxy_common::listener::{Forward, Listener, ListenerKey, Ours, filter_bit};
use proxy_common::maglev::{NO_BACKEND, RING_SLOTS};
use proxy_common::pod::Pod;
use serde::Serialize;

use super::clock::Clock;
use super::kernel::Kernel;
use super::maps::{Action, MapError};
use super::object::PROGRAM_CLOCK;
use super::reconcile::Present;
use super::status::View;
use super::sys;
use super::tables::{FamilyTables, Tables};
use crate::config::Protocol;
use crate::net::netlink::Socket;
use crate::net::{link, neighbour, route};

/// A packet's protocol and addresses: `tcp 192.0.2.7:40000 203.0.113.10:80`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Tuple {
    /// Its protocol.
    pub protocol: Protocol,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Where it goes to.
    pub destination: SocketAddr,
}

/// Why a text is no tuple.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TupleError {
    /// Too few or too many words.
    #[error("a tuple is written PROTOCOL SOURCE DESTINATION: tcp 192.0.2.7:40000 203.0.113.10:80")]
    Words,
    /// The protocol is none of ours.
    #[error("\"{0}\" is neither tcp nor udp")]
    Protocol(String),
    /// An address is none.
    #[error("\"{0}\" is not an address with a port (192.0.2.7:40000, [2001:db8::7]:40000)")]
    Address(String),
    /// One address is IPv4, the other IPv6.
    #[error("one address is IPv4, the other IPv6")]
    Families,
}

impl FromStr for Tuple {
    type Err = TupleError;

    fn from_str(text: &str) -> Result<Self, TupleError> {
        let words: Vec<_> = text.split_whitespace().filter(|word| *word != "->").collect();
        let [protocol, source, destination] = words[..] else { return Err(TupleError::Words) };
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(TupleError::Protocol(protocol.to_owned())),
        };
        let address = |text: &str| text.parse().map_err(|_| TupleError::Address(text.to_owned()));
        let (source, destination): (SocketAddr, SocketAddr) = (address(source)?, address(destination)?);
        if source.is_ipv4() != destination.is_ipv4() {
            return Err(TupleError::Families);
        }
        Ok(Self { protocol, source, destination })
    }
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.protocol, self.source, self.destination)
    }
}

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The host gets it: it is not ours.
    #[default]
    Pass,
    /// It is sent on.
    Forward,
    /// It ends here.
    Drop,
}

/// What is known of the packet's flow.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct FlowStatus {
    /// `established`: in the flow table; `young`: its client has not proved to be alive.
    pub kind: &'static str,
    /// `forward`: to the backend; `return`: from it.
    pub direction: &'static str,
    /// Seconds since its last packet in this direction.
    pub idle_seconds: f64,
    /// Whether a FIN or an RST went this way.
    pub closing: bool,
    /// What its packets become: source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_source: Option<SocketAddr>,
    /// What its packets become: destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_destination: Option<SocketAddr>,
}

/// The backend that gets it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Chosen {
    /// Where it is.
    pub address: SocketAddr,
    /// Its number in the tables.
    pub id: u16,
    /// `ready`, `draining`, `down`, `leaving`.
    pub state: &'static str,
}

/// The way out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WayOut {
    /// The interface that it leaves by.
    pub interface: String,
    /// The neighbour that it is sent to.
    pub neighbour: IpAddr,
    /// Whether that one's link-layer address is known.
    pub resolved: bool,
}

/// What becomes of a packet, and why.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Explanation {
    /// The packet.
    pub tuple: Tuple,
    /// What becomes of it.
    pub verdict: Verdict,
    /// The label of the reason, if it is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The listener that it is for.
    pub listener: Option<String>,
    /// `nat` or `dsr`.
    pub forward: Option<&'static str>,
    /// The hash of the packet.
    pub hash: String,
    /// The slot of the listener's ring that the hash falls into.
    pub slot: Option<u32>,
    /// The backend in that slot: where a new flow would go.
    pub slot_backend: Option<SocketAddr>,
    /// The flow that it belongs to.
    pub flow: Option<FlowStatus>,
    /// The backend that gets it, or that it comes from.
    pub backend: Option<Chosen>,
    /// The way out, if it is sent on.
    pub way: Option<WayOut>,
    /// Each step in words.
    pub why: Vec<String>,
}

impl Kernel {
    /// What becomes of a packet.
    pub fn explain(&self, tuple: &Tuple) -> Result<Explanation, MapError> {
        let state = self.lock();
        Explainer { tables: &self.tables, present: &state.present, clock: &self.clock }.explain(tuple)
    }
}

impl View {
    /// What becomes of a packet.
    pub fn explain(&self, tuple: &Tuple) -> Result<Explanation, MapError> {
        let clock = sys::open_pin(&self.pins.object(PROGRAM_CLOCK)).and_then(Clock::new).map_err(no_clock)?;
        Explainer { tables: &self.tables, present: &self.present, clock: &clock }.explain(tuple)
    }
}

fn no_clock(cause: std::io::Error) -> MapError {
    MapError { map: PROGRAM_CLOCK, action: Action::Read, cause }
}

struct Explainer<'a> {
    tables: &'a Tables,
    present: &'a Present,
    clock: &'a Clock,
}

/// A family's tables and what of them depends on the family's sizes.
trait Family: Address
where
    FlowKey<Self>: Pod,
    Flow<Self>: Pod,
    ListenerKey<Self>: Pod,
    Backend<Self>: Pod,
{
    /// The young flow in a slot, and when it was written last.
    fn young(tables: &Tables, index: u32) -> Result<Option<(Young<Self>, u32)>, MapError>;
    /// What leads the answers of this hash to a young flow.
    fn way_back(tables: &Tables, hash: u64) -> Result<u64, MapError>;
    fn flow(tables: &Tables, key: &FlowKey<Self>) -> Result<Option<Flow<Self>>, MapError>;
    fn listener(tables: &Tables, key: &ListenerKey<Self>) -> Result<Option<Listener>, MapError>;
}

fn read_young<A: Address, const N: usize>(
    tables: &FamilyTables<A, YoungSlot<N>>,
    index: u32,
) -> Result<Option<(Young<A>, u32)>, MapError>
where
    Young<A>: Encode<N> + Default,
    YoungSlot<N>: Pod,
{
    let Some(slot) = tables.young.get(&index)? else { return Ok(None) };
    let mut young = Young::default();
    young.decode(|word| slot.words[word]);
    young.take_guarded(slot.guard);
    // Odd: a CPU is writing it now.
    Ok((slot.guard & 1 == 0).then_some((young, (slot.guard >> 32) as u32)))
}

macro_rules! family {
    ($address:ty, $tables:ident) => {
        impl Family for $address {
            fn young(tables: &Tables, index: u32) -> Result<Option<(Young<Self>, u32)>, MapError> {
                read_young(&tables.$tables, index)
            }
            fn way_back(tables: &Tables, hash: u64) -> Result<u64, MapError> {
                Ok(tables.$tables.young_return.get(&(hash as u32 & (YOUNG - 1)))?.unwrap_or(0))
            }
            fn flow(tables: &Tables, key: &FlowKey<Self>) -> Result<Option<Flow<Self>>, MapError> {
                tables.$tables.flows.get(key)
            }
            fn listener(tables: &Tables, key: &ListenerKey<Self>) -> Result<Option<Listener>, MapError> {
                tables.$tables.listeners.get(key)
            }
        }
    };
}
family!(Ip4, v4);
family!(Ip6, v6);

impl Explainer<'_> {
    fn explain(&self, tuple: &Tuple) -> Result<Explanation, MapError> {
        let mut said = match (tuple.source.ip(), tuple.destination.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => self.steps::<Ip4>(tuple, from.into(), to.into())?,
            (IpAddr::V6(from), IpAddr::V6(to)) => self.steps::<Ip6>(tuple, from.into(), to.into())?,
            _ => self.begin(tuple, 0),
        };
        if said.verdict == Verdict::Forward {
            let returning = said.flow.as_ref().is_some_and(|flow| flow.direction == "return");
            let to_client = said.flow.as_ref().and_then(|flow| flow.new_destination).filter(|_| returning);
            let target = to_client.or_else(|| said.backend.as_ref().map(|backend| backend.address));
            if let Some(target) = target {
                self.way_out(&mut said, target.ip());
            }
        }
        Ok(said)
    }

    fn begin(&self, tuple: &Tuple, hash: u64) -> Explanation {
        Explanation {
            tuple: *tuple,
            verdict: Verdict::Pass,
            reason: None,
            listener: None,
            forward: None,
            hash: format!("{hash:016x}"),
            slot: None,
            slot_backend: None,
            flow: None,
            backend: None,
            way: None,
            why: Vec::new(),
        }
    }

    fn steps<A: Family>(&self, tuple: &Tuple, source: A, destination: A) -> Result<Explanation, MapError>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
        ListenerKey<A>: Pod,
        Backend<A>: Pod,
    {
        let key = FlowKey {
            source,
            destination,
            source_port: Be16::new(tuple.source.port()),
            destination_port: Be16::new(tuple.destination.port()),
            protocol: tuple.protocol.number(),
            pad: [0; 3],
        };
        let hash = flow_hash(&key, self.present.settings.hash_seed);
        let mut said = self.begin(tuple, hash);
        if !self.is_ours(&key) {
            said.why.push(
                "the filter knows neither a listener nor a source address of ours there: the host gets it"
                    .into(),
            );
            return Ok(said);
        }
        let place = ListenerKey {
            address: key.destination,
            port: key.destination_port,
            protocol: key.protocol,
            pad: 0,
        };
        let listener = A::listener(self.tables, &place)?;
        if let Some(listener) = listener.filter(|listener| listener.forward == Forward::Local as u8) {
            let name = self.present.names.get(&listener.id).cloned().unwrap_or_default();
            let handed_over = A::flow(self.tables, &key)?.filter(|flow| flow.rewrite.is_spliced());
            let gets = if handed_over.is_some() { "it had the connection" } else { "the host gets it" };
            said.why.push(format!("the listener {name} waits there by a socket: {gets}"));
            (said.listener, said.forward) = (Some(name), Some("local"));
            if let Some(flow) = handed_over {
                self.established(&mut said, &flow)?;
            }
            return Ok(said);
        }
        if let Some(listener) = listener {
            self.ring(&mut said, listener, hash)?;
        }
        if let Some(flow) = A::flow(self.tables, &key)? {
            self.established(&mut said, &flow)?;
        } else if listener.is_none() {
            if !self.answer(&mut said, &key, hash)? {
                said.why.push("no listener is there, and no flow has it: the host gets it".into());
            }
        } else if is_martian(tuple.source.ip()) || tuple.source.ip() == tuple.destination.ip() {
            drop_for(&mut said, DropReason::MartianSource);
        } else {
            self.new_flow(&mut said, &key, hash)?;
        }
        Ok(said)
    }

    /// The filter, as the kernel asks it.
    fn is_ours<A: Address>(&self, key: &FlowKey<A>) -> bool {
        let (filter, settings) = (&self.present.filter, &self.present.settings);
        let offset = key.destination_port.get().wrapping_sub(settings.nat_port_low);
        filter.has(filter_bit(Ours::Listener, key.destination, key.destination_port, key.protocol))
            || (offset < settings.nat_port_count
                && filter.has(filter_bit(Ours::NatSource, key.destination, Be16::new(0), 0)))
    }

    /// The listener, and where its ring sends a new flow.
    fn ring(&self, said: &mut Explanation, listener: Listener, hash: u64) -> Result<(), MapError> {
        let name = self.present.names.get(&listener.id).cloned().unwrap_or_default();
        let slot = one_of(hash, RING_SLOTS);
        said.why
            .push(format!("the listener {name} is bound there; the hash falls into slot {slot} of its ring"));
        said.listener = Some(name);
        said.forward = Some(if listener.forward == 0 { "nat" } else { "dsr" });
        said.slot = Some(slot);
        let ring = self.tables.rings.get(u32::from(listener.id))?;
        let id = ring.map_or(NO_BACKEND, |ring| ring.slots[slot as usize]);
        said.slot_backend = self.present.backends.get(&id).map(|entry| entry.address);
        said.backend = self.chosen(id);
        Ok(())
    }

    fn chosen(&self, id: u16) -> Option<Chosen> {
        let entry = self.present.backends.get(&id)?;
        let state = if entry.has(Backend::<()>::LEAVING) {
            "leaving"
        } else if entry.has(Backend::<()>::DOWN) {
            "down"
        } else if entry.has(Backend::<()>::DRAINING) {
            "draining"
        } else {
            "ready"
        };
        Some(Chosen { address: entry.address, id, state })
    }

    fn idle(&self, seen: u32) -> Result<f64, MapError> {
        let age = self.clock.now().map_err(no_clock)?.wrapping_sub(seen);
        Ok(self.clock.time(if age > u32::MAX / 2 { 0 } else { age }).as_secs_f64())
    }

    /// The flow table has it.
    fn established<A: Address>(&self, said: &mut Explanation, flow: &Flow<A>) -> Result<(), MapError> {
        let idle = self.idle(flow.seen())?;
        let rewrite = &flow.rewrite;
        let kind = FlowKind::of(rewrite.kind);
        let is_nat = kind != FlowKind::Dsr;
        let whole = |address: A, port: Be16| SocketAddr::new(address.into(), port.get());
        said.verdict = Verdict::Forward;
        said.backend = self.chosen(rewrite.backend);
        said.flow = Some(FlowStatus {
            kind: if rewrite.is_spliced() { "handed over" } else { "established" },
            direction: if kind == FlowKind::NatReturn { "return" } else { "forward" },
            idle_seconds: idle,
            closing: flow.state() & (state::FIN | state::RST) != 0,
            new_source: is_nat.then(|| whole(rewrite.new_source, rewrite.new_source_port)),
            new_destination: is_nat.then(|| whole(rewrite.new_destination, rewrite.new_destination_port)),
        });
        let backend =
            said.backend.as_ref().map_or_else(|| "a removed backend".into(), |b| b.address.to_string());
        let direction = if kind == FlowKind::NatReturn { "from" } else { "to" };
        said.why.push(format!(
            "the flow table has it: an established flow, {direction} {backend}, last packet {idle:.1} s ago"
        ));
        if rewrite.is_spliced() {
            said.why.push(
                "it was relayed first, and handed over: its segments are translated by the kernel part"
                    .into(),
            );
        }
        if let Some(elsewhere) =
            said.slot_backend.filter(|slot| Some(*slot) != said.backend.as_ref().map(|b| b.address))
        {
            said.why.push(format!("a new flow of the same addresses would go to {elsewhere}"));
        }
        Ok(())
    }

    /// Whether it is a backend's answer to a young flow.
    fn answer<A: Family>(&self, said: &mut Explanation, key: &FlowKey<A>, hash: u64) -> Result<bool, MapError>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
        ListenerKey<A>: Pod,
        Backend<A>: Pod,
    {
        let index = way_back::index(A::way_back(self.tables, hash)?, hash);
        let Some(index) = index else { return Ok(false) };
        let Some((flow, touched)) = A::young(self.tables, index)? else { return Ok(false) };
        let Some(backend) = self.chosen(flow.backend) else { return Ok(false) };
        let idle = self.idle(touched)?;
        if flow.protocol != key.protocol
            || flow.nat_port != key.destination_port
            || backend.address != said.tuple.source
            || !self.is_young(idle)
        {
            return Ok(false);
        }
        let whole = |address: A, port: Be16| SocketAddr::new(address.into(), port.get());
        let client = whole(flow.client, flow.client_port);
        said.flow = Some(FlowStatus {
            new_source: Some(whole(flow.service, flow.service_port)),
            new_destination: Some(client),
            ..young_status("return", idle)
        });
        said.why.push(format!(
            "a young flow has it, written {idle:.1} s ago: {} answers {client}, which has not proved to be alive",
            backend.address
        ));
        (said.backend, said.verdict) = (Some(backend), Verdict::Forward);
        Ok(true)
    }

    /// Whether a young flow that was written so many seconds ago is one still.
    fn is_young(&self, idle: f64) -> bool {
        idle <= self.clock.time(self.present.settings.young_lifetime).as_secs_f64()
    }

    /// The young flow of a client's packet: its backend, seconds since it was written, and what its backend has done.
    fn young<A: Family>(
        &self,
        said: &Explanation,
        key: &FlowKey<A>,
        hash: u64,
    ) -> Result<Option<(u16, f64, &'static str)>, MapError>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
        ListenerKey<A>: Pod,
        Backend<A>: Pod,
    {
        if said.forward == Some("dsr") {
            let word = self.tables.known.young(hash);
            let age = word.age(self.clock.now().map_err(no_clock)?);
            let idle = self.clock.time(age).as_secs_f64();
            let answers = "is not seen to answer with dsr";
            return Ok((word.is_of(hash) && self.is_young(idle)).then_some((word.backend(), idle, answers)));
        }
        let slot = A::young(self.tables, hash as u32 & (YOUNG - 1))?;
        let Some((flow, touched)) = slot else { return Ok(None) };
        let is_its = flow.protocol == key.protocol
            && (flow.client, flow.client_port) == (key.source, key.source_port)
            && (flow.service, flow.service_port) == (key.destination, key.destination_port);
        let idle = self.idle(touched)?;
        let answered = flow.bits & young::ANSWERED != 0;
        let answers = if answered { "has answered" } else { "has not been seen to answer" };
        Ok((is_its && self.is_young(idle)).then_some((flow.backend, idle, answers)))
    }

    /// A young flow, or none.
    fn new_flow<A: Family>(&self, said: &mut Explanation, key: &FlowKey<A>, hash: u64) -> Result<(), MapError>
    where
        FlowKey<A>: Pod,
        Flow<A>: Pod,
        ListenerKey<A>: Pod,
        Backend<A>: Pod,
    {
        if let Some((backend, idle, answers)) = self.young(said, key, hash)? {
            said.backend = self.chosen(backend);
            said.verdict = Verdict::Forward;
            said.flow = Some(FlowStatus {
                new_destination: said.backend.as_ref().map(|backend| backend.address),
                ..young_status("forward", idle)
            });
            said.why.push(format!("a young flow has it, written {idle:.1} s ago: its backend {answers}, its client has not proved to be alive"));
            return Ok(());
        }
        match &said.backend {
            Some(backend) => {
                said.why.push(format!(
                    "no flow has it: a SYN or a first datagram begins a young flow to {}",
                    backend.address
                ));
                said.verdict = Verdict::Forward;
            }
            None => {
                drop_for(said, DropReason::NoBackend);
                self.why_no_backend(said);
            }
        }
        Ok(())
    }

    /// Why a ring is empty: what each of its backends is.
    fn why_no_backend(&self, said: &mut Explanation) {
        let of_listener = |listener: &u16| self.present.names.get(listener) == said.listener.as_ref();
        let backends: Vec<_> = (self.present.backends.iter())
            .filter(|(_, entry)| of_listener(&entry.listener))
            .filter_map(|(id, _)| self.chosen(*id))
            .map(|backend| {
                let state = if backend.state == "ready" { "weight 0" } else { backend.state };
                format!("{} ({state})", backend.address)
            })
            .collect();
        let list = if backends.is_empty() { "there are none".into() } else { backends.join(", ") };
        said.why.push(format!("no backend takes new flows: {list}"));
    }

    /// Where it leaves, as the routing table and the neighbour table have it now.
    fn way_out(&self, said: &mut Explanation, target: IpAddr) {
        let look = || {
            let mut socket = Socket::open()?;
            let way = route::to(&mut socket, target)?;
            let name = link::all(&mut socket)?.into_iter().find(|link| link.index == way.ifindex);
            let next = way.neighbour(target);
            let known = neighbour::all(&mut socket)?;
            let resolved =
                known.iter().any(|n| n.ifindex == way.ifindex && n.address == next && n.is_resolved());
            std::io::Result::Ok((name.map_or_else(|| "?".into(), |link| link.name), next, resolved))
        };
        match look() {
            Ok((interface, neighbour, resolved)) => {
                let known =
                    if resolved { "is known" } else { "is not known yet: the host's stack asks for it" };
                said.why.push(format!(
                    "it leaves by {interface} to {neighbour}, whose link-layer address {known}"
                ));
                said.way = Some(WayOut { interface, neighbour, resolved });
            }
            Err(error) => {
                drop_for(said, DropReason::NoRoute);
                said.why.push(format!("there is no way to {target}: {error}"));
            }
        }
    }
}

/// What is said of every young flow.
fn young_status(direction: &'static str, idle_seconds: f64) -> FlowStatus {
    let (new_source, new_destination) = (None, None);
    FlowStatus { kind: "young", direction, idle_seconds, closing: false, new_source, new_destination }
}

fn drop_for(said: &mut Explanation, reason: DropReason) {
    said.verdict = Verdict::Drop;
    said.reason = Some(reason.label());
    said.why.push(format!("dropped: {}", reason.describe().trim()));
}

/// Whether no client can have this address, as the kernel judges it.
fn is_martian(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            ip.octets()[0] == 0 || ip.is_loopback() || ip.is_link_local() || ip.octets()[0] >= 224
        }
        IpAddr::V6(ip) => {
            ip.is_unspecified()
                || ip.is_loopback()
                || ip.is_unicast_link_local()
                || ip.is_multicast()
                || ip.to_ipv4_mapped().is_some()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_read_as_it_is_written() {
        for text in ["tcp 1.2.3.4:5 10.80.0.1:80", "udp [2001:db8::1]:5 [2001:db8::2]:53"] {
            assert_eq!(text.parse::<Tuple>().unwrap().to_string(), text);
        }
        assert!("TCP 1.2.3.4:5 -> 10.80.0.1:80".parse::<Tuple>().is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_tuple_is_said() {
        let wrong = |text: &str| text.parse::<Tuple>().unwrap_err();
        assert_eq!(wrong("tcp 1.2.3.4:5"), TupleError::Words);
        assert_eq!(wrong("sctp 1.2.3.4:5 1.2.3.4:6"), TupleError::Protocol("sctp".into()));
        assert_eq!(wrong("tcp 1.2.3.4 1.2.3.4:6"), TupleError::Address("1.2.3.4".into()));
        assert_eq!(wrong("tcp 1.2.3.4:5 [::1]:6"), TupleError::Families);
    }
}
