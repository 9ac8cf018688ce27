//! The daemon's release build.

use crate::{process, workspace};
use anyhow::Result;
use std::path::PathBuf;

/// Builds it, and says where it is.
pub(crate) fn build() -> Result<PathBuf> {
    process::run(process::cargo().args(["build", "--release", "--quiet", "--package", "proxy-userspace"]))?;
    Ok(workspace::target().join("release/proxy-now"))
}
