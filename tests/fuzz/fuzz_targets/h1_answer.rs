//! An answer's head by HTTP/1.1, whole and in pieces. The first byte says how long pieces are, and whether HEAD was asked.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxy_fuzz::http::check("h1_answer", data));
