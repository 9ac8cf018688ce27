//! What is promised, as data: the bench fails where a figure is missed.

use super::measure::Figures;
use super::peer::OURS;
use crate::say::say;

/// CPU time a request, against the better of some peers in the same run.
struct Promise {
    case: &'static str,
    most: f64,
    of: &'static [&'static str],
}

const PROMISES: &[Promise] = &[
    Promise { case: "h1", most: 1.0, of: &["nginx", "haproxy"] },
    Promise { case: "h1", most: 0.35, of: &["traefik"] },
    Promise { case: "h1", most: 0.25, of: &["caddy"] },
    Promise { case: "h2", most: 1.5, of: &["haproxy"] },
    Promise { case: "h2", most: 0.3, of: &["traefik"] },
];

/// Memory after traffic, in MiB.
const MOST_MIB: f64 = 30.0;
/// The cases in which it holds.
const MEMORY: &[&str] = &["h1", "h2", "new", "100k", "10m", "ws"];

/// Says of each promise that can be judged whether it is kept; gives the number of those that are not.
pub(super) fn judge(figures: &Figures) -> usize {
    let mut missed = 0;
    let mut verdict = |kept: bool, text: String| {
        missed += usize::from(!kept);
        say(&format!("{} {text}", if kept { "kept  " } else { "MISSED" }));
    };
    for Promise { case, most, of } in PROMISES {
        let theirs = of.iter().filter_map(|peer| figures.cpu(case, peer)).reduce(f64::min);
        let (Some(ours), Some(theirs)) = (figures.cpu(case, OURS), theirs) else { continue };
        let ratio = ours / theirs;
        verdict(ratio <= *most, format!("{case}: CPU {ratio:.2} × {} (≤ {most})", of.join(" or ")));
    }
    for case in MEMORY {
        if let Some(mib) = figures.pss_mib(case, OURS) {
            verdict(mib <= MOST_MIB, format!("{case}: {mib:.1} MiB (≤ {MOST_MIB})"));
        }
    }
    missed
}
