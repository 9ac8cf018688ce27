//! The kernel path of proxy-now: a pure pipeline, generic over what it looks at.
//!
//! Tested on the host as it stands, compiled unchanged into the BPF object. No unsafe code, no map, no helper: what a
//! packet or a table is, [`world`] says.
#![cfg_attr(target_arch = "bpf", no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

/// The memory that a ClientHello is read in.
pub mod hello;
/// The same pipeline on plain memory, for whoever has no kernel.
#[cfg(not(target_arch = "bpf"))]
pub mod host;
/// The ordered stages of a packet's way.
pub mod ingress;
/// What limits ask of their tables.
pub mod keys;
/// What a packet in hand is found to be.
pub mod parsed;
/// The stages: one thing each, unaware of each other.
pub mod stage;
/// Which worker takes a new connection.
pub mod steer;
/// What a flow writes into its packets.
pub mod translation;
/// A packet in hand, turned around.
pub mod turned;
/// What the pipeline ends with.
pub mod verdict;
/// What a packet's way has to remember.
pub mod work;
/// What the pipeline looks at and acts on: a packet, the tables, the kernel.
pub mod world;
