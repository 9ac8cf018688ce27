//! `proxy-now limit try`: what a limit would have refused of the packets of a capture, by its own times.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use proxy_common::cell::Cell64;
use proxy_common::gcra::{Charged, Gcra, fractions};
use serde::Serialize;

use super::capture::{BadCapture, Capture};
use super::frame::{Frame, frame};
use super::set::{BadAmount, amounts};
use crate::cli::context::Context;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Table, left, right};
use crate::config::{
    Amount, Config, LimitConfig, Measure, Measures, Per, Protocol, WebBind, amount_text, nearest_name,
    parse_amount,
};
use crate::limit::{gcra, masked};

/// The clock that is gone by: ticks a second, and the first one, far from the state of an unused key.
const HZ: u32 = 1000;
const FIRST_TICK: u64 = 1 << 32;
/// Keys and flows that are remembered at most.
const MOST: usize = 1 << 20;
/// A SYN or first datagram of a flow that was seen within this is no new one, in nanoseconds.
const SAME_FLOW: u64 = 60_000_000_000;
/// Keys that are shown.
const SHOWN: usize = 10;

/// Options of `limit try`.
#[derive(Debug, Args)]
pub(super) struct Try {
    /// The limit's name, as the configuration has it
    name: String,
    /// Captured packets: pcap or pcapng
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Try this instead of what the configuration says: connections=500/s burst=100
    #[arg(value_name = "MEASURE=AMOUNT")]
    amounts: Vec<String>,
}

/// Why a limit cannot be tried.
#[derive(Debug, thiserror::Error)]
enum NotTried {
    #[error("there is no limit {name:?}{near}")]
    NoSuchLimit { name: String, near: String },
    #[error(
        "limit {0:?} counts per {1:?}, and packets do not tell that: it can be tried per ip, subnet/N or listener"
    )]
    Per(String, String),
    #[error("limit {0:?} counts nothing that packets tell: packets, bytes or connections")]
    Nothing(String),
    #[error("{0}")]
    Amount(String),
    #[error("{}: {error}", .path.display())]
    Capture { path: PathBuf, error: BadCapture },
}

/// What would have come of it.
#[derive(Debug, Default, Serialize)]
struct Tried {
    /// Packets of the capture.
    packets: u64,
    /// Those to listeners of the limit, from clients that are not exempt.
    counted: u64,
    /// Those that the capture says no time of: nothing can be tried on them.
    timeless: u64,
    /// From the first packet to the last, in seconds.
    seconds: f64,
    /// Keys that could not be remembered: more than a million.
    forgotten: u64,
    measures: Vec<TriedMeasure>,
}

#[derive(Debug, Serialize)]
struct TriedMeasure {
    measure: String,
    amount: String,
    passed: u64,
    refused: u64,
    keys: usize,
    /// Those with the most refused first.
    worst: Vec<TriedKey>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct TriedKey {
    key: String,
    passed: u64,
    refused: u64,
    /// When the first was refused, in seconds since the capture's first packet.
    first_refused: f64,
}

/// A key, so far.
#[derive(Debug, Default)]
struct State {
    state: Cell64,
    passed: u64,
    refused: u64,
    first_refused: u64,
}

/// Whose traffic is counted together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Whose {
    Address(IpAddr),
    Listener(String),
}

