//! The tables that `tidy` holds the workspace to. To change a rule, change a row.

/// The package whose modules stand in layers.
pub(super) const LAYERED: &str = "proxy-userspace";

/// Its modules: each uses lower layers only, and siblings of one layer never each other.
pub(super) const LAYERS: &[(&str, u32)] = &[
    ("cli", 5),
    ("control", 4),
    ("l4", 3),
    ("l7", 3),
    ("acme", 3),
    ("admin", 3),
    ("route", 2),
    ("upstream", 2),
    ("tls", 2),
    ("limit", 2),
    ("ban", 2),
    ("config", 1),
    ("net", 0),
    ("telemetry", 0),
    ("allocator", 0),
];

/// Modules that only some may use: `control` composes them; `cli` asks the daemon through `admin`, and the pinned
/// maps through `l4` when no daemon runs.
pub(super) const USED_BY: &[(&str, &[&str])] = &[
    ("l4", &["control", "cli"]),
    ("l7", &["control"]),
    ("acme", &["control"]),
    ("admin", &["control", "cli"]),
];

/// A package's folder of stages: no stage uses another; what stands above orders them.
pub(super) const STAGES: (&str, &str) = ("proxy-ebpf", "stage");

/// Crates that only one place of the layout may use: crate, package, modules (`""` is the package's root file).
pub(super) const ONLY_IN: &[(&str, &str, &[&str])] =
    &[("aya", "proxy-userspace", &["l4"]), ("aya_ebpf", "proxy-ebpf", &["", "kernel"])];

/// Packages that look at the product from outside, and may use any crate.
pub(super) const OUTSIDE: &[&str] = &["tests", "bench", "xtask"];

/// Crates that a module must not know: what a configuration means depends on none of them.
pub(super) const NOT_IN: &[(&str, &[&str])] =
    &[("config", &["tokio", "aya", "hyper", "rustls"]), ("route", &["tokio", "aya", "hyper", "rustls"])];

/// Lines of a source file, without its tests.
pub(super) const FILE_LINES: usize = 600;
/// Lines of an entry point: a table of contents.
pub(super) const MAIN_LINES: usize = 120;
/// Lines of a `mod.rs`.
pub(super) const MOD_LINES: usize = 80;
/// Lines of a function, from `fn` to its closing brace.
pub(super) const FUNCTION_LINES: usize = 80;

/// Files that may hold `unsafe`, and why. A name that ends with `/` is a folder.
pub(super) const UNSAFE: &[(&str, &str)] = &[
    ("proxy-common/src/pod.rs", "says which types are plain bytes"),
    ("proxy-common/src/cell.rs", "a word that several CPUs write"),
    ("proxy-ebpf/src/main.rs", "entry points are found by their section"),
    ("proxy-ebpf/src/kernel/", "maps, packet bytes and helpers of the kernel"),
    ("proxy-userspace/src/allocator.rs", "an allocator's functions are"),
    ("proxy-userspace/src/l4/sys.rs", "bpf(2), as far as aya does not offer it"),
    ("proxy-userspace/src/net/defer.rs", "an option of listening sockets"),
    ("proxy-userspace/src/net/ethtool.rs", "ioctl(2), for what a driver can do"),
    ("proxy-userspace/src/net/repair.rs", "the state of TCP sockets"),
    ("bench/src/harness.rs", "bpf(2), for a program made by hand"),
    ("bench/src/http/steering/no_pipes.rs", "seccomp(2), for a peer that cannot splice"),
    ("tests/src/bpf.rs", "bpf(2), for programs that are run on one packet"),
    ("tests/src/ethtool.rs", "ioctl(2), for offloads"),
    ("tests/src/raw.rs", "packet sockets"),
    ("tests/src/silent.rs", "an option of TCP sockets"),
];

/// Folders that are one machine's own, without their slashes.
pub(super) const MACHINE_FOLDERS: &[&str] = &["work", "farm", "root"];

/// Hosts of package registries, in halves so that this file does not name them.
pub(super) const REGISTRY_HOSTS: &[(&str, &str)] = &[
    ("index.crates", ".io"),
    ("static.crates", ".io"),
    ("deb.debian", ".org"),
    ("security.debian", ".org"),
    ("snapshot.debian", ".org"),
    ("pypi", ".org"),
    ("registry.npmjs", ".org"),
    ("proxy.golang", ".org"),
];
