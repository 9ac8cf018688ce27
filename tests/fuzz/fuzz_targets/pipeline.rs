//! Sequences of frames through the whole pipeline. The first byte says how packets are forwarded.
#![no_main]

use proxy_fuzz::pipeline::{check, frames, host};
use proxy_tests::world::Layout;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let mut host = host(if first & 1 == 0 { Layout::Routed } else { Layout::Flat });
    for (ingress, frame) in frames(rest) {
        check(&mut host, ingress, &frame);
    }
});