impl Try {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let usage = |error: BadAmount| Failure::Usage(Box::new(error));
        let said = amounts(&self.amounts).map_err(usage)?;
        let config = context.load_config()?;
        let mut limit = find(&config, &self.name)?.clone();
        if !said.is_empty() {
            limit.measures = Measures::default();
        }
        for (name, text) in &said {
            let measure =
                Measure::of(name).ok_or_else(|| NotTried::Amount(format!("there is no measure {name:?}")))?;
            let amount = parse_amount(measure, text)
                .map_err(|why| NotTried::Amount(format!("{name} = {text:?}: {why}")))?;
            limit.measures.set(measure, amount);
        }
        let bad = |error| NotTried::Capture { path: self.from.clone(), error };
        let file = File::open(&self.from).map_err(|error| bad(error.into()))?;
        let mut capture = Capture::open(BufReader::new(file)).map_err(bad)?;
        let mut trial = Trial::new(&config, &limit)?;
        while let Some(packet) = capture.next().map_err(bad)? {
            trial.see(packet.time, packet.length, frame(packet.link, &packet.bytes).as_ref());
        }
        let tried = trial.finish();
        context.output.answer(&tried, |output| {
            let Tried { packets, counted, timeless, seconds, .. } = &tried;
            output.line(format_args!(
                "{packets} packets in {seconds:.1} s, {counted} of them to its listeners"
            ));
            if *timeless > 0 {
                output.line(format_args!("{timeless} packets have no time in the capture: not tried"));
            }
            for measure in &tried.measures {
                let TriedMeasure { measure: name, amount, passed, refused, keys, worst } = measure;
                let all = passed + refused;
                output.line(format_args!("{name} {amount}: {refused} of {all} refused, {keys} keys"));
                if worst.is_empty() {
                    continue;
                }
                let columns = [left("KEY"), right("PASSED"), right("REFUSED"), right("FIRST AFTER")];
                let mut table = Table::new(columns);
                for key in worst {
                    let first = format!("{:.3} s", key.first_refused);
                    table.row([key.key.clone(), key.passed.to_string(), key.refused.to_string(), first]);
                }
                output.table(&table);
            }
        });
        Ok(())
    }
}

fn find<'a>(config: &'a Config, name: &str) -> Result<&'a LimitConfig, NotTried> {
    let known: Vec<&str> = config.limits.iter().map(|limit| limit.name.as_str()).collect();
    let found = config.limits.iter().find(|limit| limit.name.as_str() == name);
    found.ok_or_else(|| {
        let near = match nearest_name(name, &known) {
            Some(near) => format!("; did you mean {near:?}?"),
            None if known.is_empty() => "; the configuration has none".to_owned(),
            None => format!("; limits are: {}", known.join(", ")),
        };
        NotTried::NoSuchLimit { name: name.to_owned(), near }
    })
}

/// A limit on its way through a capture.
struct Trial<'a> {
    limit: &'a LimitConfig,
    rates: Vec<(Measure, Amount, Gcra)>,
    /// Listeners by what they are bound to.
    bound: Vec<(Protocol, SocketAddr, String)>,
    flows: HashMap<(Protocol, SocketAddr, SocketAddr), u64>,
    keys: HashMap<(Measure, Whose), State>,
    first: Option<u64>,
    last: u64,
    tried: Tried,
}

impl<'a> Trial<'a> {
    fn new(config: &Config, limit: &'a LimitConfig) -> Result<Self, NotTried> {
        let name = || limit.name.to_string();
        if !matches!(limit.per, Per::Ip | Per::Subnet { .. } | Per::Listener) {
            return Err(NotTried::Per(name(), limit.per.text()));
        }
        let of_packets = [Measure::Packets, Measure::Bytes, Measure::Connections];
        let rates = limit.measures.iter().filter(|(measure, _)| of_packets.contains(measure));
        let rates = rates.filter_map(|(measure, amount)| match amount {
            // Rates are checked when they are read.
            Amount::Rate(rate) => Some((measure, amount, gcra(&rate, HZ).ok()?)),
            Amount::Most(_) => None,
        });
        let rates: Vec<_> = rates.collect();
        if rates.is_empty() {
            return Err(NotTried::Nothing(name()));
        }
        let bound = bound(config, limit);
        let (flows, keys, tried) = (HashMap::new(), HashMap::new(), Tried::default());
        Ok(Self { limit, rates, bound, flows, keys, first: None, last: 0, tried })
    }

