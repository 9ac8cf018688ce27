//! The `proxy-now` binary.
fn main() {}
