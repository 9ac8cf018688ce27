//! Both ends of a connection by TLS, over real sockets.

use std::future::poll_fn;
use std::io::IoSlice;

use super::super::testing::{TestCa, client_end, server_end, shake};
use super::*;
use crate::net::epoll::{Epoll, EpollListener, EpollStream};
use crate::net::stream::{Driver, Target};

/// A stream whose writes are counted.
#[derive(Debug)]
struct Counted {
    inner: EpollStream,
    writes: usize,
}

impl Stream for Counted {
    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_readable(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        self.inner.poll_read(context, into)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.writes += 1;
        self.inner.poll_write(context, from)
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush(context)
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_shutdown(context)
    }

    fn is_quiet(&mut self) -> bool {
        self.inner.is_quiet()
    }
}

type Tls = TlsStream<Counted>;

/// A client and a server that have shaken hands.
async fn pair() -> (Tls, Tls) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(socket.local_addr().unwrap());
    let listener = EpollListener::tcp(socket).unwrap();
    let client = Epoll.connect(&target).await.unwrap();
    let (server, _) = Epoll.accept(&listener).await.unwrap();
    let ca = TestCa::new();
    let mut client = client_end(Counted { inner: client, writes: 0 }, ca.client(), "a.test");
    let mut server = server_end(Counted { inner: server, writes: 0 }, ca.server(&["a.test"]));
    shake(&mut client, &mut server).await;
    (client, server)
}

async fn read(stream: &mut Tls) -> io::Result<BytesMut> {
    let mut into = BytesMut::with_capacity(20_000);
    poll_fn(|context| stream.poll_read(context, &mut into)).await?;
    Ok(into)
}

async fn write(stream: &mut Tls, parts: &[&[u8]]) -> usize {
    let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
    poll_fn(|context| stream.poll_write(context, &slices)).await.unwrap()
}

#[tokio::test]
async fn a_head_and_a_body_go_in_one_write_and_the_tickets_with_them() {
    let (mut client, mut server) = pair().await;
    let before = server.inner.writes;
    assert!(server.tls.wants_write(), "tickets wait");
    let body = vec![b'x'; 64 << 10];
    assert_eq!(write(&mut server, &[b"head", &body]).await, 4 + (64 << 10));
    assert_eq!(server.inner.writes, before + 1);
    assert!(!server.tls.wants_write());
    let mut got = BytesMut::new();
    while got.len() < 4 + (64 << 10) {
        got.unsplit(read(&mut client).await.unwrap());
    }
    assert_eq!(&got[..5], b"headx");
}

#[tokio::test]
async fn tickets_go_by_themselves_when_there_is_nothing_to_say() {
    let (mut client, mut server) = pair().await;
    let reads = tokio::time::timeout(std::time::Duration::from_millis(1), read(&mut server));
    assert!(reads.await.is_err());
    assert!(!server.tls.wants_write());
    // They are no reason to leave a connection that waits for its next use.
    poll_fn(|context| client.inner.poll_readable(context)).await.unwrap();
    assert!(client.is_quiet());
    write(&mut server, &[b"late"]).await;
    poll_fn(|context| client.inner.poll_readable(context)).await.unwrap();
    assert!(!client.is_quiet());
    assert_eq!(&read(&mut client).await.unwrap()[..], b"late");
}

#[tokio::test]
async fn a_connection_holds_no_buffer_while_it_waits() {
    let (mut client, mut server) = pair().await;
    write(&mut client, &[b"ping"]).await;
    assert_eq!(&read(&mut server).await.unwrap()[..], b"ping");
    let mut into = BytesMut::with_capacity(10);
    let waits = poll_fn(|context| Poll::Ready(server.poll_read(context, &mut into).is_pending())).await;
    assert!(waits);
    assert_eq!(server.raw.capacity(), 0);
}

#[tokio::test]
async fn an_end_in_good_order_is_told_from_a_cut() {
    let (mut client, mut server) = pair().await;
    write(&mut server, &[b"all"]).await;
    poll_fn(|context| server.poll_farewell(context)).await.unwrap();
    assert_eq!(&read(&mut client).await.unwrap()[..], b"all");
    assert_eq!(read(&mut client).await.unwrap().len(), 0);
    assert_eq!(read(&mut client).await.unwrap().len(), 0);
    // Our side is still open (RFC 8446 §6.1).
    write(&mut client, &[b"more"]).await;
    assert_eq!(&read(&mut server).await.unwrap()[..], b"more");
    drop(client);
    let error = read(&mut server).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert!(!server.is_quiet());
}

#[tokio::test]
async fn a_peer_that_takes_nothing_costs_a_bounded_buffer() {
    let (mut client, mut server) = pair().await;
    let piece = vec![7; 100_000];
    let mut written = 0;
    poll_fn(|context| {
        while let Poll::Ready(count) = server.poll_write(context, &[IoSlice::new(&piece)]) {
            written += count.unwrap();
        }
        Poll::Ready(())
    })
    .await;
    assert!(server.full);
    // Nothing more is taken while some of it waits.
    let mut context = Context::from_waker(Waker::noop());
    assert!(server.poll_write(&mut context, &[IoSlice::new(b"more")]).is_pending());
    // All of it comes, when it is taken.
    let mut got = 0;
    while got < written {
        poll_fn(|context| {
            let _ = server.poll_flush(context);
            Poll::Ready(())
        })
        .await;
        got += read(&mut client).await.unwrap().len();
    }
    assert_eq!(got, written);
}

#[tokio::test]
async fn what_is_no_tls_ends_the_connection_with_an_alert() {
    let (mut client, mut server) = pair().await;
    poll_fn(|context| client.inner.poll_write(context, &[IoSlice::new(b"GET / HTTP/1.1\r\n\r\n")]))
        .await
        .unwrap();
    let error = read(&mut server).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let error = read(&mut client).await.unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

#[tokio::test]
async fn a_connection_goes_on_with_its_socket_in_other_hands() {
    let (client, mut server) = pair().await;
    let mut client = client.try_map(|counted| Ok(counted.inner)).unwrap();
    poll_fn(|context| client.poll_write(context, &[IoSlice::new(b"lent")])).await.unwrap();
    assert_eq!(&read(&mut server).await.unwrap()[..], b"lent");
}
