//! What cargo and rustup bring: bpf-linker, cargo-deny, a nightly, clippy and rustfmt.

use crate::{bpf_build, process, say, workspace};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Command;

/// The bpf-linker that was tried; its feature names the LLVM it is built with.
const BPF_LINKER: &str = "0.13.0";
/// The cargo-deny that was tried.
const CARGO_DENY: &str = "0.20.2";

/// Whether the right bpf-linker is there.
pub(super) fn has_bpf_linker() -> bool {
    bpf_build::find_linker()
        .and_then(|linker| process::ask(linker, &["--version"]))
        .is_some_and(|text| text.trim() == format!("bpf-linker {BPF_LINKER}"))
}

/// The LLVM that bpf-linker can be built with: `LLVM_PREFIX`, or Debian's. Each comes in pieces, of which these are
/// the last ones.
pub(super) fn llvm() -> Option<String> {
    let named = std::env::var("LLVM_PREFIX")
        .ok()
        .map(|prefix| (prefix, ["bin/llvm-config", "include/llvm-c/Core.h"]));
    let debian =
        (format!("/usr/lib/llvm-{}", bpf_build::LINKER_LLVM), ["include/llvm-c/Core.h", "lib/libPolly.a"]);
    let whole = |(prefix, pieces): &(String, [&str; 2])| {
        pieces.iter().all(|piece| Path::new(prefix).join(piece).exists())
    };
    named.into_iter().chain([debian]).find(whole).map(|(prefix, _)| prefix)
}

/// Builds bpf-linker.
pub(super) fn bpf_linker() -> Result<()> {
    if has_bpf_linker() {
        return Ok(());
    }
    let llvm = llvm().context("no LLVM 22 for developers: set LLVM_PREFIX to its folder")?;
    say::step(&format!("building bpf-linker {BPF_LINKER} (about a minute): links the kernel programs"));
    let mut install = install("bpf-linker", BPF_LINKER);
    install.args(["--no-default-features", "--features", &format!("llvm-{}", bpf_build::LINKER_LLVM)]);
    process::run(install.env("LLVM_PREFIX", llvm))
}

/// Builds cargo-deny.
pub(super) fn cargo_deny() -> Result<()> {
    let own = bpf_build::cargo_home().join("bin/cargo-deny");
    if process::ask(own, &["--version"]).is_some() || process::ask("cargo-deny", &["--version"]).is_some() {
        return Ok(());
    }
    say::step(&format!(
        "building cargo-deny {CARGO_DENY} (some minutes, once): checks licences and dependencies"
    ));
    process::run(&mut install("cargo-deny", CARGO_DENY))
}

/// Clippy and rustfmt, which a minimal toolchain lacks.
pub(super) fn components() -> Result<()> {
    for (component, word) in [("clippy", "clippy"), ("rustfmt", "fmt")] {
        let present =
            process::cargo().args([word, "--version"]).output().is_ok_and(|out| out.status.success());
        if !present {
            say::step(&format!("adding {component} to the toolchain: `cargo xtask ci` runs it"));
            process::run(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

/// Installs the nightly that can build `core` along. False where rustup cannot have it.
pub(super) fn nightly() -> bool {
    let toolchain = bpf_build::NIGHTLY;
    say::step(&format!(
        "installing {toolchain} with the source of core by rustup: compiles the kernel programs"
    ));
    let mut rustup = Command::new("rustup");
    rustup.args(["toolchain", "install", toolchain, "--profile", "minimal", "--component", "rust-src"]);
    process::run(&mut rustup).is_ok()
}

/// `cargo install`, free of the environment of the cargo that runs us, its files kept for the next try.
fn install(package: &str, version: &str) -> Command {
    let mut command = process::cargo();
    command.args(["install", package, "--version", version, "--locked"]);
    command.env("CARGO_TARGET_DIR", workspace::root().join("target/tools"));
    command
}
