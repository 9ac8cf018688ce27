//! `cargo xtask ebpf`: builds the kernel programs.

use crate::{bpf_build, say, workspace};
use anyhow::{Context, Result};
use std::fs;

/// Builds `target/bpf/proxy-ebpf.o`, the object that the daemon embeds.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    let toolchain = bpf_build::find_toolchain(&root)
        .map_err(|missing| anyhow::anyhow!("{missing} on this machine: run `cargo xtask setup`"))?;
    let object = bpf_build::build(&root, &toolchain)?;
    let bytes = fs::metadata(&object).with_context(|| format!("cannot read {}", object.display()))?.len();
    let shown = object.strip_prefix(&root).unwrap_or(&object);
    say::line(&format!("{} ({bytes} bytes)", shown.display()));
    Ok(())
}
