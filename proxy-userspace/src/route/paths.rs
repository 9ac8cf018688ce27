//! The routes of one host pattern.

use super::entry::Entry;
use super::rank::Rank;
use super::rule::PathRule;
use super::tree::Tree;

/// Up to this many routes are tried one by one.
const FEW: usize = 8;

/// The routes of one host pattern.
#[derive(Debug)]
pub(super) enum Paths {
    /// In the order of their ranks.
    Few(Box<[Entry]>),
    /// By path.
    Many(Box<Tree>),
}

impl Paths {
    pub(super) fn new(routes: Vec<(Rank, PathRule)>) -> Self {
        let entries = order(routes);
        if entries.len() <= FEW {
            Self::Few(entries.into())
        } else {
            Self::Many(Box::new(Tree::new(&entries)))
        }
    }

    /// The first route, in the order of ranks, whose path is so and that `accepts` says yes to.
    pub(super) fn find(&self, path: &str, mut accepts: impl FnMut(u32) -> bool) -> Option<u32> {
        match self {
            Self::Few(entries) => {
                let matches = |entry: &&Entry| entry.path.matches(path) && accepts(entry.route);
                entries.iter().find(matches).map(|entry| entry.route)
            }
            Self::Many(tree) => tree.find(path, accepts),
        }
    }
}

fn order(mut routes: Vec<(Rank, PathRule)>) -> Vec<Entry> {
    routes.sort_by_key(|(rank, _)| *rank);
    routes.dedup_by_key(|(rank, _)| *rank);
    let entry = |(place, (rank, path)): (u32, (Rank, PathRule))| Entry { place, route: rank.route, path };
    (0..).zip(routes).map(entry).collect()
}
