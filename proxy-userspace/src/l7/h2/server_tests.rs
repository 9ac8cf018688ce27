//! A connection as a whole: bytes of a client over a stream, and what is said to them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use http_body::Frame;
use http_body_util::BodyExt;

use super::client::run;
use super::frame::{flag, kind};
use super::request_tests::until_something_is_said;
use super::wire::{cancel, data, field, frame, get, headers, post, request, setting, window};
use crate::config::WebLimits;
use crate::l7::cut::BodyError;
use crate::l7::testing::{Pieces, collected};
use crate::l7::tunnel::Tunnel;
use crate::l7::{Body, Request, Response};
use crate::net::deadline::Deadline;

/// Limits whose times are over soon.
fn hasty() -> WebLimits {
    let short = Duration::from_millis(100);
    WebLimits {
        header_timeout: short,
        idle_timeout: short,
        body_timeout: short,
        body_min_rate: 1000,
        ..WebLimits::default()
    }
}

fn ok(body: impl Into<Body>) -> Response {
    Response::new(body.into())
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::full(text)
    }
}

#[test]
fn a_request_is_answered_in_one_write() {
    let answer = async |request: Request| {
        assert_eq!((request.version, &request.method), (Version::HTTP_2, &Method::GET));
        assert_eq!((request.target.path(), &*request.authority.host), ("/", "a.test"));
        assert_eq!(request.headers.get("cookie").unwrap(), "a=1; b=2", "RFC 9113 §8.2.3");
        assert!(request.trailers && request.upgrade.is_none());
        let mut response = ok("hello");
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
        response
    };
    run(WebLimits::default(), answer, async |mut client| {
        let writes = client.pipe.writes.get();
        client.send(&headers(
            1,
            true,
            &request("GET", &[("cookie", "a=1"), ("te", "trailers"), ("cookie", "b=2")]),
        ));
        assert_eq!(
            client.hear().await,
            ["1: 200 content-length=5 content-type=text/plain", "1: \"hello\" end"]
        );
        assert_eq!((client.pipe.writes.get() - writes, client.over()), (1, vec![(200, None, 0, 5)]));
    });
}

#[test]
fn many_requests_are_answered_in_one_write() {
    run(
        WebLimits::default(),
        async |_| ok("x"),
        async |mut client| {
            let writes = client.pipe.writes.get();
            client.send(&(0..50).flat_map(|stream| get(2 * stream + 1)).collect::<Vec<_>>());
            assert_eq!((client.hear().await.len(), client.pipe.writes.get() - writes), (100, 1));
            assert_eq!(client.over().len(), 50);
        },
    );
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let answer = async |request: Request| {
        let mut response = ok("");
        *response.status_mut() = match request.target.path() {
            "/204" => StatusCode::NO_CONTENT,
            "/304" => StatusCode::NOT_MODIFIED,
            _ => StatusCode::OK,
        };
        if request.method == Method::HEAD {
            response.headers_mut().insert("content-length", HeaderValue::from_static("7"));
        }
        response
    };
    let ask = |stream, method: &str, path: &str| {
        let fields = [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)];
        headers(stream, true, &fields.iter().flat_map(|(name, value)| field(name, value)).collect::<Vec<_>>())
    };
    run(WebLimits::default(), answer, async |mut client| {
        client.send(
            &[ask(1, "GET", "/204"), ask(3, "GET", "/304"), ask(5, "HEAD", "/"), ask(7, "GET", "/")].concat(),
        );
        let said = client.hear().await;
        assert_eq!(
            said,
            ["1: 204 end", "3: 304 end", "5: 200 content-length=7 end", "7: 200 content-length=0 end"]
        );
    });
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let echo = async |request: Request| {
        assert_eq!(http_body::Body::size_hint(&request.body).exact(), Some(5));
        let (body, trailers) = collected(request.body).await.unwrap();
        let frames = [Frame::data(Bytes::from(body)), Frame::trailers(trailers.unwrap())];
        ok(Body::stream(Pieces(frames.into_iter().map(|frame| Some(Ok(frame))).collect())))
    };
    run(WebLimits::default(), echo, async |mut client| {
        client.send(&[post(1, &[("content-length", "5")]), data(1, false, b"he")].concat());
        assert!(client.hear().await.is_empty());
        client.send(&[data(1, false, b"llo"), headers(1, true, &field("x-t", "1"))].concat());
        assert_eq!(client.hear().await, ["1: 200", "1: \"hello\"", "1: x-t=1 end"]);
        assert_eq!(client.over(), [(200, None, 5, 5)]);
    });
}

