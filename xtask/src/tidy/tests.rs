//! Bad samples must be found, good ones must not.

use super::check;
use super::source::Source;

/// What `tidy` says of some files.
fn findings(files: &[(&str, &str)]) -> Vec<String> {
    let source =
        |(path, text): &(&str, &str)| Source { path: (*path).into(), text: format!("//! Sample.\n{text}") };
    let sources: Vec<Source> = files.iter().map(source).collect();
    check(&sources).iter().map(ToString::to_string).collect()
}

/// A module of the layered package.
fn user(path: &str) -> String {
    format!("proxy-userspace/src/{path}")
}

#[track_caller]
fn finds(files: &[(&str, &str)], what: &str) {
    let found = findings(files);
    assert!(found.iter().any(|line| line.contains(what)), "{what:?} is not among {found:#?}");
}

#[track_caller]
fn finds_nothing(files: &[(&str, &str)]) {
    assert_eq!(findings(files), Vec::<String>::new());
}

#[test]
fn an_arrow_downwards_is_right() {
    let (control, config) = (user("control/mod.rs"), user("config.rs"));
    finds_nothing(&[(&control, "use crate::config::Config;"), (&config, "pub struct Config;")]);
}

#[test]
fn an_upward_arrow_is_found_with_its_line() {
    let (config, control) = (user("config.rs"), user("control.rs"));
    let files = [(&*config, "\nuse crate::{control::run as go};"), (&*control, "pub fn run() {}")];
    finds(
        &files,
        "proxy-userspace/src/config.rs:3: upward arrow: `config` (layer 1) uses `control` (layer 4)",
    );
}

#[test]
fn an_upward_arrow_is_found_in_code_and_in_macros() {
    let (config, control) = (user("config/load.rs"), user("control.rs"));
    finds(&[(&config, "fn f() { crate::control::run() }"), (&control, "")], "upward arrow");
    finds(&[(&config, "fn f() { vec![super::super::control::X] }"), (&control, "")], "upward arrow");
}

#[test]
fn an_upward_arrow_by_reexport_is_found() {
    let (config, control) = (user("config.rs"), user("control.rs"));
    finds(&[(&config, "pub use crate::control::Run;"), (&control, "pub struct Run;")], "upward arrow");
}

#[test]
fn siblings_of_a_layer_are_found() {
    let (l4, admin) = (user("l4/load.rs"), user("admin/mod.rs"));
    finds(&[(&l4, "use crate::admin::Server;"), (&admin, "")], "siblings of layer 3 never use each other");
}

#[test]
fn a_module_without_a_layer_is_found() {
    finds(&[(&user("utils.rs"), "")], "`utils` has no layer");
}

#[test]
fn who_leaves_out_control_is_found() {
    let (cli, l7) = (user("cli.rs"), user("l7.rs"));
    finds(&[(&cli, "use crate::l7::Accept;"), (&l7, "")], "`l7` is composed by control alone");
}

#[test]
fn tests_may_compose_what_they_like() {
    let (config, control) = (user("config.rs"), user("control.rs"));
    let inside = "#[cfg(test)]\nmod tests {\n    use crate::control::run;\n}";
    finds_nothing(&[(&config, inside), (&control, "")]);
    finds_nothing(&[(&user("config/tests.rs"), "use crate::control::run;"), (&control, "")]);
}

#[test]
fn a_cycle_of_two_is_found() {
    let files = [("proxy-common/src/a.rs", "use crate::b::B;"), ("proxy-common/src/b.rs", "use super::a;")];
    finds(
        &files,
        "module cycle: `a` uses `b` (proxy-common/src/a.rs:2), `b` uses `a` (proxy-common/src/b.rs:2)",
    );
}

#[test]
fn a_cycle_of_three_is_one_finding() {
    let files = [
        ("proxy-common/src/a.rs", "fn f() { crate::b::g() }"),
        ("proxy-common/src/b.rs", "fn g() { crate::c::h() }"),
        ("proxy-common/src/c.rs", "fn h() { crate::a::f() }"),
    ];
    assert_eq!(findings(&files).len(), 1);
}

#[test]
fn a_child_that_uses_its_parent_is_a_cycle() {
    let files = [
        ("xtask/src/a.rs", "/// B.\nmod b;\nfn f() { b::g() }"),
        ("xtask/src/a/b.rs", "fn g() { super::f() }"),
    ];
    finds(&files, "module cycle: `a` uses `a::b`");
}

#[test]
fn a_shelf_of_reexports_is_not_a_cycle() {
    let files = [
        ("xtask/src/a/mod.rs", "/// B.\nmod b;\n/// C.\nmod c;\npub use b::B;\npub use c::C;"),
        ("xtask/src/a/b.rs", "pub struct B;"),
        ("xtask/src/a/c.rs", "pub struct C(super::B);"),
    ];
    finds_nothing(&files);
}

