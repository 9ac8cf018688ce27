//! The programs that a packet's way is made of. The first one settles what is frequent and short; whatever is rare or
//! long has a program of its own, which the kernel jumps to (`bpf_tail_call`). So the verifier judges each by itself, and
//! the stack begins anew.

use crate::addr::{Address, Ip4, Ip6};

/// A program that goes on with a packet where another one stopped. There is one for each address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Program {
    /// What the flow table does not settle: SYNs, young flows, answers to them.
    Begin,
    /// A packet of an established flow that takes more than what the flow remembers.
    Flow,
    /// A packet to a socket of this host.
    Local,
    /// ICMP.
    Icmp,
    /// A packet that its way out cannot carry.
    TooBig,
    /// A packet that is answered by a reset.
    Reset,
    /// A ClientHello to a socket of this host.
    Peek,
    /// A packet of a connection that userspace handed over.
    Splice,
}

impl Program {
    /// All of them, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Begin,
        Self::Flow,
        Self::Local,
        Self::Icmp,
        Self::TooBig,
        Self::Reset,
        Self::Peek,
        Self::Splice,
    ];
    /// Entries of the array of programs.
    pub const SLOTS: u32 = Self::ALL.len() as u32 * 2;

    /// Its place in the array of programs, for an address family.
    #[inline(always)]
    pub const fn slot(self, family: u8) -> u32 {
        self as u32 * 2 + (family == Ip6::FAMILY) as u32
    }

    /// What is in a place of the array of programs: the program, and its address family.
    #[must_use]
    pub fn at(slot: u32) -> Option<(Self, u8)> {
        let family = if slot.is_multiple_of(2) { Ip4::FAMILY } else { Ip6::FAMILY };
        Self::ALL.get(slot as usize / 2).map(|program| (*program, family))
    }

    /// Its name in the object, for IPv4 and for IPv6.
    #[must_use]
    pub const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Begin => ["proxy_begin4", "proxy_begin6"],
            Self::Flow => ["proxy_flow4", "proxy_flow6"],
            Self::Local => ["proxy_local4", "proxy_local6"],
            Self::Icmp => ["proxy_icmp4", "proxy_icmp6"],
            Self::TooBig => ["proxy_too_big4", "proxy_too_big6"],
            Self::Reset => ["proxy_reset4", "proxy_reset6"],
            Self::Peek => ["proxy_peek4", "proxy_peek6"],
            Self::Splice => ["proxy_splice4", "proxy_splice6"],
        }
    }

    /// Every program: its place in the array, and its name.
    pub fn entries() -> impl Iterator<Item = (u32, &'static str)> {
        Self::ALL.iter().flat_map(|program| {
            let [v4, v6] = program.names();
            [(program.slot(Ip4::FAMILY), v4), (program.slot(Ip6::FAMILY), v6)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::vec::Vec;

    #[test]
    fn every_program_has_a_place_and_a_name_of_its_own() {
        let entries: Vec<_> = Program::entries().collect();
        let slots: HashSet<_> = entries.iter().map(|(slot, _)| *slot).collect();
        let names: HashSet<_> = entries.iter().map(|(_, name)| *name).collect();
        assert_eq!((slots.len(), names.len()), (entries.len(), entries.len()));
        assert!(slots.iter().all(|slot| *slot < Program::SLOTS));
        assert!(
            slots.iter().all(|slot| Program::at(*slot).is_some_and(|(at, family)| at.slot(family) == *slot))
        );
        assert_eq!(Program::at(Program::SLOTS), None);
        // The kernel cuts longer ones off (`BPF_OBJ_NAME_LEN`).
        assert!(names.iter().all(|name| name.len() <= 15));
    }
}
