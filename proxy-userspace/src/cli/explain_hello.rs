//! `proxy-now explain --sni` and `--client-hello`: where a connection goes, by its ClientHello.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use proxy_common::client_hello::{ClientHello, NoHello, Reassembly, Step};

use super::context::Context;
use super::daemon::{refused, try_ask};
use super::limit::capture::{BadCapture, Capture, Captured};
use super::outcome::{Failure, Outcome};
use super::output::{Output, Style, Table, left, right};
use crate::admin::ClientError;
use crate::route::{HelloExplanation, HelloQuestion, Verdict};
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
    #[error("{0}: no TCP connection of it begins with a whole ClientHello")]
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
    let message = message.ok_or_else(|| NoHelloThere::None(name.clone()))?;
    let hello = ClientHello::read(&message).map_err(|error| NoHelloThere::Hello(name, error))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(HelloQuestion {
        sni: hello.server_name().map(|name| text(name.as_bytes())),
        alpn: hello.alpn().map(text).collect(),
        version: Some(hello.version()),
        ciphers: hello.cipher_suites().without_grease().collect(),
        groups: hello.groups().without_grease().collect(),
        ja4: Some(fingerprint::ja4(&hello, Over::Tcp).into()),
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

fn find(path: &Path) -> Result<Option<Vec<u8>>, BadCapture> {
    let mut capture = Capture::open(BufReader::new(File::open(path)?))?;
    let mut flows: HashMap<Vec<u8>, Flow> = HashMap::new();
    while let Some(packet) = capture.next()? {
        let Some((key, sequence, payload)) = segment(&packet) else { continue };
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
            Step::Done(_) => return Ok(Some(std::mem::take(message))),
            Step::Refused(_) => *over = true,
            Step::NeedMore => {}
        }
    }
    Ok(None)
}

/// A TCP segment that carries something: whose it is, its sequence number, and what it carries.
fn segment(packet: &Captured) -> Option<(Vec<u8>, u32, &[u8])> {
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
    let (addresses, tcp) = match ip.first()? >> 4 {
        4 if ip.get(9) == Some(&6) => {
            let total = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
            let head = usize::from(ip[0] & 15) * 4;
            (ip.get(12..20)?, ip.get(head..total.clamp(head, ip.len()))?)
        }
        6 if ip.get(6) == Some(&6) => {
            let length = usize::from(u16::from_be_bytes([*ip.get(4)?, *ip.get(5)?]));
            (ip.get(8..40)?, ip.get(40..(40 + length).min(ip.len()))?)
        }
        _ => return None,
    };
    let sequence = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
    let payload = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    (!payload.is_empty()).then(|| ([addresses, &tcp[..4]].concat(), sequence, payload))
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
    let mut table =
        Table::new([right(""), left("VERDICT"), left("ROUTE"), right("LINE"), left("HOST"), left("WHY")]);
    for (place, one) in said.considered.iter().enumerate() {
        let verdict = match one.verdict {
            Verdict::Taken => "taken",
            Verdict::Refused => "refused",
            Verdict::Outranked => "outranked",
        };
        table.row([
            (place + 1).to_string(),
            verdict.to_owned(),
            one.route.clone(),
            one.line.to_string(),
            one.pattern.clone(),
            one.why.clone(),
        ]);
    }
    output.line("");
    if !table.is_empty() {
        output.table(&table);
        output.line("");
    }
    if said.elsewhere > 0 {
        output.line(format_args!("{} routes have another listener or host", said.elsewhere));
    }
}
