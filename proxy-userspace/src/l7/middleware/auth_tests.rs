//! Tests of `auth`.

use super::*;
use crate::l7::body::Body;
use crate::l7::testing::{request, with};

fn auth() -> BasicAuth {
    let user = |name: &str, password: &str| (name.into(), bcrypt::hash(password, 4).unwrap().into());
    BasicAuth::new(&BasicAuthConfig {
        realm: "the \"ops\"".into(),
        users: vec![user("alice", "secret"), user("bob", "pass:word")],
        user_header: Some(HeaderName::from_static("x-user")),
    })
}

/// Gives back the user that the backend would see.
fn backend() -> LocalService {
    LocalService::new(|request: Request| async move {
        let user = request.headers["x-user"].as_bytes().to_vec();
        assert_eq!(request.record.user.borrow().as_deref().map(str::as_bytes), Some(&user[..]));
        Response::new(Body::full(user))
    })
}

fn with_credentials(credentials: &str) -> Request {
    with(request("/"), "authorization", &format!("Basic {}", STANDARD.encode(credentials)))
}

#[tokio::test]
async fn who_proves_who_it_is_may_ask() {
    let auth = auth();
    for credentials in ["alice:secret", "bob:pass:word", "alice:secret"] {
        let request = with(with_credentials(credentials), "x-user", "root");
        let response = auth.answer(request, &backend()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.body().as_full(), credentials.split_once(':').map(|(user, _)| user.as_bytes()));
    }
}

#[tokio::test]
async fn who_does_not_is_asked_to() {
    let auth = auth();
    let requests = [
        request("/"),
        with_credentials("alice:wrong"),
        with_credentials("carol:secret"),
        with_credentials("alice"),
        with_credentials(&format!("alice:{}", "x".repeat(LONGEST))),
        with(request("/"), "authorization", "Bearer abc"),
        with(request("/"), "authorization", "Basic !!"),
        with(request("/"), "authorization", "Basi"),
    ];
    for request in requests {
        let record = request.record.clone();
        let response = auth.answer(request, &backend()).await;
        assert_eq!(response.status(), 401);
        assert_eq!(
            response.headers()[WWW_AUTHENTICATE],
            "Basic realm=\"the \\\"ops\\\"\", charset=\"UTF-8\""
        );
        assert_eq!(record.cause.get(), Some("unauthorized"));
    }
}

#[tokio::test]
async fn what_was_right_once_is_not_checked_again() {
    let mut auth = auth();
    assert!(auth.user(&with_credentials("alice:secret")).await.is_ok());
    // Nothing can be checked any more.
    auth.users.insert("alice".into(), "".into());
    assert!(auth.user(&with_credentials("alice:secret")).await.is_ok());
    assert!(auth.user(&with_credentials("alice:other")).await.is_err());
    assert!(auth.user(&with_credentials("bob:secret")).await.is_err());
}

/// From this address.
fn from(ip: &str, request: Request) -> Request {
    request.record.client.set(Some(ip.parse().unwrap()));
    request
}

#[tokio::test]
async fn who_guesses_keeps_nobody_else_from_being_let_in() {
    let auth = Arc::new(auth());
    let local = tokio::task::LocalSet::new();
    let guesses: Vec<_> = (0..2 * MOST_WAITING)
        .map(|number| {
            let (auth, ip) = (Arc::clone(&auth), format!("2001:db8:0:1::{number:x}"));
            local.spawn_local(async move {
                let guess = with_credentials(&format!("alice:guess-{number}"));
                auth.user(&from(&ip, guess)).await.unwrap_err()
            })
        })
        .collect();
    local
        .run_until(async {
            // All of them are in line.
            tokio::task::yield_now().await;
            let other = from("2001:db8:0:2::1", with_credentials("bob:pass:word"));
            assert_eq!(auth.user(&other).await.as_deref(), Ok("bob"));
            for guess in guesses {
                assert_eq!(guess.await.unwrap(), Cause::Unauthorized, "a line is not endless, and long");
            }
        })
        .await;
    assert!(!LINES.lock().unwrap().contains_key(&"2001:db8:0:1::".parse().unwrap()));
}

#[test]
fn an_empty_memory_knows_nobody() {
    let right = Right::default();
    for credentials in ["", "a:b"] {
        assert!(!right.has(right.marks(credentials)));
    }
}
