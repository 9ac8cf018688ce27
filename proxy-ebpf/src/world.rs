//! What the pipeline looks at and acts on. The BPF binary implements it over maps and helpers, tests over plain memory.

use proxy_common::{
    addr::{Address, Ip4, Ip6},
    backend::{Backend, NatSource},
    ban::{Family, Line},
    cell::Cell64,
    drop_reason::{DropReason, Notice},
    flow::{Flow, FlowKey, FragmentKey, SharedFlow, Slot},
    guard::{GuardRule, GuardSettings, SharedGuard},
    hop::SharedHop,
    limit_event::Event,
    listener::{DestinationFilter, Listener, ListenerKey},
    plan::{CountedSet, SharedPlan, count_of},
    settings::Settings,
    splice::SharedSplice,
};

use crate::{
    hello::Names,
    keys::{Ask, Keys},
    parsed::Internet,
    work::{Exit, Offer, Options, Step, Work},
};

/// The furthest byte that stages look at, from the start of the frame. What has its headers further is dropped.
pub const REACH: u32 = 1024;

/// The frame in hand. Offsets count from its first byte; numbers are as they lie in memory.
pub trait Packet {
    /// Whether the frame, all of its buffers taken together, is at least this long.
    fn holds(&self, bytes: u32) -> bool;
    /// 16 bits, or `None` beyond the end.
    fn half(&self, at: u32) -> Option<u16>;
    /// `N` 32-bit words, or `None` beyond the end.
    fn words<const N: usize>(&self, at: u32) -> Option<[u32; N]>;
    /// Writes 16 bits; `None` beyond the end, with nothing written.
    fn set_half(&mut self, at: u32, value: u16) -> Option<()>;
    /// Writes `N` 32-bit words; `None` beyond the end, with nothing written.
    fn set_words<const N: usize>(&mut self, at: u32, value: [u32; N]) -> Option<()>;
    /// Moves the start of the frame: negative grows it at the front. `None`: it could not be, nothing changed.
    fn move_start(&mut self, by: i32) -> Option<()>;
    /// Cuts the frame to this length. `None`: it could not be, nothing changed.
    fn truncate(&mut self, length: u32) -> Option<()>;
    /// The interface that the frame came in by.
    fn ingress(&self) -> u32;
}

/// What an insert into the flow table came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Insert {
    /// It is there now.
    Done,
    /// There was one under this key.
    Exists,
    /// The table is full.
    Full,
}

/// What a limit said of a packet or a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitOutcome {
    /// It is within the limit.
    Passed,
    /// It is too much, and refused.
    Refused,
    /// It is too much, and let through.
    Observed,
    /// It is too much, and the client is exempt.
    Exempt,
}

/// A question to the routing table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteQuery<A> {
    /// Source address of the packet when it leaves.
    pub source: A,
    /// Whom it must reach.
    pub destination: A,
    /// Its protocol and ports, for policy routes and multipath.
    pub protocol: u8,
    /// Source port, as in the packet.
    pub source_port: u16,
    /// Destination port, as in the packet.
    pub destination_port: u16,
}

/// The routing table's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// There is a way: the exit says which.
    Way,
    /// There is a way, but the neighbour's link-layer address is not known: the exit says whose.
    NoNeighbour,
    /// No route.
    None,
    /// Blackhole, unreachable, prohibit.
    Refused,
    /// Forwarding is off on the ingress interface.
    ForwardingDisabled,
}

/// What a socket of this host has to do with a 5-tuple.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Socket {
    /// Nothing.
    None,
    /// It waits for connections there.
    Listens,
    /// It has this connection, or had it a moment ago.
    Has,
}

/// The tables of one address family.
pub trait Tables<A: Address> {
    /// An established flow.
    fn flow(&self, key: &FlowKey<A>) -> Option<&SharedFlow<A>>;
    /// Enters a flow unless there is one under its key.
    fn insert_flow(&self, key: &FlowKey<A>, flow: &Flow<A>) -> Insert;
    /// Takes room for so many entries of flows that nobody has proved ([`proxy_common::room`]). `false`: none is left.
    fn take_room(&self, entries: u64) -> bool;
    /// Removes a flow, if it is there.
    fn remove_flow(&self, key: &FlowKey<A>);
    /// A slot for a young flow; `index` is taken modulo the table's size.
    fn young(&self, index: u32) -> Option<&impl Slot<A>>;
    /// Where the young flow of a backend's packet is; `index` is taken modulo the table's size.
    fn young_return(&self, index: u32) -> Option<&Cell64>;
    /// The flow of a datagram's later fragments.
    fn fragment(&self, key: &FragmentKey<A>) -> Option<FlowKey<A>>;
    /// Remembers the flow of a datagram for its later fragments.
    fn remember_fragment(&self, key: &FragmentKey<A>, flow: &FlowKey<A>);
    /// Who listens there.
    fn listener(&self, key: &ListenerKey<A>) -> Option<Listener>;
    /// A backend by its number.
    fn backend(&self, id: u16) -> Option<&Backend<A>>;
    /// A source address by its number.
    fn nat_source(&self, index: u16) -> Option<&NatSource<A>>;
    /// Does a step of limits, of the plan or the set of counts of this number. Whether it passes. In the kernel that is a
    /// function that the verifier checks once; it finds `work` by itself.
    fn limit(&self, work: &mut Work<A>, step: Step, number: u8) -> bool;
    /// Whether a limit does not hold for this client.
    fn is_exempt(&self, limit: u16, client: &A) -> bool;
    /// Asks the routing table. Fills the hop and the neighbour of `exit`.
    fn route(&self, query: &RouteQuery<A>, exit: &mut Exit<A>) -> Route;
    /// Leaves a note on the packet that our TC program shall resolve this neighbour and send. `None`: it could not be.
    fn defer(&mut self, ifindex: u32, neighbour: A) -> Option<()>;
    /// Whether a socket of this host has or takes packets with this 5-tuple.
    fn socket(&self, key: &FlowKey<A>) -> Socket;
    /// Leaves a note on the packet that our TC program shall make a socket of it: its client has returned a cookie.
    /// `None`: it could not be.
    fn vouch(&mut self, ip: &Internet<A>, offer: &Offer) -> Option<()>;
}

