//! A client and a server. The client names a host, is answered, and says what it wants: as with TLS, there is a pause
//! between the first flight and what follows. What is measured of bytes begins after it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_tests::hello::Hello;

/// Bytes of a download or upload.
pub(super) const BYTES: u64 = 1 << 30;
/// Connections that share them.
pub(super) const STREAMS: usize = 4;
/// New connections of a round.
pub(super) const CONNECTIONS: usize = 4_000;
/// Clients that open them, each one after another: a proxy that has enough to do does not wait for every packet.
const CLIENTS: usize = 16;
/// What a piece of a stream is.
const PIECE: usize = 256 << 10;

/// What the server does when it is told so.
pub(super) const SEND: u8 = b'd';
pub(super) const TAKE: u8 = b'u';
/// Nothing: the client ends when it was answered.
pub(super) const ANSWER: u8 = b'c';

/// After its answer a client is silent for so long, as one is that works on a handshake.
const THINKS: Duration = Duration::from_millis(100);

/// Connections for a round of bytes, whose ClientHellos have been answered.
pub(super) fn ready(what: u8, connect: &(dyn Fn() -> Result<TcpStream> + Sync)) -> Result<Vec<TcpStream>> {
    if what == ANSWER {
        return Ok(Vec::new());
    }
    let streams = (0..STREAMS).map(|_| answered(connect()?)).collect();
    thread::sleep(THINKS);
    streams
}

/// One round of a case.
pub(super) fn run(
    what: u8,
    ready: Vec<TcpStream>,
    connect: &(dyn Fn() -> Result<TcpStream> + Sync),
) -> Result<()> {
    let many = || (0..CONNECTIONS / CLIENTS).try_for_each(|_| answered(connect()?).map(drop));
    thread::scope(|scope| {
        let clients: Vec<_> = if what == ANSWER {
            (0..CLIENTS).map(|_| scope.spawn(many)).collect()
        } else {
            ready.into_iter().map(|it| scope.spawn(move || stream(it, what))).collect()
        };
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        Ok(())
    })
}

fn stream(mut stream: TcpStream, what: u8) -> Result<()> {
    stream.write_all(&[what])?;
    let mut piece = vec![7; PIECE];
    if what == SEND {
        let mut left = BYTES / STREAMS as u64;
        while left > 0 {
            let count = stream.read(&mut piece)?;
            ensure!(count > 0, "{left} bytes are missing");
            left = left.checked_sub(count as u64).context("more than was sent")?;
        }
        return Ok(());
    }
    for _ in 0..BYTES / STREAMS as u64 / PIECE as u64 {
        stream.write_all(&piece)?;
    }
    stream.shutdown(Shutdown::Write)?;
    // The end comes back when all has arrived.
    ensure!(stream.read(&mut [0])? == 0, "no end");
    Ok(())
}

/// A connection whose ClientHello has been answered.
pub(super) fn answered(mut stream: TcpStream) -> Result<TcpStream> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(&Hello::asking_for("a.test").record())?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(stream)
}

/// The server: a thread for each connection.
pub(super) fn serve(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut first = vec![0; Hello::asking_for("a.test").record().len()];
    stream.read_exact(&mut first)?;
    stream.write_all(b"!")?;
    let mut what = [0];
    if stream.read(&mut what)? == 0 {
        return Ok(());
    }
    let mut piece = vec![7; PIECE];
    if what == [TAKE] {
        while stream.read(&mut piece)? > 0 {}
        return Ok(());
    }
    for _ in 0..BYTES / STREAMS as u64 / PIECE as u64 {
        stream.write_all(&piece)?;
    }
    Ok(())
}
