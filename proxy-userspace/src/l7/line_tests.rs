//! Tests of `line`.

use std::net::IpAddr;

use bytes::Bytes;
use http::Method;
use proptest::prelude::*;

use super::*;
use crate::l7::request::Request;
use crate::l7::seen::Seen;
use crate::l7::testing::{request, with};
use crate::net::stream::Target;

fn over(request: &Request) -> Names {
    request.keep_seen();
    let record = &request.record;
    record.status.set(200);
    record.sent.set(1234);
    record.received.set(5);
    Names { listener: "web".into(), route: "shop".into(), pool: "app".into() }
}

fn line(request: &Request, names: &Names, write: fn(&mut Vec<u8>, Entry<'_>)) -> String {
    let mut out = Vec::new();
    let (connection, record) = (&*request.connection, &*request.record);
    write(&mut out, Entry { time: "TIME", took_us: 12_034, connection, record, names });
    String::from_utf8(out).unwrap()
}

#[test]
fn combined_is_as_apache_and_nginx_write_it() {
    let request = with(with(request("/a?b=c"), "referer", "http://x/"), "user-agent", "curl/8 \"x\"");
    let names = over(&request);
    assert_eq!(
        line(&request, &names, combined),
        "192.0.2.7 - - [TIME] \"GET /a?b=c HTTP/1.1\" 200 1234 \"http://x/\" \"curl/8 \\x22x\\x22\"\n"
    );
    *request.record.user.borrow_mut() = Some("a b\n".into());
    assert!(line(&request, &names, combined).starts_with("192.0.2.7 - a\\x20b\\x0A [TIME] "));
}

#[test]
fn json_says_what_there_is_to_say() {
    let request = request("/a?b=c");
    let names = over(&request);
    assert_eq!(
        line(&request, &names, json),
        concat!(
            r#"{"time":"TIME","client":"192.0.2.7","listener":"web","route":"shop","pool":"app","method":"GET","#,
            r#""host":"example.com","uri":"/a?b=c","version":"HTTP/1.1","status":200,"duration_ms":12.034,"#,
            r#""received":5,"sent":1234}"#,
            "\n"
        )
    );
    let record = &request.record;
    record.client.set(Some("2001:db8::1".parse::<IpAddr>().unwrap()));
    *record.user.borrow_mut() = Some("alice".into());
    *record.backend.borrow_mut() = Some(Target::Tcp("10.0.0.1:80".parse().unwrap()));
    *record.id.borrow_mut() = Id::given(HeaderValue::from_static("id-1"));
    record.cause.set(Some("backend_reset"));
    record.retries.set(2);
    record.first_byte_us.set(Some(7));
    let line = line(&request, &names, json);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    for (key, expected) in [
        ("client", "2001:db8::1"),
        ("peer", "192.0.2.7"),
        ("user", "alice"),
        ("backend", "10.0.0.1:80"),
        ("cause", "backend_reset"),
        ("request_id", "id-1"),
    ] {
        assert_eq!(value[key], expected, "{line}");
    }
    assert_eq!((&value["retries"], &value["first_byte_ms"]), (&2.into(), &0.007.into()));
}

#[test]
fn what_was_no_request_has_a_line_too() {
    let request = request("/");
    request.record.status.set(400);
    let names = Names::default();
    assert_eq!(line(&request, &names, combined), "192.0.2.7 - - [TIME] \"-\" 400 0 \"-\" \"-\"\n");
    let value: serde_json::Value = serde_json::from_str(&line(&request, &names, json)).unwrap();
    assert_eq!((&value["status"], &value["method"]), (&400.into(), &serde_json::Value::Null));
}

proptest! {
    #[test]
    fn whatever_clients_send_is_one_line(agent in proptest::collection::vec(any::<u8>(), 0..40), user in any::<String>()) {
        let request = request("/");
        let names = over(&request);
        // What no codec lets in cannot hurt either.
        let seen = Seen {
            method: Method::POST,
            uri: Bytes::from(agent.clone()),
            host: HeaderValue::from_static(""),
            version: Version::HTTP_2,
            referer: None,
            agent: HeaderValue::from_bytes(&agent).ok(),
        };
        let record = std::rc::Rc::new(Record::begin(request.record.started));
        record.seen.set(Box::new(seen)).unwrap();
        *record.user.borrow_mut() = Some(user.clone().into());
        let request = Request { record, ..request };
        let combined = line(&request, &names, combined);
        prop_assert!(combined.trim_end_matches('\n').bytes().all(|byte| matches!(byte, b' '..=b'~')));
        prop_assert_eq!(combined.matches('"').count(), 6);
        let json = line(&request, &names, json);
        prop_assert_eq!(json.matches('\n').count(), 1);
        prop_assert!(!json.trim_end_matches('\n').chars().any(char::is_control));
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(value["user"].as_str(), Some(&*user));
    }
}
