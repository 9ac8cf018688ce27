//! The `proxy-now` binary.

/// Why it is not the system's: docs/decisions/0014.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    proxy_userspace::cli::main()
}