    fn see(&mut self, time: Option<u64>, length: u32, frame: Option<&Frame>) {
        self.tried.packets += 1;
        let Some(time) = time else {
            self.tried.timeless += 1;
            return;
        };
        self.first.get_or_insert(time);
        self.last = self.last.max(time);
        let Some(frame) = frame else { return };
        let Some(listener) = self.listener(frame) else { return };
        let client = frame.from.ip();
        if self.limit.exempt.iter().any(|network| network.contains(&client)) {
            return;
        }
        let whose = masked(&self.limit.per, client).map_or(Whose::Listener(listener), Whose::Address);
        self.tried.counted += 1;
        let new = self.is_new(time, frame);
        for at in 0..self.rates.len() {
            let (measure, _, gcra) = self.rates[at];
            match measure {
                Measure::Connections if !new => {}
                Measure::Bytes => self.charge(time, (measure, whose.clone()), &gcra, length),
                _ => self.charge(time, (measure, whose.clone()), &gcra, 1),
            }
        }
    }

    fn charge(&mut self, time: u64, key: (Measure, Whose), gcra: &Gcra, units: u32) {
        if self.keys.len() >= MOST && !self.keys.contains_key(&key) {
            self.tried.forgotten += 1;
            return;
        }
        let key = self.keys.entry(key).or_default();
        let now = fractions(FIRST_TICK + time / (1_000_000_000 / u64::from(HZ)));
        match gcra.charge(&key.state, now, units) {
            Charged::Passed(_) => key.passed += 1,
            Charged::Refused(_) => {
                if key.refused == 0 {
                    key.first_refused = time;
                }
                key.refused += 1;
            }
        }
    }

    /// Whether a packet begins something.
    fn is_new(&mut self, time: u64, frame: &Frame) -> bool {
        if frame.protocol == Protocol::Tcp && !frame.syn {
            return false;
        }
        if self.flows.len() >= MOST {
            self.flows.retain(|_, seen| time.saturating_sub(*seen) < SAME_FLOW);
            if self.flows.len() >= MOST {
                self.flows.clear();
            }
        }
        let before = self.flows.insert((frame.protocol, frame.from, frame.to), time);
        before.is_none_or(|seen| time.saturating_sub(seen) >= SAME_FLOW)
    }

    fn listener(&self, frame: &Frame) -> Option<String> {
        let is = |(protocol, bind, _): &&(Protocol, SocketAddr, String)| {
            let all = bind.ip().is_unspecified() && bind.is_ipv4() == frame.to.is_ipv4();
            *protocol == frame.protocol
                && bind.port() == frame.to.port()
                && (all || bind.ip() == frame.to.ip())
        };
        self.bound.iter().find(is).map(|(_, _, name)| name.clone())
    }

    fn finish(mut self) -> Tried {
        let first = self.first.unwrap_or_default();
        let seconds = |time: u64| time.saturating_sub(first) as f64 / 1e9;
        self.tried.seconds = seconds(self.last);
        for (measure, amount, _) in &self.rates {
            let own: Vec<_> = self.keys.iter().filter(|((of, _), _)| of == measure).collect();
            let mut worst: Vec<_> = own.iter().filter(|(_, state)| state.refused > 0).collect();
            worst.sort_by_key(|(_, state)| std::cmp::Reverse(state.refused));
            let shown = worst.iter().take(SHOWN).map(|((_, whose), state)| TriedKey {
                key: match whose {
                    Whose::Address(address) => address.to_string(),
                    Whose::Listener(name) => name.clone(),
                },
                passed: state.passed,
                refused: state.refused,
                first_refused: seconds(state.first_refused),
            });
            self.tried.measures.push(TriedMeasure {
                measure: measure.name().to_owned(),
                amount: amount_text(*measure, *amount),
                passed: own.iter().map(|(_, state)| state.passed).sum(),
                refused: own.iter().map(|(_, state)| state.refused).sum(),
                keys: own.len(),
                worst: shown.collect(),
            });
        }
        self.tried
    }
}

