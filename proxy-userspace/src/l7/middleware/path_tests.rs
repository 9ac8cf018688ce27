//! Tests of `path`.

use super::*;
use crate::l7::testing::request;

fn literal(text: &str) -> TemplatePart {
    TemplatePart::Literal(text.into())
}

fn changed(pattern: &PathPattern, config: &MiddlewareConfig, uri: &str) -> Result<String, Cause> {
    let step = NewPath::new("r", pattern, config).unwrap().unwrap();
    let mut request = request(uri);
    step.change(&mut request)?;
    Ok(String::from_utf8(request.target.as_bytes().to_vec()).unwrap())
}

fn stripped(prefix: &str, uri: &str) -> String {
    let config = MiddlewareConfig { strip_prefix: Some(prefix.into()), ..MiddlewareConfig::default() };
    changed(&PathPattern::Any, &config, uri).unwrap()
}

fn rewrite(rewrite: RewriteConfig) -> MiddlewareConfig {
    MiddlewareConfig { rewrite_path: Some(rewrite), ..MiddlewareConfig::default() }
}

fn to(parts: Vec<TemplatePart>) -> MiddlewareConfig {
    rewrite(RewriteConfig::To(Template(parts)))
}

#[test]
fn a_prefix_is_stripped_by_whole_segments() {
    for prefix in ["/api", "/api/"] {
        assert_eq!(stripped(prefix, "/api/x?q=/api"), "/x?q=/api");
        assert_eq!(stripped(prefix, "/api"), "/");
        assert_eq!(stripped(prefix, "/api/"), "/");
        assert_eq!(stripped(prefix, "/apix"), "/apix");
        assert_eq!(stripped(prefix, "/x/api/y"), "/x/api/y");
    }
    assert_eq!(stripped("/", "/a/b"), "/a/b");
}

#[test]
fn a_path_becomes_what_the_template_says() {
    let config = to(vec![literal("/new"), TemplatePart::Variable(Variable::Path)]);
    assert_eq!(changed(&PathPattern::Any, &config, "/a?b=c"), Ok("/new/a?b=c".to_owned()));
    let config = MiddlewareConfig { strip_prefix: Some("/a".into()), ..config };
    assert_eq!(changed(&PathPattern::Any, &config, "/a/b"), Ok("/new/b".to_owned()));
}

#[test]
fn groups_of_path_regex_are_of_the_path_as_it_came() {
    let pattern = PathPattern::Regex("^/v(?<major>\\d+)/(.*)$".into());
    let config = to(vec![literal("/api/${major}/"), literal("$2")]);
    assert_eq!(changed(&pattern, &config, "/v2/x/y?z"), Ok("/api/2/x/y?z".to_owned()));
}

#[test]
fn a_client_names_no_groups() {
    let pattern = PathPattern::Regex("^/(a)/".into());
    let config = to(vec![literal("/x"), TemplatePart::Variable(Variable::Path)]);
    assert_eq!(changed(&pattern, &config, "/a/$1"), Ok("/x/a/$1".to_owned()));
}

#[test]
fn a_regex_changes_its_first_match() {
    let config = rewrite(RewriteConfig::Regex { regex: "/v(\\d)/".into(), to: "/api/$1/".into() });
    assert_eq!(changed(&PathPattern::Any, &config, "/v1/v2/"), Ok("/api/1/v2/".to_owned()));
    assert_eq!(changed(&PathPattern::Any, &config, "/other"), Ok("/other".to_owned()));
}

#[test]
fn what_comes_out_is_canonical_or_refused() {
    let config = rewrite(RewriteConfig::Regex { regex: "x".into(), to: ".".into() });
    assert_eq!(changed(&PathPattern::Any, &config, "/a/.x/b"), Ok("/b".to_owned()));
    let config = to(vec![literal("no-slash")]);
    assert_eq!(changed(&PathPattern::Any, &config, "/a"), Err(Cause::BadRewrite));
    let config = to(vec![literal("/a?b")]);
    assert_eq!(changed(&PathPattern::Any, &config, "/a"), Err(Cause::BadRewrite));
}
