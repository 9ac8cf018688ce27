//! What is needed, and how it is got: the list is the whole policy.

use super::need::Need;
use super::programs;
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
        present: || programs::has_bpf_linker() || programs::llvm().is_some(),
        packages: &["llvm-22-dev", "libpolly-22-dev", "zlib1g-dev"],
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
        what: "curl",
        why: "for what the demonstration proposes to try by hand",
        present: || process::on_path("curl"),
        packages: &["curl"],
        elsewhere: "the package curl",
    },
    Want {
        need: Need::Test,
        what: "nginx",
        why: "a backend of the tests, and of the bench",
        present: || process::on_path("nginx"),
        packages: &["nginx-light"],
        elsewhere: "the package nginx",
    },
    Want {
        need: Need::Test,
        what: "nginx's module stream",
        why: "a proxy beside ours in the bench of steering",
        present: || Path::new("/usr/lib/nginx/modules/ngx_stream_module.so").exists(),
        packages: &["libnginx-mod-stream"],
        elsewhere: "the package of nginx's module stream, so that /usr/lib/nginx/modules/ngx_stream_module.so is there",
    },
    Want {
        need: Need::Test,
        what: "haproxy",
        why: "a proxy before and beside ours, in the tests and in the bench",
        present: || process::on_path("haproxy"),
        packages: &["haproxy"],
        elsewhere: "the package haproxy",
    },
    Want {
        need: Need::Test,
        what: "psql",
        why: "a client of the tests that asks for TLS in its own words",
        present: || process::on_path("psql"),
        packages: &["postgresql-client"],
        elsewhere: "the package postgresql-client (or postgresql)",
    },
    Want {
        need: Need::Test,
        what: "PostgreSQL",
        why: "a backend of the tests whose clients ask for TLS in their own words",
        present: || Path::new("/usr/lib/postgresql").exists(),
        packages: &["postgresql"],
        elsewhere: "the package postgresql (or postgresql-server)",
    },
    Want {
        need: Need::Test,
        what: "tcpdump",
        why: "captures that the tests have explained",
        present: || process::on_path("tcpdump"),
        packages: &["tcpdump"],
        elsewhere: "the package tcpdump",
    },
    Want {
        need: Need::Test,
        what: "h2load",
        why: "a client of the tests that speaks HTTP/2",
        present: || process::on_path("h2load"),
        packages: &["nghttp2-client"],
        elsewhere: "the package nghttp2-client (or nghttp2)",
    },
    Want {
        need: Need::Test,
        what: "hey",
        why: "a client of the tests that says hello as programs in Go do",
        present: || process::on_path("hey"),
        packages: &["hey"],
        elsewhere: "the package hey, or https://github.com/rakyll/hey",
    },
    Want {
        need: Need::Test,
        what: "python3 with venv",
        why: "runs the conformance scripts, and clients that come from the index of Python's packages",
        present: || process::ask("python3", &["-c", "import venv, ensurepip"]).is_some(),
        packages: &["python3", "python3-venv"],
        elsewhere: "the packages python3 and python3-venv",
    },
];
