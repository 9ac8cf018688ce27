//! A first flight of QUIC: one message, however it is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy_fuzz::http::check("quic_initial", data));
