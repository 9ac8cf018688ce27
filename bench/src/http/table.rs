//! What is printed of a case.

use super::case::{Case, Load};
use super::measure::{Figures, Stand};
use crate::say::say;

/// Prints what every peer made of a case.
pub(super) fn print(case: &Case, stand: &Stand, figures: &Figures) {
    let idle = case.load == Load::Idle;
    let (unit, per, digits) = case.load.unit();
    let last = if idle { "bytes each" } else { "" };
    say(&format!(
        "  {:<12}{:>12}{:>10}{:>10}{:>10}{:>10}  {last}",
        "peer", unit, "req/s", "p50 ms", "p99 ms", "PSS MiB"
    ));
    for peer in stand.peers() {
        let get = |of| figures.median(case.name, peer.name, of).unwrap_or(f64::NAN);
        if figures.cpu(case.name, peer.name).is_none() {
            continue;
        }
        let each = if idle { format!("{:>12.0}", get(|figure| figure.idle_bytes)) } else { String::new() };
        say(&format!(
            "  {:<12}{:>12.digits$}{:>10.0}{:>10.2}{:>10.2}{:>10.1}{each}",
            peer.name,
            get(|figure| figure.cpu) / 1e6 * per,
            get(|figure| figure.rate),
            get(|figure| figure.p50) / 1e3,
            get(|figure| figure.p99) / 1e3,
            get(|figure| figure.pss_kib) / 1024.0,
        ));
    }
}
