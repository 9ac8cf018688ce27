//! `proxy-now trace`: what the kernel programs and the workers decide about connections, by their ClientHellos, as they
//! come.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;

use super::context::Context;
use super::daemon::ask;
use super::outcome::Outcome;
use crate::admin::trace::{TraceRequest, TracedHello};
use crate::config::parse_duration;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Options of `trace`.
#[derive(Debug, Args)]
pub(super) struct Trace {
    /// Only clients that name this host
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// End after so many decisions
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<usize>,
    /// End after so long: 30s, 5m
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration)]
    lasts: Option<Duration>,
}

impl Trace {
    /// Looks on until it has seen enough.
    pub(super) fn run(self, context: &Context) -> Outcome {
        let wanted = TraceRequest { sni: self.sni.clone() };
        let (began, mut shown, mut first) = (Instant::now(), 0, true);
        loop {
            let traced = ask(context, async |client| client.trace(&wanted).await)?;
            if std::mem::take(&mut first) && !context.output.is_json() {
                context.output.note("looking on; decisions are shown as they are made");
            }
            for hello in &traced.hellos {
                context.output.answer(hello, |output| output.line(line(hello)));
                shown += 1;
                if self.count.is_some_and(|count| shown >= count) {
                    return Ok(());
                }
            }
            if traced.lost > 0 {
                context.output.note(format_args!("{} more came too fast to be shown", traced.lost));
            }
            if self.lasts.is_some_and(|lasts| began.elapsed() >= lasts) {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

fn line(hello: &TracedHello) -> String {
    let TracedHello { by, listener, client, decision, .. } = hello;
    let mut line = format!("{by:<6}  {listener}  {client}  {decision}");
    let mut say = |word: &str, value: Option<&str>| {
        if let Some(value) = value {
            line.push_str(&format!("  {word}={value}"));
        }
    };
    say("sni", hello.sni.as_deref());
    say("reason", hello.reason.as_deref());
    say("route", hello.route.as_deref());
    say("version", hello.version.as_deref());
    let alpn = hello.alpn.join(",");
    say("alpn", (!alpn.is_empty()).then_some(alpn.as_str()));
    say("fingerprint", hello.fingerprint.as_deref());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_one_line() {
        let hello = TracedHello {
            by: "kernel".into(),
            listener: "tls".into(),
            client: "192.0.2.1:7000".parse().unwrap(),
            sni: Some("bad.test".into()),
            alpn: vec!["h2".into(), "http/1.1".into()],
            version: Some("1.3".into()),
            fingerprint: None,
            decision: "reset".into(),
            reason: None,
            route: Some("no".into()),
        };
        let expected =
            "kernel  tls  192.0.2.1:7000  reset  sni=bad.test  route=no  version=1.3  alpn=h2,http/1.1";
        assert_eq!(line(&hello), expected);
    }
}