#[test]
fn declarations_and_visibilities_are_no_uses() {
    let files = [
        ("xtask/src/a/mod.rs", "/// B.\nmod b;\npub use b::b;"),
        ("xtask/src/a/b.rs", "pub fn b() {}\npub(in crate::a) struct B;"),
    ];
    finds_nothing(&files);
}

#[test]
fn a_cycle_through_a_shelf_is_found() {
    let files = [
        ("xtask/src/a/mod.rs", "pub(crate) use b::B;\npub use c::{C as Renamed};"),
        ("xtask/src/a/b.rs", "pub struct B(super::Renamed);"),
        ("xtask/src/a/c.rs", "pub struct C(crate::a::B);"),
    ];
    finds(&files, "module cycle: `a::b` uses `a::c`");
}

#[test]
fn a_shelf_that_uses_what_it_offers_is_no_shelf() {
    let files =
        [("xtask/src/a/mod.rs", "pub use b::B;\nfn f(_: B) {}"), ("xtask/src/a/b.rs", "use super::f;")];
    finds(&files, "module cycle");
}

#[test]
fn inline_modules_belong_to_their_file() {
    finds_nothing(&[(
        "xtask/src/a.rs",
        "fn f() {}\nmod inner {\n    use super::*;\n    fn g() { super::f() }\n}",
    )]);
}

#[test]
fn stages_that_use_each_other_are_found() {
    let files =
        [("proxy-ebpf/src/stage/flow.rs", "use super::parse::P;"), ("proxy-ebpf/src/stage/parse.rs", "")];
    finds(&files, "stages never use each other: `flow` uses `parse`");
}

#[test]
fn crates_out_of_their_place_are_found() {
    finds(&[(&user("control.rs"), "use aya::Ebpf;")], "`aya` is for proxy-userspace/src/l4 alone");
    finds(
        &[("proxy-ebpf/src/stage/flow.rs", "fn f() { aya_ebpf::f() }")],
        "`aya_ebpf` is for proxy-ebpf/src/kernel alone",
    );
    finds(&[(&user("config.rs"), "use tokio::time;")], "`config` must not know `tokio`");
    finds_nothing(&[
        (&user("l4/load.rs"), "use aya::Ebpf;"),
        ("proxy-ebpf/src/kernel/maps.rs", "use aya_ebpf::f;"),
    ]);
}

#[test]
fn long_files_are_found() {
    let lines = |count: usize| "// line\n".repeat(count - 1);
    finds_nothing(&[("bench/src/a.rs", &lines(600))]);
    finds(&[("bench/src/a.rs", &lines(601))], "601 lines before its tests; 600 is the limit");
    finds_nothing(&[(
        "bench/src/a.rs",
        &format!("{}#[cfg(test)]\nmod tests {{\n{}}}", lines(600), lines(90)),
    )]);
    finds(&[("bench/src/main.rs", &lines(121))], "120 is the limit");
    finds(&[("bench/src/a/mod.rs", &lines(81))], "80 is the limit");
}

#[test]
fn long_functions_are_found_wherever_they_are() {
    let function =
        |lines: usize| format!("mod m {{\nimpl T {{\nfn f() {{\n{}}}\n}}\n}}", "g();\n".repeat(lines - 2));
    finds_nothing(&[("bench/src/a.rs", &function(80))]);
    finds(&[("bench/src/a.rs", &function(81))], "bench/src/a.rs:4: `f` has 81 lines; 80 is the limit");
}

#[test]
fn unsafe_code_needs_a_name_in_the_table() {
    finds(&[("bench/src/a.rs", "fn f() { unsafe { g() } }")], "bench/src/a.rs:2: `unsafe` in a file");
    finds_nothing(&[("bench/src/a.rs", "// unsafe\n#![forbid(unsafe_code)]\nconst T: &str = \"unsafe\";")]);
    finds_nothing(&[("proxy-ebpf/src/kernel/maps.rs", "fn f() { unsafe { g() } }")]);
}

#[test]
fn files_and_modules_say_what_they_are() {
    finds(&[("bench/src/a.rs", "pub(crate) mod b;")], "`pub(crate) mod b;` has no line above it");
    finds_nothing(&[(
        "bench/src/a.rs",
        "/// B.\n#[path = \"x.rs\"]\nmod b;\n#[cfg(test)]\n#[path = \"y.rs\"]\nmod tests;",
    )]);
    let bare = Source { path: "bench/src/a.rs".into(), text: "fn f() {}".into() };
    assert!(check(&[bare])[0].to_string().contains("opens without `//!`"));
}

#[test]
fn folders_and_hosts_of_one_machine_are_found() {
    for folder in super::policy::MACHINE_FOLDERS {
        finds(&[("README.md", &format!("see /{folder}/x"))], "is a folder of one machine");
        finds_nothing(&[("README.md", &format!("see docs/{folder}/x"))]);
    }
    let (name, end) = super::policy::REGISTRY_HOSTS[0];
    finds(&[("README.md", &format!("https://{name}{end}/"))], "is the host of a registry");
}
