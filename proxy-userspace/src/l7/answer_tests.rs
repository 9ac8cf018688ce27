//! Tests of `answer`.

use super::*;
use crate::config::{RedirectConfig, RespondConfig, Template, TemplatePart, Variable};
use crate::l7::testing::request;

fn redirect(parts: Vec<TemplatePart>, status: u16) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer::of(&RouteAction::Redirect(RedirectConfig { to: Template(parts), status })).unwrap()
}

fn fixed(status: u16, body: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer::of(&RouteAction::Respond(RespondConfig { status, body: body.into() })).unwrap()
}

#[test]
fn a_redirect_names_where_to() {
    let parts = vec![
        TemplatePart::Literal("https://".into()),
        TemplatePart::Variable(Variable::Host),
        TemplatePart::Variable(Variable::Uri),
    ];
    let response = redirect(parts, 308).to(&request("/a?b=c&d=%20"), "r");
    assert_eq!(response.status(), 308);
    assert_eq!(response.headers()[LOCATION], "https://example.com/a?b=c&d=%20");
    assert_eq!(response.body().as_full(), Some(&[][..]));
}

#[test]
fn a_redirect_leads_to_no_other_host_by_backslashes() {
    assert_eq!(location(b"/\\evil.example"), "/%5Cevil.example");
    assert_eq!(location("/\u{e9} \"".as_bytes()), "/%C3%A9%20%22");
}

#[test]
fn a_fixed_answer_is_given_as_it_is() {
    let response = fixed(404, "gone\n").to(&request("/"), "r");
    assert_eq!(response.status(), 404);
    assert_eq!(response.body().as_full(), Some(&b"gone\n"[..]));
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    let mut head = request("/");
    head.method = Method::HEAD;
    let response = fixed(200, "gone\n").to(&head, "r");
    assert_eq!(response.body().as_full(), Some(&[][..]));
    assert_eq!(response.headers()[CONTENT_LENGTH], "5");
}

#[test]
fn statuses_without_a_body_have_none() {
    for status in [204, 304] {
        let response = fixed(status, "x").to(&request("/"), "r");
        assert_eq!(response.body().as_full(), Some(&[][..]));
        assert!(response.headers().is_empty());
    }
}
