//! What is needed, and how it is got: the list is the whole policy.

use super::Need;
use crate::{bpf_build, process, workspace};
use std::path::Path;

/// Something that comes in packages.
#[derive(Debug)]
pub(super) struct Want {
    /// From which need on.
    pub(super) need: Need,
    /// What it is.
    pub(super) what: &'static str,
    /// What it is for.
    pub(super) why: &'static str,
    /// Whether it is there already.
    pub(super) present: fn() -> bool,
    /// Debian's packages that bring it.
    pub(super) packages: &'static [&'static str],
    /// What to do on another distribution.
    pub(super) elsewhere: &'static str,
}

/// The name of the one thing that rustup can bring where the distribution cannot.
pub(super) const COMPILER: &str = "a rustc that builds for BPF";

/// The folder of the LLVM that bpf-linker is built with.
pub(super) const LLVM: &str = "/usr/lib/llvm-22";

/// Everything that comes in packages.
pub(super) const ALL: &[Want] = &[
    Want {
        need: Need::Build,
        what: COMPILER,
        why: "compiles the kernel programs",
        present: || bpf_build::find_toolchain(&workspace::root()) != Err(bpf_build::Missing::Compiler),
        packages: &["rustc-web", "libstd-rust-web-dev-bpf"],
        elsewhere: "rustup toolchain install nightly-2026-05-20 --profile minimal --component rust-src",
    },
    Want {
        need: Need::Build,
        what: "LLVM 22 for developers, with Polly",
        why: "bpf-linker is built with it",
        present: || super::programs::has_bpf_linker() || llvm().is_some(),
        packages: &["llvm-22-dev", "libpolly-22-dev", "zlib1g-dev", "libzstd-dev"],
        elsewhere: "your distribution's LLVM 22 with headers and static Polly, its folder named by LLVM_PREFIX",
    },
    Want {
        need: Need::Run,
        what: "ip",
        why: "lays out network namespaces for the demonstration and the tests",
        present: || process::on_path("ip"),
        packages: &["iproute2"],
        elsewhere: "the package iproute2",
    },
    Want {
        need: Need::Run,
        what: "ethtool",
        why: "turns off the checksum offload of virtual devices, which XDP does not understand",
        present: || process::on_path("ethtool"),
        packages: &["ethtool"],
        elsewhere: "the package ethtool",
    },
];

/// The LLVM that bpf-linker can be built with: `LLVM_PREFIX`, or Debian's.
pub(super) fn llvm() -> Option<String> {
    let named = std::env::var("LLVM_PREFIX").ok();
    named
        .into_iter()
        .chain([LLVM.to_string()])
        .find(|prefix| Path::new(prefix).join("bin/llvm-config").is_file())
}
