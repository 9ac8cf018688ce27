//! Benches of proxy-now. `cargo xtask bench NAME` builds and runs them.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::process::ExitCode;

/// A hand-made BPF program that restores a packet and calls the program under test.
mod harness;
/// Nanoseconds a packet of the kernel path.
mod kernel;
/// What the kernel path is measured with: a namespace, listeners, flows.
mod scene;

fn main() -> anyhow::Result<ExitCode> {
    let name = std::env::args().nth(1).unwrap_or_default();
    match name.as_str() {
        "kernel" => kernel::run(&std::env::args().nth(2).unwrap_or_default()),
        other => anyhow::bail!("no bench is called {other:?}; there is: kernel"),
    }
}
