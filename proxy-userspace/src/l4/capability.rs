//! What this process may do, and what this kernel can: asked before anything is touched, by feature, not by version.

use std::fs;
use std::io;

use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported};
use serde::Serialize;

/// A right that loading and attaching needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Capability {
    /// To load programs and make maps.
    #[serde(rename = "CAP_BPF")]
    Bpf,
    /// To attach to interfaces.
    #[serde(rename = "CAP_NET_ADMIN")]
    NetAdmin,
    /// For programs that the verifier lets do arithmetic on pointers.
    #[serde(rename = "CAP_PERFMON")]
    Perfmon,
}

impl Capability {
    const ALL: [Self; 3] = [Self::Bpf, Self::NetAdmin, Self::Perfmon];

    const fn bit(self) -> u32 {
        match self {
            Self::NetAdmin => 12,
            Self::Perfmon => 38,
            Self::Bpf => 39,
        }
    }

    /// Its name in capabilities(7).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bpf => "CAP_BPF",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
        }
    }
}

/// `CAP_SYS_ADMIN`: stands for `CAP_BPF` and `CAP_PERFMON`.
const SYS_ADMIN: u32 = 21;

/// The rights that this process lacks.
pub(super) fn missing() -> io::Result<Vec<Capability>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bits.map(missing_of).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn missing_of(effective: u64) -> Vec<Capability> {
    let has = |bit: u32| effective & (1 << bit) != 0;
    let granted = |c: &Capability| has(c.bit()) || (*c != Capability::NetAdmin && has(SYS_ADMIN));
    Capability::ALL.into_iter().filter(|capability| !granted(capability)).collect()
}

/// Something that the kernel part cannot do without.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// XDP programs that see frames in several buffers.
    XdpFragments,
    /// The routing table, asked by a program.
    FibLookup,
    /// The clock of the flow table.
    Jiffies,
    /// Sending a packet by its neighbour's entry, from TC.
    RedirectNeigh,
    /// Loops that the verifier need not unroll.
    Loop,
}

impl Feature {
    /// All that are needed.
    pub const ALL: [Self; 5] =
        [Self::XdpFragments, Self::FibLookup, Self::Jiffies, Self::RedirectNeigh, Self::Loop];

    const fn helper(self) -> (ProgramType, BpfHelper) {
        match self {
            Self::XdpFragments => (ProgramType::Xdp, BpfHelper::BPF_FUNC_xdp_load_bytes),
            Self::FibLookup => (ProgramType::Xdp, BpfHelper::BPF_FUNC_fib_lookup),
            Self::Jiffies => (ProgramType::Xdp, BpfHelper::BPF_FUNC_jiffies64),
            Self::RedirectNeigh => (ProgramType::SchedClassifier, BpfHelper::BPF_FUNC_redirect_neigh),
            Self::Loop => (ProgramType::Xdp, BpfHelper::BPF_FUNC_loop),
        }
    }

    /// Its name in bpf-helpers(7).
    pub const fn name(self) -> &'static str {
        match self {
            Self::XdpFragments => "bpf_xdp_load_bytes",
            Self::FibLookup => "bpf_fib_lookup",
            Self::Jiffies => "bpf_jiffies64",
            Self::RedirectNeigh => "bpf_redirect_neigh",
            Self::Loop => "bpf_loop",
        }
    }

    /// Whether this kernel has it. What cannot be found out counts as there: loading will tell.
    pub fn is_supported(self) -> bool {
        let (program, helper) = self.helper();
        is_helper_supported(program, helper).unwrap_or(true)
    }
}

/// The features that this kernel lacks.
pub(super) fn lacking() -> Vec<Feature> {
    Feature::ALL.into_iter().filter(|feature| !feature.is_supported()).collect()
}

/// The kernel's own name for itself.
pub(super) fn kernel_release() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".into(), |r| r.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_lacks_nothing() {
        assert_eq!(missing_of(u64::MAX), []);
    }

    #[test]
    fn the_admin_of_the_system_still_needs_the_network() {
        assert_eq!(missing_of(1 << SYS_ADMIN), [Capability::NetAdmin]);
    }

    #[test]
    fn nobody_lacks_everything() {
        assert_eq!(missing_of(0), Capability::ALL);
    }
}
