//! Builds the kernel programs: proxy-ebpf's bin for `bpfel-unknown-none`, into `target/bpf/proxy-ebpf.o`.
//!
//! Shared by `cargo xtask ebpf` and by the build script of proxy-userspace, which embeds the object; therefore this
//! file uses std alone and prints nothing.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// The target that the kernel programs are built for: BPF, little endian (both architectures we run on are).
pub(crate) const TARGET: &str = "bpfel-unknown-none";
/// The newest LLVM whose bitcode the pinned bpf-linker reads.
pub(crate) const LINKER_LLVM: u32 = 22;
/// The oldest rustc that compiles the workspace: 1.95.
const OLDEST_MINOR: u32 = 95;
/// A nightly whose LLVM is the linker's, for machines without a prebuilt `core`.
pub(crate) const NIGHTLY: &str = "nightly-2026-05-20";

/// Variables of an outer cargo, rustup or clippy that must not reach the inner build. Everything else that begins
/// with `CARGO` or `RUST` goes as well.
const KEPT: [&str; 4] = ["CARGO_HOME", "RUSTUP_HOME", "RUST_BACKTRACE", "CARGO_NET_OFFLINE"];

/// A compiler that can build for BPF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// A rustc beside which a prebuilt `core` for [`TARGET`] lies.
    Prebuilt { rustc: PathBuf },
    /// A nightly toolchain of rustup's with `rust-src`: `core` is built along.
    Nightly { toolchain: &'static str },
}

/// What it takes to build the kernel programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// Turns Rust into bitcode.
    pub(crate) compiler: Compiler,
    /// Turns bitcode into the object.
    pub(crate) linker: PathBuf,
}

/// What is missing on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// No [`Compiler`].
    Compiler,
    /// No bpf-linker.
    Linker,
}

/// Why there is no object.
#[derive(Debug)]
pub(crate) enum BuildError {
    /// Cargo could not be started.
    Start { cargo: PathBuf, cause: io::Error },
    /// The compiler said no; what it said went to standard error.
    Failed { status: ExitStatus },
    /// The object could not be put in its place.
    Store { path: PathBuf, cause: io::Error },
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compiler => "no rustc that can build for BPF",
            Self::Linker => "no bpf-linker",
        })
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { cargo, cause } => write!(f, "cannot start {}: {cause}", cargo.display()),
            Self::Failed { status } => {
                write!(f, "building proxy-ebpf for {TARGET} failed ({status}): `cargo xtask ebpf` shows why")
            }
            Self::Store { path, cause } => write!(f, "cannot write {}: {cause}", path.display()),
        }
    }
}

impl std::error::Error for BuildError {}

/// Where the inner build keeps its files: `bpf/` in the target folder of the workspace at `root`.
pub(crate) fn folder(root: &Path) -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    root.join(target).join("bpf")
}

/// A file that says which toolchain was found last: written anew only when that changes, so that a build script can
/// depend on it.
pub(crate) fn stamp(root: &Path) -> PathBuf {
    folder(root).join("toolchain")
}

/// Looks for a toolchain, and notes in [`stamp`] what it found.
pub(crate) fn find_toolchain(root: &Path) -> Result<Toolchain, Missing> {
    let found = find_compiler()
        .ok_or(Missing::Compiler)
        .and_then(|compiler| Ok(Toolchain { compiler, linker: find_linker().ok_or(Missing::Linker)? }));
    // Without the note the next build only looks again.
    let _noted = write_if_changed(&stamp(root), format!("{found:?}\n").as_bytes());
    found
}

/// Builds the object and returns where it lies. Quick when nothing changed: cargo knows.
pub(crate) fn build(root: &Path, toolchain: &Toolchain) -> Result<PathBuf, BuildError> {
    let folder = folder(root);
    let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let mut command = command(&cargo, toolchain);
    command.current_dir(root).arg("--target-dir").arg(&folder);
    let status = command.status().map_err(|cause| BuildError::Start { cargo, cause })?;
    if !status.success() {
        return Err(BuildError::Failed { status });
    }
    let built = folder.join(TARGET).join("release").join("proxy-ebpf");
    let object = folder.join("proxy-ebpf.o");
    let bytes = fs::read(&built).map_err(|cause| BuildError::Store { path: built, cause })?;
    write_if_changed(&object, &bytes).map_err(|cause| BuildError::Store { path: object.clone(), cause })?;
    Ok(object)
}

