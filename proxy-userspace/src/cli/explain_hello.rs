//! `proxy-now explain --sni` and `--client-hello`: where a connection goes, by its ClientHello.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use proxy_common::client_hello::{ClientHello, NoHello, Reassembly, Step};

use super::considered;
use super::context::Context;
use super::daemon::{refused, try_ask};
use super::limit::capture::{BadCapture, Capture, Captured};
use super::outcome::{Failure, Outcome};
use super::output::{Output, Style};
use crate::admin::ClientError;
use crate::net::quic;
use crate::route::{HelloExplanation, HelloQuestion};
use crate::tls::fingerprint::{self, Over};

/// Connections of a capture that are looked into.
const MOST_FLOWS: usize = 4096;

/// Why a capture has no ClientHello.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHelloThere {
    /// It cannot be read.
    #[error("{0}: {1}")]
    Capture(String, BadCapture),
    /// There is none in it.
    #[error("{0}: no TCP connection and no flow of QUIC of it begins with a whole ClientHello")]
    None(String),
    /// It is none.
    #[error("{0}: {1}")]
    Hello(String, NoHello),
}

/// Asks the daemon; without one, the configuration on disk.
pub(super) fn run(context: &Context, question: &HelloQuestion) -> Outcome {
    let said = match try_ask(context, async |daemon| daemon.explain_hello(question).await)? {
        Ok(said) => said,
        Err(ClientError::NoDaemon(_)) => {
            let config = context.load_config()?;
            let path = context.config_path();
            context.output.note(format_args!("no daemon answers: explained by {}", path.display()));
            question.explain(&config)?
        }
        Err(error) => return Err(refused(context, error)),
    };
    context.output.answer(&said, |output| print(output, question, &said));
    Ok(())
}

/// What the first ClientHello of a capture says.
pub(super) fn read(path: &Path) -> Result<HelloQuestion, Failure> {
    let name = path.display().to_string();
    let message = find(path).map_err(|error| NoHelloThere::Capture(name.clone(), error))?;
    let (message, over) = message.ok_or_else(|| NoHelloThere::None(name.clone()))?;
    let hello = ClientHello::read(&message).map_err(|error| NoHelloThere::Hello(name, error))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(HelloQuestion {
        sni: hello.server_name().map(|name| text(name.as_bytes())),
        alpn: hello.alpn().map(text).collect(),
        version: Some(hello.version()),
        ciphers: hello.cipher_suites().without_grease().collect(),
        groups: hello.groups().without_grease().collect(),
        ja4: Some(fingerprint::ja4(&hello, over).into()),
        ..HelloQuestion::default()
    })
}

/// One way of a connection, as far as it came in order.
struct Flow {
    next: u32,
    reassembly: Reassembly,
    message: Vec<u8>,
    over: bool,
}

fn find(path: &Path) -> Result<Option<(Vec<u8>, Over)>, BadCapture> {
    let mut capture = Capture::open(BufReader::new(File::open(path)?))?;
    let mut flows: HashMap<Vec<u8>, Flow> = HashMap::new();
    let mut datagrams: HashMap<Vec<u8>, quic::Flight> = HashMap::new();
    while let Some(packet) = capture.next()? {
        let Some((key, piece)) = piece(&packet) else { continue };
        let (sequence, payload) = match piece {
            Piece::Segment(sequence, payload) => (sequence, payload),
            Piece::Datagram(payload) => {
                if let Some(message) = by_datagram(&mut datagrams, key, payload) {
                    return Ok(Some((message, Over::Quic)));
                }
                continue;
            }
        };
        if flows.len() >= MOST_FLOWS && !flows.contains_key(&key) {
            continue;
        }
        let new =
            || Flow { next: sequence, reassembly: Reassembly::default(), message: Vec::new(), over: false };
        let flow = flows.entry(key).or_insert_with(new);
        // What came again, or too early, is left out.
        if flow.over || sequence != flow.next {
            continue;
        }
        flow.next = sequence.wrapping_add(payload.len() as u32);
        let Flow { reassembly, message, over, .. } = flow;
        match reassembly.push(payload, |some| message.extend_from_slice(some)) {
            Step::Done(_) => return Ok(Some((std::mem::take(message), Over::Tcp))),
            Step::Refused(_) => *over = true,
            Step::NeedMore => {}
        }
    }
    Ok(None)
}

/// The ClientHello of a flow of QUIC, if it is complete with this datagram. What is none yet is forgotten: a capture may begin
/// anywhere.
fn by_datagram(flows: &mut HashMap<Vec<u8>, quic::Flight>, key: Vec<u8>, datagram: &[u8]) -> Option<Vec<u8>> {
    let mut flight = flows.remove(&key).unwrap_or_default();
    match flight.push(datagram) {
        quic::Step::Done => flight.message().map(<[u8]>::to_vec),
        quic::Step::NeedMore if flows.len() < MOST_FLOWS => {
            flows.insert(key, flight);
            None
        }
        quic::Step::NeedMore | quic::Step::Refused(_) => None,
    }
}

