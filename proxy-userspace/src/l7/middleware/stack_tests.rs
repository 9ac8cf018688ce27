//! Tests of `stack`.

use http::{HeaderName, HeaderValue, StatusCode};

use super::*;
use crate::config::{
    HeaderEdits, HelloCondition, MiddlewareConfig, PathPattern, RespondConfig, RouteAction, StatusRange,
    Template, TemplatePart, Variable,
};
use crate::l7::body::Body;
use crate::l7::request::{Request, Response};
use crate::l7::testing::{request, with};

fn route(middleware: MiddlewareConfig) -> RouteConfig {
    RouteConfig {
        name: "shop".into(),
        listeners: vec!["web".into()],
        hosts: Vec::new(),
        path: PathPattern::Any,
        methods: Vec::new(),
        headers: Vec::new(),
        query: Vec::new(),
        client_ip: Vec::new(),
        client_hello: HelloCondition::default(),
        passthrough: false,
        action: RouteAction::Respond(RespondConfig { status: StatusCode::OK, body: "".into() }),
        middleware,
        request_timeout: None,
        line: 1,
    }
}

fn variable(variable: Variable) -> Template {
    Template(vec![TemplatePart::Variable(variable)])
}

/// Answers with the path that the backend would see.
fn backend() -> LocalService {
    LocalService::new(|request: Request| async move {
        let mut response = Response::new(Body::full(request.target.as_bytes().clone()));
        if let Some(seen) = request.headers.get("x-path") {
            response.headers_mut().insert("x-path", seen.clone());
        }
        response
    })
}

#[test]
fn a_route_that_asks_for_nothing_has_no_steps() {
    assert!(Stack::compile(&route(MiddlewareConfig::default())).unwrap().is_empty());
}

#[tokio::test]
async fn steps_stand_in_the_documented_order() {
    let name = HeaderName::from_static;
    let stack = Stack::compile(&route(MiddlewareConfig {
        deny: vec!["198.51.100.0/24".parse().unwrap()],
        max_body: Some(3),
        request_headers: HeaderEdits {
            set: vec![(name("x-path"), variable(Variable::Path))],
            ..HeaderEdits::default()
        },
        strip_prefix: Some("/api".into()),
        response_headers: HeaderEdits {
            set: vec![(name("x-route"), variable(Variable::Route)), (name("x-uri"), variable(Variable::Uri))],
            ..HeaderEdits::default()
        },
        ..MiddlewareConfig::default()
    }))
    .unwrap();
    let service = stack.service(backend());
    for _ in 0..2 {
        let response = service.answer(request("/api/x")).await;
        assert_eq!(response.body().as_full(), Some(&b"/x"[..]));
        for (name, value) in [("x-path", "/api/x"), ("x-route", "shop"), ("x-uri", "/api/x")] {
            assert_eq!(response.headers()[name], value);
        }
    }
    // What refuses is inside of what changes answers.
    let denied = request("/api/x");
    denied.record.client.set(Some("198.51.100.1".parse().unwrap()));
    let response = service.answer(denied).await;
    assert_eq!((response.status(), &response.headers()["x-route"]), (StatusCode::FORBIDDEN, &value("shop")));
    let mut long = request("/api/x");
    long.body = Body::full("1234");
    assert_eq!(service.answer(long).await.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

fn value(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

#[tokio::test]
async fn services_are_towers() {
    use tower::Service;
    let stack = Stack::compile(&route(MiddlewareConfig {
        strip_prefix: Some("/a".into()),
        ..MiddlewareConfig::default()
    }))
    .unwrap();
    let mut service = stack.service(backend());
    std::future::poll_fn(|context| service.poll_ready(context)).await.unwrap();
    let Ok(response) = service.call(with(request("/a/b"), "x", "y")).await;
    assert_eq!(response.body().as_full(), Some(&b"/b"[..]));
}

#[test]
fn a_page_that_cannot_be_read_is_named() {
    let mut config = MiddlewareConfig::default();
    config.error_pages.insert(StatusRange { first: 500, last: 599 }, "/nonexistent.html".into());
    let error = Stack::compile(&route(config)).unwrap_err().to_string();
    assert!(error.starts_with("the error page /nonexistent.html cannot be read: "), "{error}");
}