/// The inner cargo: its own environment, its own flags, the release profile made fit for BPF.
fn command(cargo: &Path, toolchain: &Toolchain) -> Command {
    let mut command = match &toolchain.compiler {
        Compiler::Prebuilt { .. } => Command::new(cargo),
        // Rustup's proxy understands `+nightly`; the cargo of one toolchain, which `CARGO` names, does not.
        Compiler::Nightly { .. } => Command::new(cargo_home().join("bin/cargo")),
    };
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if (text.starts_with("CARGO") || text.starts_with("RUST")) && !KEPT.contains(&&*text) {
            command.env_remove(&name);
        }
    }
    match &toolchain.compiler {
        // Unstable features of a stable compiler: aya-ebpf needs them, and this core was built for no other use.
        Compiler::Prebuilt { rustc } => command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1").arg("build"),
        Compiler::Nightly { toolchain } => {
            command.arg(format!("+{toolchain}")).args(["build", "-Zbuild-std=core"])
        }
    };
    command
        .args(["--quiet", "--release", "--package", "proxy-ebpf", "--bin", "proxy-ebpf", "--target", TARGET])
        .env("CARGO_ENCODED_RUSTFLAGS", flags(toolchain).join("\x1f"))
        // bpf-linker does the whole-program part: one unit of bitcode, nothing linked before it.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .env("CARGO_PROFILE_RELEASE_PANIC", "abort");
    command
}

fn flags(toolchain: &Toolchain) -> Vec<String> {
    vec![
        format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH),
        // BTF is made from debug information.
        "-Cdebuginfo=2".into(),
        // 32-bit registers and compare-exchange.
        "-Ctarget-cpu=v3".into(),
        format!("-Clinker={}", toolchain.linker.display()),
        "-Clink-arg=--btf".into(),
        // Else memory is cleared byte by byte, by a function.
        "-Clink-arg=--disable-expand-memcpy-in-order".into(),
    ]
}

/// A rustc with a `core` for BPF, the distribution's first: its LLVM is the one that bpf-linker was built with.
fn find_compiler() -> Option<Compiler> {
    let distribution = Path::new("/usr/bin/rustc");
    let named = env::var_os("PROXY_NOW_BPF_RUSTC").map(PathBuf::from);
    for rustc in named.into_iter().chain([distribution.to_path_buf()]) {
        let prebuilt = sysroot(Command::new(&rustc)).join("lib/rustlib").join(TARGET).join("lib");
        if has_core(&prebuilt) && fits(Command::new(&rustc)) {
            return Some(Compiler::Prebuilt { rustc });
        }
    }
    ["nightly", NIGHTLY].into_iter().find_map(|toolchain| {
        let rustc = || {
            let mut command = Command::new("rustup");
            command.args(["run", toolchain, "rustc"]);
            command
        };
        let source = sysroot(rustc()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
        (source.is_file() && fits(rustc())).then_some(Compiler::Nightly { toolchain })
    })
}

/// A compiler's sysroot; an empty path when it cannot be asked.
fn sysroot(rustc: Command) -> PathBuf {
    ask(rustc, &["--print", "sysroot"]).map_or_else(PathBuf::new, |text| PathBuf::from(text.trim()))
}

/// Whether a compiler is new enough for the workspace and not too new for the linker.
fn fits(rustc: Command) -> bool {
    let Some(text) = ask(rustc, &["-vV"]) else { return false };
    let number = |label: &str, place: usize| -> Option<u32> {
        let version = text.lines().find_map(|line| line.strip_prefix(label))?;
        version.split('.').nth(place)?.parse().ok()
    };
    number("release: ", 1).is_some_and(|minor| minor >= OLDEST_MINOR)
        && number("LLVM version: ", 0).is_some_and(|major| major <= LINKER_LLVM)
}

fn ask(mut command: Command, arguments: &[&str]) -> Option<String> {
    command.args(arguments).env_remove("RUSTUP_TOOLCHAIN").env("RUSTUP_AUTO_INSTALL", "0");
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

fn has_core(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libcore-") && name.ends_with(".rlib")
    })
}

pub(crate) fn find_linker() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([cargo_home().join("bin")])
        .map(|folder| folder.join("bpf-linker"))
        .find(|file| file.is_file())
}

/// Where cargo installs programs.
pub(crate) fn cargo_home() -> PathBuf {
    env::var_os("CARGO_HOME").map_or_else(
        || env::var_os("HOME").map_or_else(PathBuf::new, PathBuf::from).join(".cargo"),
        PathBuf::from,
    )
}

/// Writes by a rename, so that a reader never meets half a file; leaves the time stamp alone when nothing changed.
fn write_if_changed(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let half = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&half, bytes)?;
    fs::rename(&half, path)
}
