//! The kernel path of proxy-now: a pure pipeline, generic over a packet view and a table view.
//!
//! Tested on the host as it stands, compiled unchanged into the BPF object. No unsafe code, no map, no helper.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
