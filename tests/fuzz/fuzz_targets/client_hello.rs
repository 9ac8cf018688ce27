//! ClientHellos, in pieces. The first byte says how long pieces are; the second is 0 where a stream follows, else a
//! message does, and it says how much of it a record holds.
#![no_main]

use proxy_fuzz::hello::{check, records};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some(([piece, content], rest)) = data.split_first_chunk::<2>() else { return };
    match content {
        0 => check(rest, usize::from(*piece)),
        content => check(&records(rest, usize::from(*content) * 64), usize::from(*piece)),
    }
});
