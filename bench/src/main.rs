//! Benches of proxy-now. `cargo xtask bench NAME` builds and runs them.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::process::ExitCode;

/// What many certificates cost.
mod certs;
/// A hand-made BPF program that restores a packet and calls the program under test.
mod harness;
/// CPU time, latency and memory of HTTP and TLS, beside other proxies.
mod http;
/// Nanoseconds a packet of the kernel path.
mod kernel;
/// What a look-up among routes costs.
mod route;
/// What is printed.
mod say;
/// What the kernel path is measured with: a namespace, listeners, flows.
mod scene;

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (name, rest) = words.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    match name {
        "kernel" => kernel::run(rest.first().map_or("", String::as_str)),
        "http" => http::run(&http::HTTP, rest),
        "tls" => http::run(&http::TLS, rest),
        "metrics" => http::run(&http::METRICS, rest),
        "reload" => http::reload::run(),
        "steering" => http::steering::run(rest),
        "route" => route::run(),
        "certs" => certs::run(),
        // Peers: started by `http` and `tls`.
        "bare-hyper-tls" => http::bare::run_tls(rest).map(|()| ExitCode::SUCCESS),
        "bare-hyper" => http::bare::run(rest).map(|()| ExitCode::SUCCESS),
        other => anyhow::bail!(
            "no bench is called {other:?}; there are: kernel http tls metrics reload steering route certs"
        ),
    }
}
