//! From what the file says to what it means: entries are compared with each other, names are resolved.

/// Listeners against each other, the kernel part and the pools.
mod listener;
/// Pools against the listeners that use them.
mod pool;
/// Sizes of the kernel's tables.
mod size;

use std::fmt;

use super::diagnostic::Fact;
use super::file::{File, FileKernel};
use super::model::{AdminConfig, Config, KernelConfig};
use super::report::{At, Report, Reported};

/// Compares everything with everything, and gives the meaning if nothing was wrong. Warnings stay in the report.
pub(super) fn resolve(file: File, report: &mut Report<'_>) -> Result<Config, Reported> {
    if let Ok(Some(kernel)) = &file.kernel {
        check_kernel(kernel, report);
    }
    if let (Ok(None), Some(first)) = (&file.kernel, file.listeners.first()) {
        report.error(&first.name.span, &listener::NoKernel { name: &first.name.value });
    }
    if file.listeners.is_empty() {
        report.warn(&(0..0), &NothingToServe);
    }
    listener::check_binds(&file.listeners, report);
    for listener in &file.listeners {
        listener::check_pool_name(listener, &file.pool_names, report);
        listener::check_ports(listener, report);
    }
    for pool in &file.pools {
        pool::check(pool, &file.listeners, report);
    }
    size::check(&file, report);

    let listeners = file.listeners.into_iter().map(listener::resolve).collect::<Vec<_>>();
    let pools = file.pools.into_iter().map(pool::resolve).collect::<Vec<_>>();
    let admin = file.admin?;
    Ok(Config {
        kernel: file.kernel?.map(resolve_kernel),
        admin: AdminConfig { socket: admin.socket, mode: admin.mode },
        listeners: listeners.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect(),
        pools: pools.into_iter().collect::<Result<_, _>>()?,
        warnings: Vec::new(),
    })
}

fn check_kernel(kernel: &FileKernel, report: &mut Report<'_>) {
    refuse_repeats("interfaces", &kernel.interfaces, report);
    refuse_repeats("nat_source", &kernel.nat_source, report);
}

fn resolve_kernel(kernel: FileKernel) -> KernelConfig {
    KernelConfig {
        interfaces: kernel.interfaces.into_iter().map(|name| name.value.into()).collect(),
        attach: kernel.attach,
        flows: kernel.flows,
        nat_ports: kernel.nat_ports,
        nat_source: kernel.nat_source.into_iter().map(|address| address.value).collect(),
        hash_seed: kernel.hash_seed,
        tcp_idle: kernel.tcp_idle,
        tcp_closing: kernel.tcp_closing,
        udp_idle: kernel.udp_idle,
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

struct NothingToServe;

impl fmt::Display for NothingToServe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is no listener: nothing will be served")
    }
}

impl Fact for NothingToServe {
    fn help(&self) -> Option<String> {
        Some("add a [listener.NAME]; examples/quickstart.toml shows one".to_owned())
    }
}
