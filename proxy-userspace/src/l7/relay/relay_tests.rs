//! Bytes both ways, over real sockets.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

use bytes::BytesMut;
use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::both::{End, Next, Patience, Relay};
use super::flight;
use super::hand_off::Moment;
use super::starttls::{Asked, let_ask};
use crate::config::StartTls;
use crate::net::defer::{Acknowledge, acknowledge};
use crate::net::epoll::{Epoll, EpollListener, EpollStream};
use crate::net::stream::{Driver, Stream, Target};
use crate::telemetry::steering::Refused;

const PATIENCE: Patience = Patience { idle: Duration::from_secs(60), total: None };

async fn pair() -> (EpollStream, EpollStream) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(socket.local_addr().unwrap());
    let listener = EpollListener::tcp(socket).unwrap();
    let one = Epoll.connect(&target).await.unwrap();
    (one, Epoll.accept(&listener).await.unwrap().0)
}

async fn say(stream: &mut EpollStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let count = poll_fn(|context| stream.poll_write(context, &[IoSlice::new(bytes)])).await.unwrap();
        bytes = &bytes[count..];
    }
}

/// All that comes until the end.
async fn hear(stream: &mut EpollStream) -> Vec<u8> {
    let mut all = BytesMut::new();
    loop {
        all.reserve(1 << 16);
        if poll_fn(|context| stream.poll_read(context, &mut all)).await.unwrap() == 0 {
            return all.to_vec();
        }
    }
}

async fn end(stream: &mut EpollStream) {
    poll_fn(|context| stream.poll_shutdown(context)).await.unwrap();
}

fn run(what: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSet::new().run_until(what));
}

/// A client and a backend, and what goes on between them: its moments, and how it ends.
async fn relayed(
    first: &[u8],
    patience: Patience,
) -> (EpollStream, EpollStream, JoinHandle<(Vec<Moment>, End)>) {
    let ((client, ours), (theirs, backend)) = (pair().await, pair().await);
    let mut relay = Relay::new(ours, theirs, first.into(), patience);
    relay.want_moments(true);
    let between = spawn_local(async move {
        let mut moments = Vec::new();
        loop {
            match relay.next().await {
                Next::End(how) => {
                    relay.end(how);
                    return (moments, how);
                }
                Next::Moment(moment) => {
                    moments.push(moment);
                    relay.put_off(true);
                }
                Next::Count => {}
            }
        }
    });
    (client, backend, between)
}

#[test]
fn what_was_read_before_comes_first_and_both_ends_are_told_of_the_other() {
    run(async {
        let (mut client, mut backend, between) = relayed(b"first ", PATIENCE).await;
        say(&mut client, b"second").await;
        end(&mut client).await;
        assert_eq!(hear(&mut backend).await, b"first second");
        say(&mut backend, b"answer").await;
        end(&mut backend).await;
        assert_eq!(hear(&mut client).await, b"answer");
        let (moments, how) = between.await.unwrap();
        assert_eq!((how, moments.len()), (End::Done, 0), "half of a connection is not handed over");
    });
}

