//! The ABI of proxy-now, and the pure arithmetic that both sides of it share.
//!
//! Every byte that the kernel programs and the daemon both touch is laid out here, once. This crate is `no_std`,
//! knows no socket, no map and no clock, and has no unsafe code outside [`pod`].
#![no_std]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics), allow(internal_features, reason = "see cell.rs"))]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

/// Addresses and the two address families.
pub mod addr;
/// What one backend of one listener is, as the kernel sees it.
pub mod backend;
/// Who is kept out.
pub mod ban;
/// What each key of each limit has used up.
pub mod bucket;
/// A 64-bit number that several CPUs read and write at once.
pub mod cell;
/// Internet checksum arithmetic (RFC 1071, RFC 1624).
pub mod checksum;
/// What a client says first when it speaks TLS.
pub mod client_hello;
/// SYN cookies.
pub mod cookie;
/// What is counted, per CPU.
pub mod counters;
/// Why a packet was dropped.
pub mod drop_reason;
/// Flows: the established ones, and the young ones that have not proved to be alive.
pub mod flow;
/// Rates, kept by one number a key.
pub mod gcra;
/// What keeps floods from what they are aimed at.
pub mod guard;
/// The hash of a flow.
pub mod hash;
/// The remembered next hop of a flow.
pub mod hop;
/// Which flows may be in the flow tables.
pub mod known;
/// What the kernel programs tell as it happens.
pub mod limit_event;
/// Sizes of every table, by name.
pub mod limits;
/// What the kernel listens on.
pub mod listener;
/// Maglev look-up tables.
pub mod maglev;
/// Names of maps and programs, as they are pinned.
pub mod names;
/// The limits of a listener, as they are charged.
pub mod plan;
/// Types that are plain bytes.
pub mod pod;
/// The programs that a packet's way is made of.
pub mod program;
/// Room in the flow tables for what nobody has proved.
pub mod room;
/// What the daemon tells the kernel programs, as a whole.
pub mod settings;
/// SipHash-2-4.
pub mod siphash;
/// What the kernel programs know of names.
pub mod sni;
/// Connections that userspace handed over.
pub mod splice;
/// A young flow of `dsr` in one word.
pub mod young_word;

/// The version of everything in this crate that has a layout. It is part of the pin path, stands in the BPF object
/// and in [`settings::Settings`], and is checked before a map is adopted.
pub const ABI_VERSION: u32 = 7;
