//! Sends a message to a name server, and gets its answer: by UDP, by TCP where that does not do.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// What an answer by UDP may take, each time it is asked.
const UDP_WAIT: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// What an answer by TCP may take in all.
const TCP_WAIT: Duration = Duration::from_secs(5);
/// A datagram is not longer.
const DATAGRAM: usize = 4096;
/// RFC 1035 §4.2.1: longer ones need more than every server has.
const SURE_DATAGRAM: usize = 512;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("name server {server}: {cause}")]
pub(in super::super) struct NoAnswer {
    server: SocketAddr,
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error("no answer")]
    Silent,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("what it answers is not a DNS message for this question")]
    Malformed,
}

/// The answer's bytes (they may be signed) and what they say.
pub(super) async fn exchange(
    server: SocketAddr,
    id: u16,
    message: &[u8],
) -> Result<(Vec<u8>, Message), NoAnswer> {
    let fails = |cause| NoAnswer { server, cause };
    if message.len() <= SURE_DATAGRAM {
        match by_udp(server, id, message).await {
            Ok((_, answer)) if answer.truncation => {}
            Ok(answer) => return Ok(answer),
            // A port unreachable, or nothing: some servers talk TCP alone.
            Err(Cause::Silent | Cause::Io(_)) => {}
            Err(cause) => return Err(fails(cause)),
        }
    }
    match timeout(TCP_WAIT, by_tcp(server, id, message)).await {
        Ok(done) => done.map_err(fails),
        Err(_) => Err(fails(Cause::Silent)),
    }
}

async fn by_udp(server: SocketAddr, id: u16, message: &[u8]) -> Result<(Vec<u8>, Message), Cause> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    for wait in UDP_WAIT {
        socket.send(message).await?;
        if let Ok(answer) = timeout(wait, receive(&socket, id)).await {
            return answer;
        }
    }
    Err(Cause::Silent)
}

/// What is not an answer to this question is passed over: anybody can send datagrams.
async fn receive(socket: &UdpSocket, id: u16) -> Result<(Vec<u8>, Message), Cause> {
    let mut datagram = vec![0; DATAGRAM];
    loop {
        let length = socket.recv(&mut datagram).await?;
        if let Ok(answer) = read(id, datagram[..length].to_vec()) {
            return Ok(answer);
        }
    }
}

async fn by_tcp(server: SocketAddr, id: u16, message: &[u8]) -> Result<(Vec<u8>, Message), Cause> {
    let length = u16::try_from(message.len()).map_err(|_| Cause::Malformed)?;
    let mut stream = TcpStream::connect(server).await?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    read(id, answer)
}

fn read(id: u16, bytes: Vec<u8>) -> Result<(Vec<u8>, Message), Cause> {
    match Message::from_vec(&bytes) {
        Ok(answer) if answer.id == id && answer.message_type == MessageType::Response => Ok((bytes, answer)),
        _ => Err(Cause::Malformed),
    }
}
