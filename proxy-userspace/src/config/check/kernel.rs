//! The kernel part in itself.

use std::fmt;

use crate::config::diagnostic::Fact;
use crate::config::file::FileKernel;
use crate::config::model::KernelConfig;
use crate::config::report::{At, Report};

/// Nothing is named twice.
pub(super) fn check(kernel: &FileKernel, report: &mut Report<'_>) {
    refuse_repeats("interfaces", &kernel.interfaces, report);
    refuse_repeats("nat_source", &kernel.nat_source, report);
}

/// What `[kernel]` means.
pub(super) fn resolve(kernel: FileKernel) -> KernelConfig {
    KernelConfig {
        interfaces: kernel.interfaces.into_iter().map(|name| name.value.into()).collect(),
        attach: kernel.attach,
        flows: kernel.flows,
        limit_keys: kernel.limit_keys,
        nat_ports: kernel.nat_ports,
        nat_source: kernel.nat_source.into_iter().map(|address| address.value).collect(),
        hash_seed: kernel.hash_seed,
        tcp_idle: kernel.tcp_idle,
        tcp_closing: kernel.tcp_closing,
        udp_idle: kernel.udp_idle,
        icmp_limit: kernel.icmp_limit,
        pin_dir: kernel.pin_dir,
    }
}

/// Reports every entry of a list that stood there before.
fn refuse_repeats<T: PartialEq + fmt::Display>(list: &str, entries: &[At<T>], report: &mut Report<'_>) {
    for (index, entry) in entries.iter().enumerate() {
        if entries[..index].iter().any(|before| before.value == entry.value) {
            report.error(&entry.span, &Repeated { list, entry: &entry.value });
        }
    }
}

struct Repeated<'a, T> {
    list: &'a str,
    entry: &'a T,
}

impl<T: fmt::Display> fmt::Display for Repeated<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} names {} twice", self.list, self.entry)
    }
}

impl<T: fmt::Display> Fact for Repeated<'_, T> {
    fn help(&self) -> Option<String> {
        Some("remove one of them".to_owned())
    }
}