/// What a packet carries of a connection.
enum Piece<'a> {
    /// Of TCP: its sequence number, and bytes.
    Segment(u32, &'a [u8]),
    /// Of UDP.
    Datagram(&'a [u8]),
}

/// A TCP segment or a datagram that carries something: whose it is, and what it carries.
fn piece(packet: &Captured) -> Option<(Vec<u8>, Piece<'_>)> {
    let bytes = &packet.bytes[..];
    // <https://www.tcpdump.org/linktypes.html>: Ethernet, raw IP, Linux cooked 1 and 2.
    let ip = match packet.link {
        1 => {
            let mut at = 12;
            while matches!(bytes.get(at..at + 2)?, [0x81, 0] | [0x88, 0xa8]) {
                at += 4;
            }
            bytes.get(at + 2..)?
        }
        101 | 12 => bytes,
        113 => bytes.get(16..)?,
        276 => bytes.get(20..)?,
        _ => return None,
    };
    let (addresses, protocol, of) = match ip.first()? >> 4 {
        4 => {
            let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
            let head = usize::from(ip[0] & 15) * 4;
            (ip.get(12..20)?, ip[9], ip.get(head..total.clamp(head, ip.len()))?)
        }
        6 => {
            let length = usize::from(u16::from_be_bytes([*ip.get(4)?, *ip.get(5)?]));
            (ip.get(8..40)?, ip[6], ip.get(40..(40 + length).min(ip.len()))?)
        }
        _ => return None,
    };
    let whose = [addresses, of.get(..4)?].concat();
    match protocol {
        6 => {
            let sequence = u32::from_be_bytes(of.get(4..8)?.try_into().ok()?);
            let payload = of.get(usize::from(of.get(12)? >> 4) * 4..)?;
            (!payload.is_empty()).then_some((whose, Piece::Segment(sequence, payload)))
        }
        17 => Some((whose, Piece::Datagram(of.get(8..)?))),
        _ => None,
    }
}

fn print(output: &Output, question: &HelloQuestion, said: &HelloExplanation) {
    let line = |name: &str, value: &str| output.line(format_args!("{name:<11}{value}"));
    let style = match said.decision.as_str() {
        "refuse" => Style::Bad,
        _ => Style::Good,
    };
    line("decision", &output.paint(&said.decision, style));
    line("route", said.route.as_deref().unwrap_or("none"));
    line("action", &said.action);
    line("listener", &said.listener);
    line("sni", if said.sni.is_empty() { "(none)" } else { &said.sni });
    if !question.alpn.is_empty() {
        line("alpn", &question.alpn.join(", "));
    }
    if let Some(ja4) = &question.ja4 {
        line("ja4", ja4);
    }
    considered::print(output, "HOST", &said.considered);
    if said.elsewhere > 0 {
        output.line(format_args!("{} routes have another listener or host", said.elsewhere));
    }
}

#[cfg(test)]
mod tests {
    use proxy_tests::hello::Hello;

    use super::*;
    use crate::net::quic::testing::clients;

    /// A capture of raw IP packets with these datagrams of one client (`pcap(5)`).
    fn capture(datagrams: &[Vec<u8>]) -> Vec<u8> {
        let mut file = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101].map(u32::to_le_bytes).concat();
        for datagram in datagrams {
            let udp =
                [&[0x9c, 0x40, 1, 0xbb], &(8 + datagram.len() as u16).to_be_bytes()[..], &[0, 0]].concat();
            let total = (28 + datagram.len() as u16).to_be_bytes();
            let ip =
                [&[0x45, 0][..], &total, &[0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 9, 192, 0, 2, 1]].concat();
            let bytes = (28 + datagram.len() as u32).to_le_bytes();
            file.extend([&[0; 8][..], &bytes, &bytes, &ip, &udp, datagram].concat());
        }
        file
    }

    #[test]
    fn the_first_clienthello_of_a_capture_may_be_by_quic() {
        let message = Hello::asking_for("h3.test").after(0xfe77, vec![7; 1500]).message();
        for client in clients() {
            let mut datagrams = client.datagrams(&message);
            // What is in the middle of something else comes first, and pieces in another order.
            datagrams.reverse();
            datagrams.insert(0, vec![0x40; 100]);
            let path =
                std::env::temp_dir().join(format!("pn-{}-{}.pcap", client.version, std::process::id()));
            std::fs::write(&path, capture(&datagrams)).unwrap();
            let question = read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            assert_eq!(question.sni.as_deref(), Some("h3.test"));
            assert!(question.ja4.is_some_and(|ja4| ja4.starts_with('q')));
        }
    }
}
