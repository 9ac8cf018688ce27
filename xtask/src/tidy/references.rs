//! The modules of a package, and what each refers to: read from tokens, so that macros count too.
//!
//! A path is followed through `pub use`: who uses a re-exported thing refers to where it is, not to the shelf.

use super::source::{Source, after_item, is_path_sign, is_sign, is_test_attribute, is_word, line};
use proc_macro2::{Delimiter, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// A module's path below the package's root: empty for `lib.rs` and `main.rs`.
pub(super) type Module = Vec<String>;

/// One package's modules.
#[derive(Debug, Default)]
pub(super) struct Package {
    /// Its folder.
    pub(super) name: String,
    /// The file of each module.
    pub(super) files: BTreeMap<Module, String>,
    /// Who refers to whom inside the package.
    pub(super) inner: Vec<Reference<Module>>,
    /// Who refers to which other crate.
    pub(super) outer: Vec<Reference<String>>,
}

/// One place that names something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference<T> {
    /// The module in which it stands.
    pub(super) from: Module,
    /// What is named.
    pub(super) to: T,
    /// The file in which it stands.
    pub(super) file: String,
    /// Its line.
    pub(super) line: usize,
    /// It is only offered on (`pub use`), not used.
    pub(super) shelf: bool,
}

/// A path as it is written.
#[derive(Debug)]
struct Path {
    segments: Vec<String>,
    /// The name under which a `pub use` offers it.
    offered: Option<String>,
    /// It is offered, and the file itself does not use it.
    shelf: bool,
    line: usize,
}

/// Finds the packages: folders with `src/` files.
pub(super) fn packages(sources: &[Source]) -> Vec<Package> {
    let mut grouped: BTreeMap<&str, Vec<(Module, &Source)>> = BTreeMap::new();
    for source in sources.iter().filter(|source| source.is_rust() && !source.is_test()) {
        if let Some((package, inside)) = source.path.split_once("/src/") {
            grouped.entry(package).or_default().push((module_of(inside), source));
        }
    }
    grouped.into_iter().map(|(name, files)| package(name, &files)).collect()
}

fn module_of(inside: &str) -> Module {
    let path = inside.trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    match path {
        "main" | "lib" | "mod" => Vec::new(),
        _ => path.split('/').map(String::from).collect(),
    }
}

fn package(name: &str, files: &[(Module, &Source)]) -> Package {
    let mut package = Package { name: name.into(), ..Package::default() };
    for (module, source) in files {
        package.files.insert(module.clone(), source.path.clone());
    }
    let written: Vec<(&Module, &Source, Vec<Path>)> =
        files.iter().map(|(module, source)| (module, *source, paths(&source.tokens()))).collect();
    let mut offers: BTreeMap<(Module, String), Module> = BTreeMap::new();
    for (module, _, paths) in &written {
        for path in paths {
            let absolute = absolute(module, &path.segments, &package.files);
            if let (Some(name), Some(absolute)) = (&path.offered, absolute) {
                offers.insert(((*module).clone(), name.clone()), absolute);
            }
        }
    }
    for (module, source, paths) in written {
        for Path { segments, line, shelf, .. } in paths {
            let file = source.path.clone();
            match absolute(module, &segments, &package.files) {
                Some(absolute) => {
                    let to = reach(&absolute, &package.files, &offers);
                    let reference = Reference { from: module.clone(), to, file, line, shelf };
                    package.inner.extend((reference.to != *module).then_some(reference));
                }
                None => {
                    let to = segments.into_iter().next().unwrap_or_default();
                    package.outer.push(Reference { from: module.clone(), to, file, line, shelf });
                }
            }
        }
    }
    package
}

/// A path from the package's root, if it is of this package.
fn absolute(module: &Module, segments: &[String], files: &BTreeMap<Module, String>) -> Option<Module> {
    let mut base: Module = match segments.first()?.as_str() {
        "crate" => Vec::new(),
        "self" | "super" => module.clone(),
        child => {
            let inside = [module.as_slice(), &[child.to_string()]].concat();
            return files.contains_key(&inside).then(|| [module.as_slice(), segments].concat());
        }
    };
    for segment in segments {
        match segment.as_str() {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            name => base.push(name.into()),
        }
    }
    Some(base)
}

/// The module in which a path's thing is: as deep as modules go, and on through what they offer.
fn reach(
    path: &[String],
    files: &BTreeMap<Module, String>,
    offers: &BTreeMap<(Module, String), Module>,
) -> Module {
    let mut path = path.to_vec();
    // Re-exports of re-exports end; a ring of them would not compile.
    for _ in 0..8 {
        let depth = (0..=path.len()).rev().find(|depth| files.contains_key(&path[..*depth])).unwrap_or(0);
        let (module, rest) = path.split_at(depth);
        let offered = rest.first().and_then(|name| offers.get(&(module.to_vec(), name.clone())));
        match offered {
            Some(target) => path = [target.as_slice(), &rest[1..]].concat(),
            None => return module.to_vec(),
        }
    }
    path
}

