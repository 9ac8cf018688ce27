//! Who may use whom: layers, siblings, stages, other crates.

use super::finding::Finding;
use super::policy::{LAYERED, LAYERS, NOT_IN, ONLY_IN, OUTSIDE, STAGES, USED_BY};
use super::references::{Module, Package, Reference};

/// Every arrow that the tables forbid.
pub(super) fn check(package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    for reference in &package.inner {
        let wrong = layer(package, reference).or_else(|| stage(package, reference));
        findings.extend(wrong.map(|what| Finding::new(&reference.file, reference.line, what)));
    }
    for reference in &package.outer {
        let wrong = foreign(package, reference);
        findings.extend(wrong.map(|what| Finding::new(&reference.file, reference.line, what)));
    }
    findings.extend(package.files.iter().filter_map(|(module, file)| {
        let top = module.first().filter(|_| package.name == LAYERED && module.len() == 1)?;
        let missing = number(top).is_none();
        missing
            .then(|| Finding::new(file, 1, format!("`{top}` has no layer: give it one in the table LAYERS")))
    }));
    findings
}

fn layer(package: &Package, reference: &Reference<Module>) -> Option<String> {
    if package.name != LAYERED {
        return None;
    }
    let (from, to) = (reference.from.first()?, reference.to.first()?);
    if from == to {
        return None;
    }
    let (above, below) = (number(from)?, number(to)?);
    if above < below {
        return Some(format!("upward arrow: `{from}` (layer {above}) uses `{to}` (layer {below})"));
    }
    if above == below {
        return Some(format!("siblings of layer {above} never use each other: `{from}` uses `{to}`"));
    }
    let users = USED_BY.iter().find(|(module, _)| module == to).map(|(_, users)| *users)?;
    (!users.contains(&from.as_str()))
        .then(|| format!("`{to}` is composed by {} alone: `{from}` uses it", users.join(" and ")))
}

fn number(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

fn stage(package: &Package, reference: &Reference<Module>) -> Option<String> {
    let stage = |module: &Module| -> Option<String> {
        let [folder, stage, ..] = module.as_slice() else { return None };
        (package.name == STAGES.0 && folder == STAGES.1).then(|| stage.clone())
    };
    let (from, to) = (stage(&reference.from)?, stage(&reference.to)?);
    (from != to).then(|| format!("stages never use each other: `{from}` uses `{to}`"))
}

fn foreign(package: &Package, reference: &Reference<String>) -> Option<String> {
    if OUTSIDE.contains(&package.name.as_str()) {
        return None;
    }
    let (name, top) = (&reference.to, reference.from.first().map_or("", String::as_str));
    if let Some((_, home, modules)) = ONLY_IN.iter().find(|(only, ..)| only == name)
        && (package.name != *home || !modules.contains(&top))
    {
        return Some(format!(
            "`{name}` is for {home}/src/{} alone",
            modules.join(", ").trim_start_matches(", ")
        ));
    }
    let (_, unknown) = NOT_IN.iter().find(|(module, _)| package.name == LAYERED && *module == top)?;
    unknown.contains(&name.as_str()).then(|| format!("`{top}` must not know `{name}`"))
}
