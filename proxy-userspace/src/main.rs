//! The `proxy-now` binary.

/// Where memory comes from.
mod allocator;

#[global_allocator]
static ALLOCATOR: allocator::Allocator = allocator::Allocator;

fn main() -> std::process::ExitCode {
    proxy_userspace::cli::main(allocator::give_back)
}
