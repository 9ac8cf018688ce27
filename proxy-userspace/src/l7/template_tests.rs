//! Tests of `template`.

use super::*;
use crate::l7::testing::{request, with};

fn text(parts: Vec<TemplatePart>) -> Text {
    Text::new(&Template(parts))
}

fn value_of(variable: Variable, request: &Request) -> String {
    let text = text(vec![TemplatePart::Variable(variable)]);
    text.value(Values { request, route: "shop" }).to_str().unwrap().to_owned()
}

#[test]
fn variables_stand_for_what_the_request_says() {
    let request = with(request("/a/b?c=d"), "x-team", "red");
    let request = with(request, "cookie", "a=1; session=xyz; session=2");
    *request.record.id.borrow_mut() = Id::given(HeaderValue::from_static("id-1"));
    for (variable, expected) in [
        (Variable::ClientIp, "192.0.2.7"),
        (Variable::ClientPort, "4711"),
        (Variable::Scheme, "http"),
        (Variable::Host, "example.com"),
        (Variable::Port, "80"),
        (Variable::Method, "GET"),
        (Variable::Path, "/a/b"),
        (Variable::Query, "c=d"),
        (Variable::Uri, "/a/b?c=d"),
        (Variable::RequestId, "id-1"),
        (Variable::Listener, "web"),
        (Variable::Route, "shop"),
        // It came without TLS.
        (Variable::Sni, ""),
        (Variable::Ja4, ""),
        (Variable::Header("x-team".parse().unwrap()), "red"),
        (Variable::Header("x-none".parse().unwrap()), ""),
        (Variable::Cookie("session".into()), "xyz"),
        (Variable::Cookie("sess".into()), ""),
    ] {
        assert_eq!(value_of(variable.clone(), &request), expected, "{variable:?}");
    }
}

#[test]
fn scheme_and_port_are_those_that_the_client_used() {
    let mut request = request("/");
    request.record.https.set(true);
    assert_eq!(value_of(Variable::Scheme, &request), "https");
    assert_eq!(value_of(Variable::Port, &request), "443");
    request.authority.port = Some(8443);
    request.authority.host = "2001:db8::1".into();
    assert_eq!(value_of(Variable::Port, &request), "8443");
    assert_eq!(value_of(Variable::Host, &request), "[2001:db8::1]");
}

#[test]
fn a_text_without_variables_is_made_once() {
    let text = text(vec![TemplatePart::Literal("a".into()), TemplatePart::Literal("b".into())]);
    assert_eq!(text.fixed.as_ref().unwrap(), "ab");
    assert_eq!(text.value(Values { request: &request("/"), route: "" }), "ab");
}

#[test]
fn what_no_field_may_hold_is_left_out() {
    assert_eq!(value(b"a\r\nSet-Cookie: b\0"), "aSet-Cookie: b");
}
