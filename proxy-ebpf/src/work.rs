//! What a packet's way has to remember. The BPF stack has 512 bytes for a whole chain of calls: this lies in memory
//! that each CPU has of its own.

use proxy_common::{
    flow::{Flow, FlowKey, Rewrite, Young},
    hop::HopView,
    limit_event::Event,
    listener::Listener,
};

use crate::hello::Peek;
use crate::keys::Ask;
use crate::parsed::{Internet, Outer, Quote, Segment, Transport};

/// How a packet leaves: by a hop, or by the host's stack, which first has to find the neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Exit<A> {
    /// The hop; with `wait` its interface alone counts.
    pub hop: HopView,
    /// The neighbour: the destination itself, or the gateway to it.
    pub neighbour: A,
    /// The neighbour's link-layer address is not known yet.
    pub wait: bool,
}

/// What the options of a TCP header say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Offer {
    /// The sender's timestamp.
    pub value: u32,
    /// The timestamp that it echoes.
    pub echo: u32,
    /// The longest segment.
    pub size: u16,
    /// What windows are scaled by, at most 14; 15: they are not.
    pub scale: u8,
    /// Selective acknowledgments.
    pub sack: bool,
    /// There are timestamps.
    pub timestamps: bool,
}

/// Whether a packet's source has proved to be alive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Alive {
    /// It may have been made up: its keys get no entries.
    #[default]
    Unproved = 0,
    /// It has.
    Yes = 1,
    /// It has a flow, and no proof: its keys get entries that whoever has one may take.
    Likely = 2,
}

impl Alive {
    /// Of a flow.
    #[inline(always)]
    pub const fn of(proved: bool) -> Self {
        if proved { Self::Yes } else { Self::Likely }
    }
}

/// What limits are asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Step {
    /// Charge a packet of a flow, and its bytes.
    Packet = 0,
    /// The same of what has no flow: its source may have been made up.
    Unproved = 1,
    /// Charge a new connection.
    Connection = 2,
    /// Look at what a new connection would be charged.
    Look = 3,
    /// A client has proved to be alive: make its entries, and count one more at a time.
    Establish = 4,
    /// `client`'s connection to `backend` is over: count one less, in a set of counts.
    Leave = 5,
}

impl Step {
    /// From its number.
    #[inline(always)]
    pub const fn of(number: u32) -> Self {
        match number {
            0 => Self::Packet,
            1 => Self::Unproved,
            2 => Self::Connection,
            3 => Self::Look,
            4 => Self::Establish,
            _ => Self::Leave,
        }
    }
}

/// What limits have to remember.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limited<A> {
    /// What is asked of the table of keys.
    pub ask: Ask,
    /// Whether the source is known to be real.
    pub alive: Alive,
    /// It is too much for a limit whose clients are told by a reset.
    pub reset: bool,
    /// Rules under which it was counted, as bits.
    pub entered: u8,
    /// The hash of the host that a ClientHello names, with the table's secret.
    pub name: u64,
    /// Whose connection is over,
    pub client: A,
    /// and to which backend it went.
    pub backend: u16,
    /// What the daemon is told.
    pub event: Event,
}

impl<A> Limited<A> {
    /// Before the first rule.
    #[inline(always)]
    pub fn begin(&mut self, alive: Alive) {
        self.alive = alive;
        self.reset = false;
    }
}

/// Bytes of the memory that a TCP header's options are read into: a power of two, so that an index can be shown to be in it.
pub const OPTION_BYTES: usize = 64;

/// What a segment of a spliced connection becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Translated {
    /// The TCP header from the sequence number on, as it lies in memory.
    pub head: [u32; 4],
    /// Where the options start.
    pub at: u32,
    /// Words of options.
    pub words: u32,
    /// What the options change the checksum by.
    pub delta: u16,
    /// The receiver does without congestion notification.
    pub unmark: bool,
    /// They are timestamps alone, in their usual place: `stamps`. Else `options`.
    pub aligned: bool,
    /// The two timestamps, as they lie in memory.
    pub stamps: [u32; 2],
    /// The options.
    pub options: Options,
}

/// What a walk over a TCP header's options is in the middle of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub enum Within {
    /// No option.
    #[default]
    Nothing = 0,
    /// An option that the receiver must not see.
    Wiped = 1,
    /// Edges of selective acknowledgments.
    Edges = 2,
    /// Timestamps.
    Clocks = 3,
}

/// A walk over a TCP header's options.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The options.
    pub bytes: [u8; OPTION_BYTES],
    /// Where they end.
    pub end: u32,
    /// How far the walk is.
    pub at: u32,
    /// Bytes that are left of the option that it is in.
    pub left: u32,
    /// [`Within`].
    pub within: u8,
    /// [`proxy_common::splice::Side`] that sent them.
    pub side: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { bytes: [0; OPTION_BYTES], end: 0, at: 0, left: 0, within: 0, side: 0 }
    }
}

/// One packet's memory. Zeroes are a valid value of it; stages fill it in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work<A> {
    /// The IP header.
    pub ip: Internet<A>,
    /// The transport header.
    pub transport: Transport,
    /// The hash of the 5-tuple, once something but the flow table is asked.
    pub hash: u64,
    /// What is written into the packet.
    pub rewrite: Rewrite<A>,
    /// How it leaves.
    pub exit: Exit<A>,
    /// Whether the flow table knows its 5-tuple.
    pub has_flow: bool,
    /// Whether a flow begins with it.
    pub fresh: bool,
    /// Whether its flow's client has proved to be alive, by more than what anybody can send who makes a source up.
    pub proved: bool,
    /// The young flow it belongs to or makes.
    pub young: Young<A>,
    /// Whoever else has a young flow's place.
    pub other: Young<A>,
    /// The 5-tuple that tables are asked for: the packet's own, or that of a packet that an ICMP error is about.
    pub asked: FlowKey<A>,
    /// What an ICMP error quotes.
    pub quote: Quote<A>,
    /// What the sequence number in it grows by.
    pub quote_sequence: u32,
    /// What an ICMP error's own header becomes.
    pub outer: Outer<A>,
    /// The 5-tuple on the backend's side.
    pub there: FlowKey<A>,
    /// That of the answers.
    pub back: FlowKey<A>,
    /// An entry on its way into the flow table.
    pub flow: Flow<A>,
    /// What the options of its TCP header say.
    pub offer: Offer,
    /// Who listens there, if a flow begins, or if that is a socket of this host.
    pub listener: Listener,
    /// What limits have to remember.
    pub limit: Limited<A>,
    /// The number of its spliced connection.
    pub splice: u32,
    /// What a segment of a spliced connection becomes.
    pub translated: Translated,
    /// What a packet is answered with.
    pub answer: Segment,
    /// The ClientHello in it.
    pub peek: Peek,
}