/// Every path in a file that can name a module or a crate, outside tests.
fn paths(tokens: &[TokenTree]) -> Vec<Path> {
    let mut file = Reader::default();
    file.walk(tokens, 0);
    for path in &mut file.found {
        path.shelf = path.offered.as_ref().is_some_and(|name| !file.words.contains(name));
    }
    file.found
}

/// What is read from a file's tokens.
#[derive(Default)]
struct Reader {
    found: Vec<Path>,
    /// Words that stand outside of `use` items.
    words: BTreeSet<String>,
}

impl Reader {
    /// `depth` counts the inline modules around: there `super` is one step shorter.
    fn walk(&mut self, tokens: &[TokenTree], depth: usize) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match token {
                _ if is_test_attribute(tokens, at) => after_item(tokens, at + 2),
                TokenTree::Ident(word) if word == "use" => self.use_item(tokens, at, depth),
                // A declaration is not a use, nor is the reach of a visibility.
                TokenTree::Ident(word) if word == "mod" => at + 2,
                TokenTree::Group(_) if at >= 1 && is_word(tokens.get(at - 1), "pub") => at + 1,
                TokenTree::Ident(word) => {
                    self.words.insert(word.to_string());
                    self.expression_path(tokens, at, depth)
                }
                TokenTree::Group(group) => {
                    let inline = at >= 2 && is_word(tokens.get(at - 2), "mod");
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    self.walk(&inner, depth + usize::from(inline && group.delimiter() == Delimiter::Brace));
                    at + 1
                }
                _ => at + 1,
            }
        }
    }

    fn use_item(&mut self, tokens: &[TokenTree], at: usize, depth: usize) -> usize {
        let length = tokens[at..].iter().position(|token| is_sign(Some(token), ';'));
        let end = length.map_or(tokens.len(), |length| at + length);
        let before = |steps: usize| at.checked_sub(steps).and_then(|n| tokens.get(n));
        let public = is_word(before(1), "pub")
            || (matches!(before(1), Some(TokenTree::Group(_))) && is_word(before(2), "pub"));
        let mut paths = Vec::new();
        use_tree(&tokens[at + 1..end], &[], &mut paths);
        for (mut segments, name, line) in paths {
            shorten(&mut segments, depth);
            let offered = name.filter(|_| public && depth == 0);
            self.found.push(Path { segments, offered, shelf: false, line });
        }
        end + 1
    }

    /// A path in code: `crate::a::b`, `super::a`, `child::f`, `tokio::spawn`.
    fn expression_path(&mut self, tokens: &[TokenTree], at: usize, depth: usize) -> usize {
        let continued = at >= 2 && is_path_sign(tokens, at - 2);
        if continued || !is_path_sign(tokens, at + 1) {
            return at + 1;
        }
        let mut segments = vec![tokens[at].to_string()];
        let mut next = at + 1;
        while let (true, Some(TokenTree::Ident(ident))) = (is_path_sign(tokens, next), tokens.get(next + 2)) {
            segments.push(ident.to_string());
            next += 3;
        }
        shorten(&mut segments, depth);
        self.found.push(Path { segments, offered: None, shelf: false, line: line(&tokens[at]) });
        next
    }
}

/// The paths of a use tree, each with the name it gives.
fn use_tree(tokens: &[TokenTree], prefix: &[String], paths: &mut Vec<(Vec<String>, Option<String>, usize)>) {
    for tree in tokens.split(|token| is_sign(Some(token), ',')) {
        let mut segments = prefix.to_vec();
        let mut alias = None;
        let mut grouped = false;
        for (at, token) in tree.iter().enumerate() {
            match token {
                TokenTree::Ident(ident) if ident == "as" => alias = tree.get(at + 1).map(ToString::to_string),
                TokenTree::Ident(_) if at > 0 && is_word(tree.get(at - 1), "as") => {}
                TokenTree::Ident(ident) if ident == "self" && !segments.is_empty() => {}
                TokenTree::Ident(ident) => segments.push(ident.to_string()),
                TokenTree::Group(group) => {
                    grouped = true;
                    use_tree(&group.stream().into_iter().collect::<Vec<_>>(), &segments, paths);
                }
                _ => {}
            }
        }
        if let (Some(first), false) = (tree.first(), grouped) {
            let name = alias.or_else(|| segments.last().cloned());
            paths.push((segments, name, line(first)));
        }
    }
}

/// Takes away the steps out of inline modules, which are part of the same file.
fn shorten(segments: &mut Vec<String>, depth: usize) {
    let steps = segments.iter().take(depth).take_while(|segment| *segment == "super").count();
    segments.drain(..steps);
    if steps > 0 && segments.first().is_none_or(|first| first != "super") {
        segments.insert(0, "self".into());
    }
}
