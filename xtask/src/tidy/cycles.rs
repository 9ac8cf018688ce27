//! Knots of modules: modules that use each other, however many steps it takes.

use super::finding::Finding;
use super::references::{Module, Package, Reference};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The first place of each arrow between two modules.
type Arrows<'a> = BTreeMap<&'a Module, BTreeMap<&'a Module, &'a Reference<Module>>>;

/// One finding a knot: a shortest way round, with the line of every arrow on it.
pub(super) fn check(package: &Package) -> Vec<Finding> {
    let mut arrows = Arrows::new();
    for reference in package.inner.iter().filter(|reference| !reference.shelf) {
        arrows.entry(&reference.from).or_default().entry(&reference.to).or_insert(reference);
    }
    let mut known: BTreeSet<&Module> = BTreeSet::new();
    let mut findings = Vec::new();
    for module in arrows.keys().copied() {
        let Some(way) = way_round(module, &arrows).filter(|_| !known.contains(module)) else { continue };
        known.extend(way.iter().map(|reference| &reference.from));
        let steps: Vec<String> = way
            .iter()
            .map(|step| {
                format!("`{}` uses `{}` ({}:{})", shown(&step.from), shown(&step.to), step.file, step.line)
            })
            .collect();
        let what = format!("module cycle: {}", steps.join(", "));
        findings.push(Finding::new(&way[0].file, way[0].line, what));
    }
    findings
}

/// A shortest way from a module back to itself, breadth first.
fn way_round<'a>(start: &'a Module, arrows: &Arrows<'a>) -> Option<Vec<&'a Reference<Module>>> {
    let mut came: BTreeMap<&Module, &Reference<Module>> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(module) = open.pop_front() {
        for (next, reference) in arrows.get(module).into_iter().flatten() {
            if came.contains_key(next) {
                continue;
            }
            came.insert(next, reference);
            open.push_back(next);
        }
    }
    let mut way = vec![*came.get(start)?];
    while way[0].from != *start {
        way.insert(0, came.get(&way[0].from)?);
    }
    Some(way)
}

fn shown(module: &Module) -> String {
    if module.is_empty() { "the package's root".into() } else { module.join("::") }
}