#[test]
fn a_long_upload_opens_windows_as_it_is_read() {
    let count = async |request: Request| {
        let (mut body, mut total) = (request.body, 0);
        while let Some(frame) = body.frame().await {
            total += frame.unwrap().into_data().unwrap().len();
        }
        ok(Body::full(total.to_string()))
    };
    run(WebLimits::default(), count, async |mut client| {
        client.send(&post(1, &[]));
        let mut windows = 0;
        for _ in 0..200 {
            client.send(&data(1, false, &[0; 16_384]));
            windows += client.hear().await.len();
        }
        assert!(windows > 20, "{windows}");
        client.send(&data(1, true, b""));
        assert_eq!(client.hear().await, ["1: 200 content-length=7", "1: \"3276800\" end"]);
    });
}

#[test]
fn a_body_that_nobody_reads_takes_no_room_from_others() {
    let answer = async |request: Request| {
        if request.target.path() == "/" && request.method == Method::PUT {
            std::future::pending::<()>().await;
        }
        drop(request);
        std::future::pending::<()>().await;
        ok("")
    };
    run(WebLimits::default(), answer, async |mut client| {
        for stream in 0..20 {
            client.send(&post(2 * stream + 1, &[]));
            client.send(&data(2 * stream + 1, false, &[0; 16_384]).repeat(16));
            let said = client.hear().await;
            assert!(said.iter().all(|word| word.ends_with("window")), "{said:?}");
        }
    });
}

#[test]
fn who_waits_for_a_100_gets_one_when_the_body_is_read() {
    let read = async |request: Request| {
        assert!(request.expects_continue && !request.headers.contains_key("expect"));
        if request.headers.contains_key("x-early") {
            return ok("no");
        }
        let interim = request.interim.clone().unwrap();
        interim.send(StatusCode::EARLY_HINTS, HeaderMap::new());
        let (body, _) = collected(request.body).await.unwrap();
        interim.send(StatusCode::CONTINUE, HeaderMap::new());
        ok(Body::full(body))
    };
    run(WebLimits::default(), read, async |mut client| {
        client.send(&post(1, &[("expect", "100-continue")]));
        assert_eq!(client.hear().await, ["1: 103", "1: 100"]);
        client.send(&data(1, true, b"x"));
        assert_eq!(client.hear().await, ["1: 200 content-length=1", "1: \"x\" end"]);
        client.send(&post(3, &[("expect", "100-continue"), ("x-early", "1")]));
        let said = client.hear().await;
        assert_eq!(said, ["3: 200 content-length=2", "3: \"no\" end", "3: reset 0"], "RFC 9113 §8.1");
        client.send(&post(5, &[("expect", "more")]));
        assert!(client.hear().await[0].starts_with("5: 417"));
    });
}

#[test]
fn a_large_answer_waits_for_windows_and_all_streams_have_their_turn() {
    run(
        WebLimits::default(),
        async |_| ok(Body::full(vec![0; 300_000])),
        async |mut client| {
            client.send(&[setting(4, 100_000), window(0, 200_000), get(1), get(3)].concat());
            let said = client.hear().await;
            let of = |stream: &str, said: &[String]| {
                said.iter()
                    .filter_map(|word| {
                        word.strip_prefix(stream)?.strip_suffix(" bytes")?.parse::<usize>().ok()
                    })
                    .sum::<usize>()
            };
            assert_eq!((of("1: ", &said), of("3: ", &said)), (100_000, 100_000));
            client.send(&window(1, 1000));
            assert_eq!(client.hear().await, ["1: 1000 bytes"]);
            client.send(&[window(3, 300_000), window(1, 300_000), window(0, 20_000)].concat());
            let said = client.hear().await;
            assert_eq!(
                of("1: ", &said) + of("3: ", &said),
                265_535 - 201_000 + 20_000,
                "the connection's window"
            );
        },
    );
}

