//! A request's head by HTTP/1.1, whole and in pieces, and as it is sent on. The first byte says how long pieces are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy_fuzz::http::check("h1_request", data));
