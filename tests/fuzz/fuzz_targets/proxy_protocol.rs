//! A header of the PROXY protocol: no part of one is one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy_fuzz::http::check("proxy_protocol", data));
