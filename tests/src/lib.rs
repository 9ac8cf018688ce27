//! The harness of the whole-system tests: small worlds of network namespaces in which the real daemon balances real
//! traffic. It knows the daemon from outside only (binary, configuration, command line, pinned programs).

/// The admin socket.
pub mod admin;
/// A pinned program, run on one packet by `BPF_PROG_TEST_RUN`.
pub mod bpf;
/// Clients: HTTP, TCP and UDP, from inside a namespace.
pub mod client;
/// Configuration texts.
pub mod config;
/// Processors, and who runs on them.
pub mod cpu;
/// The daemon under test.
pub mod daemon;
/// Offloads of an interface, by the ethtool ioctl.
pub mod ethtool;
/// Floods of SYNs, made by the kernel.
pub mod flood;
/// ClientHellos, made by hand.
pub mod hello;
/// What dead test runs have left behind.
pub mod leftovers;
/// Network namespaces.
pub mod netns;
/// nginx as a backend.
pub mod nginx;
/// Frames, made by hand.
pub mod packet;
/// Frames, taken apart.
pub mod parsed;
/// A client made by hand.
pub mod peer;
/// Other people's programs.
pub mod program;
/// Frames, sent and received past the network stack.
pub mod raw;
/// Runs facts, and counts those that could not be shown.
pub mod runner;
/// Small real servers that say who they are.
pub mod server;
/// Connections that end without a word.
pub mod silent;
/// What `status --json` says.
pub mod status;
/// Waiting for facts.
pub mod wait;
/// Configurations with HTTP listeners, and curl.
pub mod web;
/// Worlds: clients, a balancer, backends.
pub mod world;