/// What the listeners of a limit are bound to.
fn bound(config: &Config, limit: &LimitConfig) -> Vec<(Protocol, SocketAddr, String)> {
    let mut bound = Vec::new();
    for listener in &config.listeners {
        let name = &listener.name;
        if limit.listeners.is_empty() || limit.listeners.contains(name) {
            bound.extend(listener.bind.iter().map(|bind| (listener.protocol, *bind, name.to_string())));
        }
    }
    for listener in &config.web_listeners {
        let name = &listener.name;
        if limit.listeners.is_empty() || limit.listeners.contains(name) {
            bound.extend(listener.bind.iter().filter_map(|bind| match bind {
                WebBind::Tcp(address) => Some((Protocol::Tcp, *address, name.to_string())),
                WebBind::Unix(_) => None,
            }));
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::super::capture::tests::pcap;
    use super::super::frame::tests::ipv4;
    use super::*;

    const CONFIG: &str = "[listener.web]\nbind = \"0.0.0.0:80\"\nprotocol = \"http\"\n[[route]]\nrespond = 204\n\
        [limit.a]\nconnections = \"5/s burst 5\"\nexempt = \"192.0.2.99\"\n[limit.b]\nper = \"header.x\"\nrequests = \"5/s\"\n";

    fn tried(packets: &[(u64, Vec<u8>)]) -> Tried {
        let config = crate::config::parse(CONFIG, "proxy.toml").unwrap();
        let file = pcap(101, packets);
        let mut capture = Capture::open(&file[..]).unwrap();
        let mut trial = Trial::new(&config, &config.limits[0]).unwrap();
        while let Some(packet) = capture.next().unwrap() {
            trial.see(packet.time, packet.length, frame(packet.link, &packet.bytes).as_ref());
        }
        trial.finish()
    }

    fn syn(time: u64, from: &str) -> (u64, Vec<u8>) {
        (time, ipv4(Protocol::Tcp, from, "198.51.100.1:80"))
    }

    #[test]
    fn what_would_have_been_refused_is_told_by_the_captures_own_times() {
        // 100 connections at once, 5 more after a second; twenty of an exempt client; one to another port.
        let mut packets: Vec<_> =
            (0..100).map(|n| syn(1_000_000, &format!("192.0.2.9:{}", 1000 + n))).collect();
        packets.extend((0..5).map(|n| syn(2_100_000, &format!("192.0.2.9:{}", 2000 + n))));
        packets.extend((0..20).map(|n| syn(2_100_000, &format!("192.0.2.99:{}", 2000 + n))));
        packets.push((2_100_000, ipv4(Protocol::Tcp, "192.0.2.9:1", "198.51.100.1:81")));
        let tried = tried(&packets);
        assert_eq!((tried.packets, tried.counted), (126, 105));
        let [measure] = &tried.measures[..] else { panic!("{tried:?}") };
        assert_eq!((measure.passed, measure.refused, measure.keys), (10, 95, 1));
        assert_eq!(measure.worst[0].key, "192.0.2.9");
        assert_eq!(measure.worst[0].first_refused, 0.0);
    }

    #[test]
    fn a_syn_that_is_sent_again_is_no_other_connection() {
        let packets: Vec<_> = (0..30).map(|n| syn(1_000_000 * n, "192.0.2.9:4000")).collect();
        let tried = tried(&packets);
        assert_eq!((tried.measures[0].passed, tried.measures[0].refused), (1, 0));
    }

    #[test]
    fn what_packets_do_not_tell_cannot_be_tried() {
        let config = crate::config::parse(CONFIG, "proxy.toml").unwrap();
        assert!(matches!(Trial::new(&config, &config.limits[1]), Err(NotTried::Per(..))));
        assert!(find(&config, "x").unwrap_err().to_string().contains("limits are: a, b"));
    }
}