#[test]
fn an_answer_that_breaks_off_is_reset() {
    let broken = async |_| {
        let frames = [Some(Ok(Frame::data(Bytes::from("half")))), None, Some(Err(BodyError::Gone))];
        ok(Body::stream(Pieces(frames.into_iter().collect())))
    };
    run(WebLimits::default(), broken, async |mut client| {
        client.send(&get(1));
        assert_eq!(client.hear().await, ["1: 200", "1: \"half\"", "1: reset 2"]);
        assert_eq!(client.over(), [(200, Some("backend_reset"), 0, 4)]);
    });
}

struct Notes(Rc<Cell<bool>>);

impl Drop for Notes {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_reset_ends_the_request_and_one_that_comes_at_once_never_begins() {
    let (begun, gone) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (begins, goes) = (Rc::clone(&begun), Rc::clone(&gone));
    let hang = move |_| {
        let (begins, notes) = (Rc::clone(&begins), Notes(Rc::clone(&goes)));
        async move {
            begins.set(begins.get() + 1);
            std::future::pending::<()>().await;
            drop(notes);
            ok("")
        }
    };
    run(WebLimits::default(), hang, async |mut client| {
        client.send(&get(1));
        client.hear().await;
        gone.set(false);
        client.send(&cancel(1));
        client.hear().await;
        assert!(gone.get() && begun.get() == 1);
        assert_eq!(client.over(), [(0, Some("client_gone"), 0, 0)]);
        client.send(&(1..60).flat_map(|n| [get(2 * n + 1), cancel(2 * n + 1)].concat()).collect::<Vec<_>>());
        client.hear().await;
        assert_eq!((begun.get(), client.over().len()), (1, 59), "CVE-2023-44487");
    });
}

#[test]
fn what_cannot_be_served_is_answered() {
    let ask = |stream, fields: &[(&str, &str)]| {
        headers(stream, true, &fields.iter().flat_map(|(name, value)| field(name, value)).collect::<Vec<_>>())
    };
    let (m, s) = ((":method", "GET"), (":scheme", "http"));
    run(
        WebLimits::default(),
        async |_| ok("?"),
        async |mut client| {
            for (stream, frames, status) in [
                (1, ask(1, &[(":method", "CONNECT"), (":authority", "a:1")]), "405"),
                (3, ask(3, &[m, s, (":authority", "a b"), (":path", "/")]), "reset"),
                (5, ask(5, &[m, s, (":authority", "a:x"), (":path", "/")]), "400"),
                (7, ask(7, &[m, s, (":authority", "a"), (":path", "/%zz")]), "400"),
                (9, ask(9, &[m, (":scheme", "ftp"), (":authority", "a"), (":path", "/")]), "400"),
            ] {
                client.send(&frames);
                let said = client.hear().await;
                assert!(said[0].starts_with(&format!("{stream}: {status}")), "{said:?}");
            }
            let statuses: Vec<u16> = client.over().iter().map(|over| over.0).collect();
            assert_eq!(statuses, [405, 400, 400, 400]);
        },
    );
}

/// A far end that says everything it hears.
#[derive(Default, Debug)]
struct Echo {
    held: BytesMut,
    ended: bool,
    /// It says nothing.
    deaf: bool,
    waker: Option<Waker>,
    /// For so long, most often for ever, nothing may move.
    patience: Deadline,
}

impl Tunnel for Echo {
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if !self.held.is_empty() {
            return Poll::Ready(Some(Ok(self.held.split().freeze())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_send(&mut self, _: &mut Context<'_>, bytes: &mut Bytes) -> Poll<Result<(), BodyError>> {
        if !self.deaf {
            self.held.extend_from_slice(bytes);
        }
        bytes.clear();
        self.waker.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.ended = true;
        self.waker.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }

    fn poll_still(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.patience.poll(context)
    }
}

#[test]
fn a_tunnel_whose_far_end_has_ended_is_not_waited_for_longer_than_it_may_be_silent() {
    let answer = async |_: Request| {
        let mut patience = Deadline::default();
        patience.set(Instant::now() + Duration::from_millis(200));
        let mut response =
            ok(Body::tunnel(Box::new(Echo { deaf: true, ended: true, patience, ..Echo::default() })));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response
    };
    run(WebLimits::default(), answer, async |mut client| {
        client.send(&headers(1, false, &request("CONNECT", &[(":protocol", "websocket")])));
        assert_eq!(client.hear().await, ["1: 200", "1: \"\" end"]);
        assert_eq!(until_something_is_said(&mut client).await, ["1: reset 8"]);
        assert_eq!(client.over().len(), 1);
    });
}

#[test]
fn an_extended_connect_becomes_an_upgrade_and_a_tunnel() {
    let answer = async |request: Request| {
        assert_eq!((&request.method, request.upgrade.as_deref()), (&Method::GET, Some("websocket")));
        assert_eq!(request.headers.get("sec-websocket-key").unwrap().len(), 24);
        if request.headers.contains_key("x-no") {
            return ok("a page");
        }
        let ended = request.headers.contains_key("x-ends");
        let mut response = ok(Body::tunnel(Box::new(Echo { deaf: ended, ended, ..Echo::default() })));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("sec-websocket-accept", HeaderValue::from_static("x"));
        response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
        response
    };
    let connect = |stream, more: &[(&str, &str)]| {
        headers(stream, false, &request("CONNECT", &[&[(":protocol", "WebSocket")][..], more].concat()))
    };
    run(hasty(), answer, async |mut client| {
        client.send(&connect(1, &[]));
        assert_eq!(client.hear().await, ["1: 200 sec-websocket-protocol=chat"], "RFC 8441 §5");
        client.send(&data(1, false, b"hello"));
        assert_eq!(client.hear().await, ["1: \"hello\""]);
        // It may be silent for longer than anything else.
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.send(&data(1, true, b"bye"));
        assert_eq!(client.hear().await, ["1: \"bye\"", "1: \"\" end"]);
        assert_eq!(client.over(), [(200, None, 8, 8)]);
        // The far end ends first.
        client.send(&connect(7, &[("x-ends", "1")]));
        assert_eq!(client.hear().await[1..], ["7: \"\" end"]);
        client.send(&data(7, false, b"more"));
        assert_eq!((client.hear().await.len(), client.over().len()), (0, 0));
        client.send(&data(7, true, b""));
        client.hear().await;
        assert_eq!(client.over(), [(200, None, 4, 0)]);
        client.send(&connect(9, &[("x-no", "1")]));
        assert_eq!(client.hear().await, ["9: 502 content-length=0 end", "9: reset 0"], "a 2xx is a tunnel");
        client.send(&[connect(11, &[]), data(11, false, b"x")].concat());
        client.hear().await;
        client.send(&cancel(11));
        client.hear().await;
        assert_eq!(client.over()[1], (200, Some("client_gone"), 1, 1));
    });
}

#[test]
fn a_slow_body_and_an_answer_that_is_not_taken_come_to_an_end() {
    let read = async |request: Request| match collected(request.body).await {
        Err(BodyError::TooSlow) => {
            let mut response = ok("");
            *response.status_mut() = StatusCode::REQUEST_TIMEOUT;
            response
        }
        _ => ok(Body::full(vec![0; 100_000])),
    };
    run(hasty(), read, async |mut client| {
        client.send(&post(1, &[]));
        while client.over.borrow().is_empty() {
            client.send(&data(1, false, b"x"));
            client.hear().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(client.over()[0].0, 408, "a drip extends nothing");
        // A client that takes nothing: its connection has an end.
        client.pipe.full.set(true);
        client.send(&get(3));
        client.ended().await;
        assert_eq!(client.over(), [(200, Some("client_gone"), 0, 65_535)]);
    });
}

#[test]
fn who_takes_no_answers_is_not_heard() {
    let limits = WebLimits { h2_idle_frames: u32::MAX, ..WebLimits::default() };
    run(
        limits,
        async |_| ok(""),
        async |mut client| {
            client.pipe.full.set(true);
            for _ in 0..100 {
                client.send(&frame(kind::PING, 0, 0, b"12345678").repeat(1000));
                client.hear().await;
            }
            assert!(client.pipe.to_server.borrow().len() > 1_000_000, "it stays where it is");
            client.unblock();
            assert!(client.hear().await.len() > 10_000);
        },
    );
}

#[test]
fn an_idle_connection_ends_in_good_order() {
    run(
        hasty(),
        async |_| ok("x"),
        async |mut client| {
            client.send(&get(1));
            client.hear().await;
            client.ended().await;
            assert_eq!(client.hear().await, ["goaway 0"]);
            assert!(client.pipe.server_ended.get());
        },
    );
}

#[test]
fn a_listener_that_goes_takes_its_connections_along_when_they_are_done() {
    let (go, gone) = (Rc::new(tokio::sync::Notify::new()), Rc::new(Cell::new(0)));
    let (wait, count) = (Rc::clone(&go), Rc::clone(&gone));
    let answer = move |_| {
        let (wait, count) = (Rc::clone(&wait), Rc::clone(&count));
        async move {
            wait.notified().await;
            count.set(count.get() + 1);
            ok("x")
        }
    };
    run(WebLimits::default(), answer, async |mut client| {
        client.send(&get(1));
        client.hear().await;
        client.leave.leave();
        assert_eq!(client.hear().await, ["goaway 0", "frame 6"]);
        client.send(&[get(3), frame(kind::PING, flag::ACK, 0, b"goodbye.")].concat());
        assert_eq!(client.hear().await, ["goaway 0"]);
        assert!(!client.pipe.server_ended.get(), "what was begun is ended");
        go.notify_waiters();
        assert_eq!(client.hear().await.len(), 4);
        assert_eq!(gone.get(), 2, "one came before the client could know");
        client.end();
        client.ended().await;
    });
}

#[test]
fn a_client_that_goes_ends_its_requests() {
    let body = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&body);
    let hang = move |request: Request| {
        *kept.borrow_mut() = Some(request.body);
        std::future::pending::<Response>()
    };
    run(WebLimits::default(), hang, async |mut client| {
        client.send(&[post(1, &[]), data(1, false, b"x")].concat());
        client.hear().await;
        client.end();
        client.hear().await;
        assert!(client.served.is_finished());
        assert_eq!(client.over(), [(0, Some("client_gone"), 1, 0)]);
        let body = body.borrow_mut().take().unwrap();
        assert_eq!(collected(body).await.unwrap_err(), BodyError::Gone, "wherever its body went");
    });
}

#[test]
fn an_error_of_the_connection_is_told_before_it_ends() {
    run(
        WebLimits::default(),
        async |_| ok("x"),
        async |mut client| {
            client.send(&[get(1), data(0, false, b"x"), vec![0; 5000]].concat());
            assert_eq!(client.hear().await, ["goaway 1"]);
            assert!(
                client.pipe.server_ended.get() && !client.served.is_finished(),
                "it is listened to for a while"
            );
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(client.served.is_finished());
        },
    );
}

#[test]
fn who_costs_more_than_anybody_needs_to_is_told_from_who_makes_a_mistake() {
    let resets = (0..200).flat_map(|number| [get(2 * number + 1), cancel(2 * number + 1)].concat());
    for (bytes, attack) in [
        (resets.collect(), true),
        (frame(kind::PING, 0, 0, b"12345678").repeat(2000), true),
        (data(0, false, b"x"), false),
        (get(1), false),
    ] {
        run(
            WebLimits::default(),
            async |_| ok("x"),
            async |mut client| {
                client.send(&bytes);
                client.hear().await;
                client.end();
                assert_eq!(client.ended().await, attack);
            },
        );
    }
}