/// The tables of bans of one address family.
pub trait Bans<A: Family> {
    /// Whether a prefix that covers the address is in a table ([`proxy_common::ban::table`]) and has not ended; then it
    /// is counted there. `suspect` is what the address's region says.
    fn has(&self, table: u32, address: &A, suspect: A::Suspect, now: u32) -> bool;
}

/// Everything: a packet, the tables of both families, and what belongs to neither.
pub trait World: Packet + Keys + Names + Tables<Ip4> + Tables<Ip6> + Bans<Ip4> + Bans<Ip6> {
    /// The clock in jiffies, low 32 bits.
    fn now(&self) -> u32;
    /// The clock in jiffies, all 64 bits.
    fn ticks(&self) -> u64;
    /// A line of one of the tables of bans ([`proxy_common::ban::table`]).
    fn ban_line(&self, table: u32, index: u32) -> Option<&Line>;
    /// What the daemon set.
    fn settings(&self) -> Option<&Settings>;
    /// The filter that tells what is not ours.
    fn filter(&self) -> Option<&DestinationFilter>;
    /// Whether a flow with this hash ([`proxy_common::known::hash`]) may be in the flow table: may say yes wrongly, never no.
    fn may_be_known(&self, hash: u64) -> bool;
    /// Notes that a flow with this hash is in the flow table.
    fn note_known(&self, hash: u64);
    /// The place of a young flow of `dsr` ([`proxy_common::young_word`]) with this hash under the secret seed.
    fn young_word(&self, seeded: u64) -> Option<&Cell64>;
    /// A slot of a listener's ring.
    fn ring_slot(&self, listener: u16, slot: u32) -> Option<u16>;
    /// The remembered hop to a backend.
    fn backend_hop(&self, id: u16) -> Option<&SharedHop>;
    /// Counts a packet of `bytes` to (`returning` false) or from a backend; `fresh`: it begins a flow.
    fn count_traffic(&self, id: u16, bytes: u32, returning: bool, fresh: bool);
    /// What the daemon says for all guards.
    fn guard_settings(&self) -> Option<&GuardSettings>;
    /// What the daemon says for a listener.
    fn guard_rule(&self, listener: u16) -> Option<&GuardRule>;
    /// What is seen of a listener, or of [`proxy_common::guard::ICMP`].
    fn guard(&self, index: u32) -> Option<&SharedGuard>;
    /// Counts one on this CPU alone. When there are `batch` of them: so many, and none are left; else 0.
    fn gather(&self, index: u32, batch: u32) -> u32;
    /// A word of the table of sources that are known to be alive ([`proxy_common::guard::alive`]).
    fn alive(&self, index: u32) -> Option<&Cell64>;
    /// A place of credit, below [`proxy_common::limits::CREDITS`].
    fn credit(&self, index: u32) -> Option<&Cell64>;
    /// A listener's limits.
    fn plan(&self, number: u8) -> Option<&SharedPlan>;
    /// A set of counts that flows are in.
    fn counted(&self, number: u8) -> Option<&CountedSet>;
    /// Answers a question about a key: that of the `Work` of this family, which is where `ask` is.
    fn answer(&self, family: u8, ask: &Ask) -> u64;
    /// Counts what a measure of a limit said.
    fn count_limit(&self, limit: u16, measure: u8, outcome: LimitOutcome);
    /// Counts what has passed, by the rule's own number of that count.
    fn count_passed(&self, counter: u32) {
        let (limit, measure) = count_of(counter);
        self.count_limit(limit, measure, LimitOutcome::Passed);
    }
    /// A spliced connection, by its number.
    fn splice(&self, number: u32) -> Option<&SharedSplice>;
    /// Does a step of the walk over the options that the `Work` of this family has, of a segment of this spliced connection.
    /// In the kernel that is a function that the verifier checks once; it finds `options` by itself.
    fn option_step(&self, family: u8, number: u32, options: &mut Options);
    /// Copies the frame in hand, which is of this spliced connection, for the daemon. `false`: there is no room.
    fn hold(&self, number: u32) -> bool;
    /// Tells the daemon, if there is room.
    fn tell(&self, event: &Event);
    /// Counts a drop: of what goes on all the same, as something else.
    fn count_drop(&self, reason: DropReason);
    /// Counts what is worth counting though the packet goes on.
    fn notice(&self, notice: Notice);
}
