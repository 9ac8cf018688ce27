//! Puts the kernel programs where the daemon embeds them: `$OUT_DIR/proxy-ebpf.o`.
//!
//! Without the BPF toolchain (and in a debug build whose kernel part does not compile) that file is empty, so that
//! everything else still builds and tests with stable alone; loading it is then one clear error.

/// Finds the toolchain and builds the object; shared with `cargo xtask ebpf`.
#[path = "../xtask/src/bpf_build.rs"]
mod bpf_build;

use bpf_build::BuildError;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// What the object is made of: a change to anything else does not build it anew.
const SOURCES: [&str; 6] = [
    "Cargo.lock",
    "proxy-common/Cargo.toml",
    "proxy-common/src",
    "proxy-ebpf/Cargo.toml",
    "proxy-ebpf/src",
    "xtask/src/bpf_build.rs",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    let embedded = PathBuf::from(env::var("OUT_DIR")?).join("proxy-ebpf.o");
    match object(&root) {
        Ok(object) => drop(fs::copy(object, embedded)?),
        Err(why) if env::var("PROFILE")? == "release" && why.is::<BuildError>() => return Err(why),
        Err(why) => {
            say(&format!("cargo::warning=built without the kernel programs: {why}"));
            fs::write(embedded, [])?;
        }
    }
    for source in SOURCES {
        say(&format!("cargo::rerun-if-changed={}", root.join(source).display()));
    }
    say(&format!("cargo::rerun-if-changed={}", bpf_build::stamp(&root).display()));
    say("cargo::rerun-if-env-changed=PROXY_NOW_BPF_RUSTC");
    Ok(())
}

/// Builds the object, or says what to do about it.
fn object(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let toolchain =
        bpf_build::find_toolchain(root).map_err(|missing| format!("{missing}: run `cargo xtask setup`"))?;
    Ok(bpf_build::build(root, &toolchain)?)
}

fn say(line: &str) {
    println!("{line}");
}
