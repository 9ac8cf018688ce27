//! Clients that ask for TLS in the words of their protocol: PostgreSQL, SMTP.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::{Result, ensure};
use proxy_tests::runner::Fact;
use proxy_tests::world::World;
use proxy_tests::{facts, program};

use super::front::{Front, accept, exactly, hello, listen, metrics, passing, text};
use crate::issuer::{Ca, s_client};

pub(crate) const FACTS: &[Fact] =
    facts![postgres_and_smtp_clients_are_steered_by_the_hello_that_follows, psql_asks_through_starttls,];

fn postgres_and_smtp_clients_are_steered_by_the_hello_that_follows() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let ca = Ca::new(&world.folder().join("certs"), "ca")?;
    ca.issue("own.test", &["own.test"])?;
    let (cert, key) = (ca.path("own.test.crt"), ca.path("own.test.key"));
    let (listener, backend) = listen(&world)?;
    let config = |how: &str| {
        let listen = format!("protocol = \"tls\"\nstarttls = \"{how}\"");
        format!(
            "[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n\n{}\n[[route]]\nlistener = \"front\"\nhost = \"own.test\"\n\
             tls = \"files\"\npool = \"raw\"\n",
            passing(backend).replace("protocol = \"tls\"", &listen)
        )
    };
    let front = Front::start(&world, &config("postgres"))?;
    let request = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];
    let gss = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x30];
    // Passed through: the backend is asked as the client has asked.
    let mut client = front.connect()?;
    client.write_all(&gss)?;
    ensure!(exactly(&mut client, 1)? == b"N", "GSS");
    client.write_all(&request)?;
    ensure!(exactly(&mut client, 1)? == b"S", "SSL");
    client.write_all(&hello())?;
    let mut server = accept(&listener)?;
    ensure!(exactly(&mut server, 8)? == request, "the backend is not asked");
    server.write_all(b"S")?;
    ensure!(exactly(&mut server, hello().len())? == hello(), "the hello");
    // Who wants no TLS is told so in its own words.
    let mut plain = front.connect()?;
    plain.write_all(&[0, 0, 0, 8, 0, 3, 0, 0])?;
    let mut said = Vec::new();
    plain.read_to_end(&mut said)?;
    ensure!(said.starts_with(b"E\0\0\0\x4cSFATAL\0") && said.len() == 0x4d, "{said:?}");
    // Decrypted here, and relayed as it is.
    let root = ca.path("ca.pem");
    let echo = thread::spawn(move || -> Result<TcpListener> {
        let mut server = accept(&listener)?;
        let mut heard = exactly(&mut server, 4)?;
        heard.reverse();
        server.write_all(&heard)?;
        Ok(listener)
    });
    let words =
        ["-CAfile", &root, "-verify_return_error", "-servername", "own.test", "-starttls", "postgres"];
    let said = s_client(world.client(), front.service, &words, "abcd")?;
    ensure!(said.contains("dcba") && said.contains("Verify return code: 0"), "{said}");
    let listener = echo.join().map_err(|_| anyhow::anyhow!("the backend panics"))??;
    ensure!(front.refused("starttls")? == 1, "{}", metrics(&front.daemon)?);

    front.daemon.write_config(&text(&world, &config("smtp")))?;
    front.daemon.cli(&["reload"])?;
    let backend = thread::spawn(move || -> Result<TcpListener> {
        let mut server = accept(&listener)?;
        server.write_all(b"220-a\r\n220 b\r\n")?;
        ensure!(exactly(&mut server, 16)? == b"EHLO proxy-now\r\n", "EHLO");
        server.write_all(b"250-a\r\n250 STARTTLS\r\n")?;
        ensure!(exactly(&mut server, 10)? == b"STARTTLS\r\n", "STARTTLS");
        server.write_all(b"220 go\r\n")?;
        ensure!(exactly(&mut server, hello().len())? == hello(), "the hello");
        Ok(listener)
    });
    let mut client = front.connect()?;
    ensure!(exactly(&mut client, 21)?.starts_with(b"220 "), "a greeting");
    client.write_all(b"MAIL FROM:<a@a.test>\r\n")?;
    ensure!(exactly(&mut client, 41)?.starts_with(b"530 "), "STARTTLS first");
    client.write_all(b"ehlo me\r\n")?;
    ensure!(exactly(&mut client, 29)?.ends_with(b"250 STARTTLS\r\n"), "EHLO");
    client.write_all(b"STARTTLS\r\n")?;
    ensure!(exactly(&mut client, 24)?.starts_with(b"220 "), "ready");
    client.write_all(&hello())?;
    backend.join().map_err(|_| anyhow::anyhow!("the backend panics"))??;
    Ok(())
}

