//! `proxy-now explain`: what becomes of a packet or of a request, and why.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value as Json;

use super::context::Context;
use super::daemon::{refused, try_ask};
use super::outcome::{Failure, Outcome};
use super::output::{Output, Style};
use super::{explain_hello, explain_request};
use crate::admin::ClientError;
use crate::l4::{Tuple, TupleError, View};
use crate::route::{HelloQuestion, Question};

/// Options of `explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// A request's URL, such as https://app.example.com/path; or a packet: PROTOCOL SOURCE DESTINATION, such as
    /// tcp 192.0.2.7:40000 203.0.113.10:80
    #[arg(required_unless_present_any = ["sni", "client_hello"], num_args = 1..=4, value_name = "URL|TUPLE")]
    what: Vec<String>,
    /// A connection instead: the host that its ClientHello names; '' for none
    #[arg(long, value_name = "NAME", conflicts_with = "what")]
    sni: Option<String>,
    /// A connection instead: the first ClientHello of a capture (pcap, pcapng)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["what", "sni"])]
    client_hello: Option<PathBuf>,
    /// With --sni: protocols that it offers, such as h2,http/1.1
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "sni")]
    alpn: Vec<String>,
    /// With --sni: the highest version of TLS that it speaks [default: 1.3]
    #[arg(long, value_name = "VERSION", value_parser = tls_version, requires = "sni")]
    tls: Option<u16>,
    /// With --sni: its fingerprint
    #[arg(long, value_name = "JA4", requires = "sni")]
    ja4: Option<String>,
    /// The request's method [default: GET]
    #[arg(long)]
    method: Option<String>,
    /// A field of the request, such as 'accept: text/html'; may be given several times
    #[arg(long = "header", short = 'H', value_name = "FIELD")]
    headers: Vec<String>,
    /// The client's address [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    client: Option<IpAddr>,
    /// The http listener [default: the one bound to the URL's port, or the only one]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
}

/// There is nothing to ask.
#[derive(Debug, thiserror::Error)]
#[error("no daemon runs and nothing is pinned under {}: start it with `proxy-now run`", .0.display())]
struct NothingThere(std::path::PathBuf);

/// Options of a request beside a packet.
#[derive(Debug, thiserror::Error)]
#[error("--method, --header, --client and --listener belong to a URL, and this is a packet")]
struct NoRequest;

impl Explain {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let Self { what, sni, client_hello, alpn, tls, ja4, method, headers, client, listener } = self;
        let hello = match (client_hello, sni) {
            (Some(path), _) => Some(explain_hello::read(&path)?),
            (None, Some(name)) => {
                let sni = Some(name).filter(|name| !name.is_empty());
                Some(HelloQuestion { sni, alpn, version: tls, ja4, ..HelloQuestion::default() })
            }
            (None, None) => None,
        };
        if let Some(hello) = hello {
            return explain_hello::run(context, &HelloQuestion { client, listener, ..hello });
        }
        match &what[..] {
            [url] if url.contains("://") => {
                let url = url.clone();
                explain_request::run(context, &Question { url, method, headers, client, listener })
            }
            _ if method.is_some() || !headers.is_empty() || client.is_some() || listener.is_some() => {
                Err(Failure::Usage(Box::new(NoRequest)))
            }
            _ => packet(context, &what.join(" ")),
        }
    }
}

fn tls_version(text: &str) -> Result<u16, &'static str> {
    match text {
        "1.0" => Ok(0x0301),
        "1.1" => Ok(0x0302),
        "1.2" => Ok(0x0303),
        "1.3" => Ok(0x0304),
        _ => Err("there are 1.0, 1.1, 1.2 and 1.3"),
    }
}

fn packet(context: &Context, tuple: &str) -> Outcome {
    let tuple: Tuple = match tuple.parse() {
        Ok(tuple) => tuple,
        Err(error) => return Err(Failure::Usage(Box::<TupleError>::new(error))),
    };
    let said = match try_ask(context, async |daemon| daemon.explain(&tuple.to_string()).await)? {
        Ok(said) => said,
        // The tables tell it as well.
        Err(ClientError::NoDaemon(_)) => from_pins(context, &tuple)?,
        Err(error) => return Err(refused(context, error)),
    };
    context.output.answer(&said, |output| print(output, &said));
    Ok(())
}
fn from_pins(context: &Context, tuple: &Tuple) -> Result<Json, Failure> {
    let pin_dir = context.pin_dir();
    let view = View::open(&pin_dir)?.ok_or(NothingThere(pin_dir))?;
    let said = view.explain(tuple)?;
    Ok(serde_json::to_value(said)?)
}

fn print(output: &Output, said: &Json) {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let verdict = text(&said["verdict"]);
    let style = match verdict.as_str() {
        "forward" => Style::Good,
        "drop" => Style::Bad,
        _ => Style::Plain,
    };
    let reason = said["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
    output.line(format_args!("{:<10}{}{reason}", "verdict", output.paint(&verdict, style)));
    let backend = &said["backend"];
    let backend = match (&backend["address"], &backend["state"]) {
        (Json::String(address), Json::String(state)) => Json::String(format!("{address} ({state})")),
        _ => Json::Null,
    };
    for (name, value) in [
        ("listener", &said["listener"]),
        ("forward", &said["forward"]),
        ("hash", &said["hash"]),
        ("slot", &said["slot"]),
        ("flow", &said["flow"]["kind"]),
        ("backend", &backend),
        ("leaves by", &said["way"]["interface"]),
    ] {
        if !value.is_null() {
            output.line(format_args!("{name:<10}{}", text(value)));
        }
    }
    output.line("");
    for (step, why) in said["why"].as_array().into_iter().flatten().enumerate() {
        output.line(format_args!("{}. {}", step + 1, text(why)));
    }
}
