//! `[kernel]` and `[admin]`.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::keys;
use crate::config::model::AttachMode;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};

/// What `[kernel]` says.
#[derive(Debug)]
pub(in crate::config) struct FileKernel {
    pub(in crate::config) interfaces: Vec<At<Box<str>>>,
    pub(in crate::config) attach: AttachMode,
    pub(in crate::config) flows: u32,
    /// A power of two.
    pub(in crate::config) limit_keys: u32,
    pub(in crate::config) nat_ports: Option<RangeInclusive<u16>>,
    pub(in crate::config) nat_source: Vec<At<IpAddr>>,
    pub(in crate::config) hash_seed: Option<u64>,
    pub(in crate::config) tcp_idle: Duration,
    pub(in crate::config) tcp_closing: Duration,
    pub(in crate::config) udp_idle: Duration,
    pub(in crate::config) icmp_limit: Option<u32>,
    pub(in crate::config) pin_dir: PathBuf,
}

impl FileKernel {
    /// Reads everything, then fails if anything was wrong.
    pub(super) fn read(entries: &Entries, report: &mut Report<'_>) -> Result<Self, Reported> {
        let interfaces = entries.get(&keys::kernel::INTERFACES, report);
        let attach = entries.get(&keys::kernel::ATTACH, report);
        let flows = entries.get(&keys::kernel::FLOWS, report);
        let limit_keys = entries.get(&keys::kernel::LIMIT_KEYS, report);
        let nat_ports = entries.find(&keys::kernel::NAT_PORTS, report);
        let nat_source = entries.find(&keys::kernel::NAT_SOURCE, report);
        let hash_seed = entries.find(&keys::kernel::HASH_SEED, report);
        let tcp_idle = entries.get(&keys::kernel::TCP_IDLE, report);
        let tcp_closing = entries.get(&keys::kernel::TCP_CLOSING, report);
        let udp_idle = entries.get(&keys::kernel::UDP_IDLE, report);
        let icmp_limit = entries.get(&keys::kernel::ICMP_LIMIT, report);
        let pin_dir = entries.get(&keys::kernel::PIN_DIR, report);
        Ok(Self {
            interfaces: interfaces?.value,
            attach: attach?.value,
            flows: flows?.value as u32,
            limit_keys: (limit_keys?.value as u32).next_power_of_two(),
            nat_ports: nat_ports?.map(|ports| ports.value),
            nat_source: nat_source?.map_or_else(Vec::new, |sources| sources.value),
            hash_seed: hash_seed?.map(|seed| seed.value),
            tcp_idle: tcp_idle?.value,
            tcp_closing: tcp_closing?.value,
            udp_idle: udp_idle?.value,
            icmp_limit: icmp_limit?.value,
            pin_dir: pin_dir?.value,
        })
    }
}

/// What `[admin]` says.
#[derive(Debug)]
pub(in crate::config) struct FileAdmin {
    pub(in crate::config) socket: PathBuf,
    pub(in crate::config) mode: u32,
    pub(in crate::config) audit_log: Option<PathBuf>,
}

impl FileAdmin {
    /// Reads everything, then fails if anything was wrong.
    pub(super) fn read(entries: &Entries, report: &mut Report<'_>) -> Result<Self, Reported> {
        let socket = entries.get(&keys::kernel::SOCKET, report);
        let mode = entries.get(&keys::kernel::MODE, report);
        let audit_log = entries.find(&keys::kernel::AUDIT_LOG, report);
        let audit_log = audit_log?.map(|path| path.value);
        Ok(Self { socket: socket?.value, mode: mode?.value, audit_log })
    }
}
