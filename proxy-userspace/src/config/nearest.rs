//! The right name that is nearest to a wrong one.

/// The name of `known` that `wrong` was probably meant to be: at most a third of it differs.
pub(super) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    let allowed = (wrong.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|name| (distance(name), name))
        .filter(|(distance, name)| *distance <= allowed && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The same, for whoever answers operators.
pub fn nearest_name<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    nearest(wrong, known.iter().copied())
}

/// Names as a sentence lists them.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// What to do about a name that no table of a kind has: `kinds` says which there are, in the plural.
pub(super) fn instead(kind: &str, kinds: &str, wrong: &str, known: &[String]) -> String {
    let names = || known.iter().map(String::as_str);
    match nearest(wrong, names()) {
        Some(name) => format!("did you mean {name:?}?"),
        None if known.is_empty() => format!("add a [{kind}.{wrong}]"),
        None => format!("add a [{kind}.{wrong}]; {kinds}: {}", list(names())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["interval", "timeout", "rise", "fall"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("Timeout", known), Some("timeout"));
        assert_eq!(nearest("rsie", known), Some("rise"));
        assert_eq!(nearest("weight", known), None);
        assert_eq!(nearest("", known), None);
    }
}
