//! The daemon is killed while connections leave: each goes on to its end, or both of its ends hear that it is over.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use proxy_tests::runner::figure;
use proxy_tests::world::{Family, World};

use super::front::exactly;
use super::spliced::Spliced;

/// Connections that leave at once.
const MANY: usize = 100;
/// The daemon is killed so long after the first of them may leave.
const MOMENTS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(2), Duration::from_millis(8), Duration::from_millis(30)];
/// An end that says nothing says something after so long: nobody can tell it otherwise that the connection is over.
const SILENT: Duration = Duration::from_secs(3);

/// What became of a connection, as one end has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Became {
    /// It goes on.
    Lives,
    /// It was closed or reset.
    Over,
}

/// Whether an error says that the connection is over.
fn is_over(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// Answers, then with what it hears: until the connection is over, or four questions were answered.
fn answers(mut server: TcpStream, begin: &Barrier) -> Result<Became> {
    begin.wait();
    server.set_read_timeout(Some(SILENT))?;
    let (mut answered, mut asked) = (0, [0; 8]);
    if server.write_all(b"heard").is_err() {
        return Ok(Became::Over);
    }
    loop {
        match server.read_exact(&mut asked) {
            Ok(()) => match server.write_all(&asked) {
                Ok(()) if answered == 3 => return Ok(Became::Lives),
                Ok(()) => answered += 1,
                Err(error) if is_over(error.kind()) => return Ok(Became::Over),
                Err(error) => return Err(error.into()),
            },
            Err(error) if is_over(error.kind()) || error.kind() == ErrorKind::UnexpectedEof => {
                return Ok(Became::Over);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if server.write_all(b"\0").is_err() {
                    return Ok(Became::Over);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Asks four times.
fn asks(mut client: TcpStream) -> Result<Became> {
    let mut heard = [0; 5];
    let over = |error: std::io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => Ok(Became::Over),
        kind if is_over(kind) => Ok(Became::Over),
        _ => Err(error),
    };
    client.set_read_timeout(Some(2 * SILENT))?;
    for number in 0..5u64 {
        let result = if number == 0 {
            client.read_exact(&mut heard)
        } else {
            let mut answer = [0; 8];
            client.write_all(&number.to_ne_bytes()).and_then(|()| client.read_exact(&mut answer)).map(|()| {
                assert_eq!(answer, number.to_ne_bytes(), "bytes changed on their way");
            })
        };
        if let Err(error) = result {
            return Ok(over(error)?);
        }
    }
    Ok(Became::Lives)
}

pub(super) fn whoever_kills_the_daemon_while_connections_leave_lets_none_hang() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let mut spliced = Spliced::start(&world, Family::V4, "")?;
    for moment in MOMENTS {
        let pairs = (0..MANY).map(|_| spliced.pair(443)).collect::<Result<Vec<_>>>()?;
        let begin = Barrier::new(MANY + 1);
        let became = thread::scope(|scope| -> Result<Vec<_>> {
            let begin = &begin;
            let both = pairs.into_iter().map(|(client, server)| {
                (scope.spawn(move || asks(client)), scope.spawn(move || answers(server, begin)))
            });
            let both: Vec<_> = both.collect();
            begin.wait();
            thread::sleep(moment);
            spliced.daemon.kill()?;
            both.into_iter()
                .map(|(client, server)| {
                    let join =
                        |it: thread::ScopedJoinHandle<'_, Result<Became>>| it.join().expect("no panic");
                    Ok((join(client)?, join(server)?))
                })
                .collect()
        })?;
        let lives = became.iter().filter(|both| **both == (Became::Lives, Became::Lives)).count();
        let over = became.iter().filter(|both| both.0 == Became::Over).count();
        figure(&format!("killed after {moment:?}: {lives} of {MANY} go on, {over} are over"));
        ensure!(lives + over == MANY, "{became:?}");
        spliced.daemon.run()?;
        // Those that come later find nothing of it in their way.
        let (mut client, mut server) = spliced.left()?;
        client.write_all(b"again")?;
        if exactly(&mut server, 5)? != b"again" {
            bail!("bytes changed on their way");
        }
    }
    Ok(())
}
