//! The kernel path, pure.
#![cfg_attr(target_arch = "bpf", no_std)]
