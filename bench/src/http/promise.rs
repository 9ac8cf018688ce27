//! What is promised, as data: the bench fails where a figure is missed.

use super::measure::Figures;
use super::peer::OURS;
use crate::say::say;

/// CPU time a request, against the better of some peers in the same run.
#[derive(Debug)]
pub(super) struct Promise {
    /// The case.
    pub(super) case: &'static str,
    /// So many times.
    pub(super) most: f64,
    /// The CPU time of the best of these.
    pub(super) of: &'static [&'static str],
}

/// Memory after traffic, in MiB.
const MOST_MIB: f64 = 30.0;

/// Says of each promise that can be judged whether it is kept; gives the number of those that are not.
pub(super) fn judge(promises: &[Promise], memory: &[&str], figures: &Figures) -> usize {
    let mut missed = 0;
    let mut verdict = |kept: bool, text: String| {
        missed += usize::from(!kept);
        say(&format!("{} {text}", if kept { "kept  " } else { "MISSED" }));
    };
    for Promise { case, most, of } in promises {
        let theirs = of.iter().filter_map(|peer| figures.cpu(case, peer)).reduce(f64::min);
        let (Some(ours), Some(theirs)) = (figures.cpu(case, OURS), theirs) else { continue };
        let ratio = ours / theirs;
        verdict(ratio <= *most, format!("{case}: CPU {ratio:.2} × {} (≤ {most})", of.join(" or ")));
    }
    for case in memory {
        if let Some(mib) = figures.pss_mib(case, OURS) {
            verdict(mib <= MOST_MIB, format!("{case}: {mib:.1} MiB (≤ {MOST_MIB})"));
        }
    }
    missed
}
