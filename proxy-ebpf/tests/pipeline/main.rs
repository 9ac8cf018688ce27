//! Facts of the whole pipeline, on plain memory: packet in, packet out, verdict, counters. What a packet is made of and
//! what it says is the harness's code, which shares nothing with the code under test.

/// Who is kept out.
mod bans;
/// Full tables, floods, what is left when nothing is left.
mod capacity;
/// A packet for every reason to drop one.
mod drops;
/// ICMP errors.
mod errors;
/// Flows from their first packet to their last.
mod flows;
/// Fragments.
mod fragments;
/// Floods, and what guards do.
mod guards;
/// Connections that userspace handed over.
mod handoffs;
/// Options and extension headers.
mod headers;
/// Hops: remembered, renewed, pending, by VLAN devices.
mod hops;
/// Limits.
mod limits;
/// The Ethernet header and its tags.
mod link;
/// Names that ClientHellos ask for.
mod names;
/// Packets that are read at once.
mod plain;
/// What holds of every packet.
mod properties;
/// Packets turned into answers to their senders.
mod replies;
/// A world with a service by TCP and one by UDP, three backends each.
mod scene;
/// Segments of spliced connections.
mod splices;
/// Packets too long for their way out.
mod too_big;