/// A message of PostgreSQL ("Message Formats"): its type, its length, what it says.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
}

/// One who speaks as much of PostgreSQL as a client needs that asks one question.
fn postgres(mut stream: TcpStream) -> Result<()> {
    let length = exactly(&mut stream, 4)?;
    let length = u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let startup = exactly(&mut stream, length - 4)?;
    ensure!(startup[..4] == [0, 3, 0, 0], "no StartupMessage: {startup:?}");
    let ready = message(b'Z', b"I");
    stream.write_all(&[message(b'R', &[0; 4]), ready.clone()].concat())?;
    loop {
        let head = exactly(&mut stream, 5)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let body = exactly(&mut stream, length - 4)?;
        if head[0] == b'X' {
            return Ok(());
        }
        ensure!(head[0] == b'Q', "{} is no question: {body:?}", head[0]);
        // One column of text, one row.
        let column =
            [&b"\0\x01answer\0"[..], &[0; 6], &[0, 0, 0, 25, 0xff, 0xff], &[0xff; 4], &[0, 0]].concat();
        let row = [&[0, 1][..], &(body.len() as u32 - 1).to_be_bytes(), &body[..body.len() - 1]].concat();
        let answer =
            [message(b'T', &column), message(b'D', &row), message(b'C', b"SELECT 1\0"), ready.clone()];
        stream.write_all(&answer.concat())?;
    }
}

fn psql_asks_through_starttls() -> Result<()> {
    let world = World::routed().backends(1).build()?;
    let ca = Ca::new(&world.folder().join("certs"), "ca")?;
    ca.issue("own.test", &["own.test"])?;
    let (cert, key) = (ca.path("own.test.crt"), ca.path("own.test.key"));
    let (listener, backend) = listen(&world)?;
    let front = Front::start(
        &world,
        &format!(
            "[[tls.certificate]]\ncert = {cert:?}\nkey = {key:?}\n\n@FRONT@\nprotocol = \"tls\"\n\
             starttls = \"postgres\"\n\n[[route]]\nlistener = \"front\"\nhost = \"own.test\"\ntls = \"files\"\n\
             pool = \"raw\"\n\n[pool.raw]\nbackends = [\"{backend}\"]\n"
        ),
    )?;
    let server = thread::spawn(move || postgres(accept(&listener)?));
    let (ip, port, root) = (front.service.ip(), front.service.port(), ca.path("ca.pem"));
    let target = format!(
        "host=own.test hostaddr={ip} port={port} user=u dbname=d sslmode=verify-full sslrootcert={root} connect_timeout=30"
    );
    let words = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", "select 'what'", &target];
    let said = program::succeed(world.client(), &mut program::command(&words))?;
    ensure!(said.trim() == "select 'what'", "{said}");
    server.join().map_err(|_| anyhow::anyhow!("the server panics"))??;
    // Without TLS it is told why not.
    let plain = target.replace("verify-full", "disable");
    let words = ["psql", "--no-psqlrc", "--command", "select 1", &plain];
    let output = program::run(world.client(), &mut program::command(&words))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(said.contains("connections here are by TLS: use sslmode=require"), "{said}");
    Ok(())
}
