//! A chunked body, whole and in pieces. The first byte says how long pieces are.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy_fuzz::http::check("h1_chunks", data));
