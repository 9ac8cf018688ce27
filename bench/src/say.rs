//! What a bench prints goes through here.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

/// A line of result.
pub(crate) fn say(text: &str) {
    println!("{text}");
}