#[test]
fn much_goes_by_a_pipe_and_arrives_as_it_was() {
    run(async {
        let (mut client, mut backend, between) = relayed(b"", PATIENCE).await;
        let bytes: Vec<u8> =
            (0..8_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let sent = bytes.clone();
        let speaker = spawn_local(async move {
            say(&mut client, &sent).await;
            end(&mut client).await;
            client
        });
        assert!(hear(&mut backend).await == bytes, "bytes have changed");
        end(&mut backend).await;
        let mut client = speaker.await.unwrap();
        assert!(hear(&mut client).await.is_empty());
        assert_eq!(between.await.unwrap().1, End::Done);
    });
}

#[test]
fn a_pause_after_the_first_answer_is_a_moment_to_leave() {
    run(async {
        let (mut client, mut backend, between) = relayed(b"hello", PATIENCE).await;
        let mut heard = BytesMut::with_capacity(16);
        poll_fn(|context| backend.poll_read(context, &mut heard)).await.unwrap();
        say(&mut backend, b"answer").await;
        heard.clear();
        poll_fn(|context| client.poll_read(context, &mut heard)).await.unwrap();
        // The relay has had its turn, and waits: only then does it hear this.
        tokio::task::yield_now().await;
        client.reset_at_end();
        drop(client);
        let error = poll_fn(|context| backend.poll_read(context, &mut heard)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let (moments, how) = between.await.unwrap();
        assert_eq!((moments.first(), how), (Some(&Moment::Quiet), End::ClientGone));
    });
}

#[test]
fn a_moment_that_came_to_nothing_comes_again_though_nothing_moves_and_less_often_each_time() {
    run(async {
        let patience = Patience { total: Some(Duration::from_millis(200)), ..PATIENCE };
        let (_client, mut backend, between) = relayed(b"hello", patience).await;
        say(&mut backend, b"answer").await;
        let (moments, how) = between.await.unwrap();
        assert_eq!(how, End::Total);
        // 0, 1, 3, 7, 15, 31, 63, 127 ms; fewer on a machine under load.
        assert!((2..=8).contains(&moments.len()), "{moments:?}");
    });
}

#[test]
fn a_connection_ends_when_nothing_moves_and_when_its_time_is_over() {
    run(async {
        let brief = Duration::from_millis(20);
        let idle = Patience { idle: brief, total: None };
        let (mut client, _backend, between) = relayed(b"", idle).await;
        assert_eq!(between.await.unwrap().1, End::Idle);
        let mut read = BytesMut::with_capacity(1);
        let error = poll_fn(|context| client.poll_read(context, &mut read)).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let total = Patience { total: Some(brief), ..PATIENCE };
        let (_client, _backend, between) = relayed(b"", total).await;
        assert_eq!(between.await.unwrap().1, End::Total);
    });
}

/// What a client of a protocol is told, and whether it may begin with TLS.
async fn asks(how: StartTls, said: &[u8]) -> (Asked, Vec<u8>, Vec<u8>) {
    let (mut client, mut ours) = pair().await;
    say(&mut client, said).await;
    end(&mut client).await;
    let mut read = BytesMut::new();
    let asked = let_ask(&mut ours, &mut read, how).await.unwrap_or(Asked::Declines);
    drop(ours);
    (asked, hear(&mut client).await, read.to_vec())
}

#[test]
fn what_is_sent_along_with_the_wish_for_tls_is_not_taken_for_what_is_sent_by_tls() {
    run(async {
        let request = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
        let (asked, told, left) = asks(StartTls::Postgres, &request).await;
        assert_eq!((asked, &*told, &*left), (Asked::Begins, &b"S"[..], &b""[..]));
        let (asked, told, _) = asks(StartTls::Postgres, &[&request[..], b"more"].concat()).await;
        assert_eq!((asked, &*told), (Asked::Declines, &b""[..]));
        let (asked, _, left) = asks(StartTls::Postgres, b"\x16\x03\x01\0\x05hello").await;
        assert_eq!((asked, &*left), (Asked::Begins, &b"\x16\x03\x01\0\x05hello"[..]), "TLS at once");
        let (asked, told, _) = asks(StartTls::Postgres, &[0, 0, 0, 9, 0, 3, 0, 0, 0]).await;
        assert_eq!(asked, Asked::Declines);
        assert_eq!(usize::from(told[4]) + 1, told.len(), "the length counts all but its type");
        let (asked, told, _) = asks(StartTls::Smtp, b"EHLO a\r\nSTARTTLS\r\n").await;
        assert_eq!(asked, Asked::Begins);
        assert!(told.ends_with(b"250 STARTTLS\r\n220 Ready to start TLS\r\n"), "{told:?}");
        for declines in [&b"STARTTLS\r\nEHLO a\r\n"[..], b"QUIT\r\n", &[b'x'; 600]] {
            assert_eq!(asks(StartTls::Smtp, declines).await.0, Asked::Declines, "{declines:?}");
        }
    });
}

#[test]
fn the_first_piece_of_a_hello_is_acknowledged_at_once() {
    run(async {
        let (mut client, mut ours) = pair().await;
        let socket = ours.socket().unwrap().try_clone_to_owned().unwrap();
        acknowledge(socket.as_fd(), Acknowledge::WithTheNext).unwrap();
        // The head of a record with a ClientHello, and of that.
        say(&mut client, &[22, 3, 1, 2, 0, 1, 0, 1, 252]).await;
        let reads =
            spawn_local(async move { flight::read(&mut ours, &mut BytesMut::new(), false).await.map(drop) });
        let seen = async {
            while !rustix::net::sockopt::tcp_quickack(&socket).unwrap() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE.idle, seen).await.unwrap();
        end(&mut client).await;
        assert_eq!(reads.await.unwrap().unwrap_err().why, Refused::Closed);
    });
}
