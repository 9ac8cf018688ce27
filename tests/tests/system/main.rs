//! Facts about the whole system: the real daemon, real traffic, in worlds of network namespaces.

/// The harness itself: worlds are as they should be before a daemon runs in them.
mod harness;

fn main() -> std::process::ExitCode {
    proxy_tests::runner::main(&[harness::FACTS])
}
