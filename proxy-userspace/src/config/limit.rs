//! How much is let through.

use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use serde::Serialize;

use super::name::{LimitName, ListenerName};
use super::template::Template;

/// `[limit.NAME]`.
#[derive(Clone, PartialEq, Debug)]
pub struct LimitConfig {
    /// Its name.
    pub name: LimitName,
    /// Listeners it holds for, by the names that the kernel part and the workers know them by (`NAME.v4` and `NAME.v6`
    /// where a kernel listener binds both); empty: all.
    pub listeners: Vec<ListenerName>,
    /// Routes it holds for, by name; empty: all. Only for what is counted in requests.
    pub routes: Vec<Box<str>>,
    /// Whose traffic is counted together.
    pub per: Per,
    /// What is counted: at least one.
    pub measures: Measures,
    /// What happens to what is too much.
    pub action: LimitAction,
    /// Clients it does not hold for.
    pub exempt: Vec<IpNet>,
    /// The table's line in the file, from 1.
    pub line: usize,
}

/// Whose traffic is counted together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Per {
    /// `"ip"`: each client's address.
    Ip,
    /// `"subnet/24"`, `"subnet/24/56"`: the addresses that have these first bits in common; for IPv6 64 if it is not said.
    Subnet {
        /// Of IPv4: 0 to 32.
        v4: u8,
        /// Of IPv6: 0 to 128.
        v6: u8,
    },
    /// `"listener"`: all of a listener.
    Listener,
    /// `"backend"`: all that goes to a backend of a listener.
    Backend,
    /// `"sni"`: the name that a ClientHello asks for. In userspace.
    Sni,
    /// `"ja4"`: the fingerprint of a ClientHello. In userspace.
    Ja4,
    /// `"route"`. In userspace.
    Route,
    /// `"header.NAME"`: a field of the request; requests without it are counted together. In userspace.
    Header(HeaderName),
    /// `"cookie.NAME"`. In userspace.
    Cookie(Box<str>),
    /// A text with variables, such as `"{client_ip} {header.x-user}"`. In userspace.
    Template(Template),
}

impl Per {
    /// As it is written.
    pub fn text(&self) -> String {
        match self {
            Self::Ip => "ip".to_owned(),
            Self::Subnet { v4, v6 } => format!("subnet/{v4}/{v6}"),
            Self::Listener => "listener".to_owned(),
            Self::Backend => "backend".to_owned(),
            Self::Sni => "sni".to_owned(),
            Self::Ja4 => "ja4".to_owned(),
            Self::Route => "route".to_owned(),
            Self::Header(name) => format!("header.{name}"),
            Self::Cookie(name) => format!("cookie.{name}"),
            Self::Template(template) => template.to_string(),
        }
    }

    /// Whether the kernel can tell: from addresses, and what it knows of a flow.
    pub const fn is_of_packets(&self) -> bool {
        matches!(self, Self::Ip | Self::Subnet { .. } | Self::Listener | Self::Backend)
    }
}

/// What a limit counts, and how much of it is let through.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Measures {
    /// Packets from clients. In the kernel.
    pub packets: Option<Rate>,
    /// Bytes of frames from clients. In the kernel.
    pub bytes: Option<Rate>,
    /// New connections and UDP flows. In the kernel where it can be, else when they are accepted.
    pub connections: Option<Rate>,
    /// Connections and UDP flows at a time. In the kernel for `tcp` and `udp` listeners, else when they are accepted.
    pub concurrent: Option<u64>,
    /// Requests. In userspace.
    pub requests: Option<Rate>,
    /// TLS handshakes begun. In userspace.
    pub handshakes: Option<Rate>,
    /// Bytes of bodies, both ways together: they wait, nothing is refused. In userspace.
    pub bandwidth: Option<Rate>,
}

/// One kind of thing that a limit counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Measure {
    /// See [`Measures::packets`].
    Packets,
    /// See [`Measures::bytes`].
    Bytes,
    /// See [`Measures::connections`].
    Connections,
    /// See [`Measures::concurrent`].
    Concurrent,
    /// See [`Measures::requests`].
    Requests,
    /// See [`Measures::handshakes`].
    Handshakes,
    /// See [`Measures::bandwidth`].
    Bandwidth,
}

impl Measure {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Packets,
        Self::Bytes,
        Self::Connections,
        Self::Concurrent,
        Self::Requests,
        Self::Handshakes,
        Self::Bandwidth,
    ];

    /// Its key in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Bytes => "bytes",
            Self::Connections => "connections",
            Self::Concurrent => "concurrent",
            Self::Requests => "requests",
            Self::Handshakes => "handshakes",
            Self::Bandwidth => "bandwidth",
        }
    }

    /// The measure of a key.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }

    /// Whether it counts bytes.
    pub const fn is_in_bytes(self) -> bool {
        matches!(self, Self::Bytes | Self::Bandwidth)
    }

    /// Whether the kernel counts it, for listeners whose packets it sees.
    pub const fn is_of_packets(self) -> bool {
        matches!(self, Self::Packets | Self::Bytes | Self::Connections | Self::Concurrent)
    }

    /// What can be done with what is too much of it.
    pub const fn actions(self) -> &'static [LimitAction] {
        use LimitAction::{Auto, Close, Drop, Observe, Reply, Reset};
        match self {
            Self::Packets | Self::Bytes => &[Auto, Drop, Reset, Observe],
            Self::Connections | Self::Concurrent | Self::Handshakes => &[Auto, Drop, Reset, Close, Observe],
            Self::Requests => &[Auto, Reply, Close, Reset, Drop, Observe],
            Self::Bandwidth => &[Auto, Observe],
        }
    }
}

impl Measures {
    /// What a measure lets through, if it is counted.
    pub fn get(&self, measure: Measure) -> Option<Amount> {
        match measure {
            Measure::Packets => self.packets.map(Amount::Rate),
            Measure::Bytes => self.bytes.map(Amount::Rate),
            Measure::Connections => self.connections.map(Amount::Rate),
            Measure::Concurrent => self.concurrent.map(Amount::Most),
            Measure::Requests => self.requests.map(Amount::Rate),
            Measure::Handshakes => self.handshakes.map(Amount::Rate),
            Measure::Bandwidth => self.bandwidth.map(Amount::Rate),
        }
    }

    /// Lets so much through. A number is for [`Measure::Concurrent`], a rate for all others; another changes nothing.
    pub fn set(&mut self, measure: Measure, amount: Amount) {
        let place = match (measure, amount) {
            (Measure::Concurrent, Amount::Most(most)) => return self.concurrent = Some(most),
            (Measure::Packets, Amount::Rate(_)) => &mut self.packets,
            (Measure::Bytes, Amount::Rate(_)) => &mut self.bytes,
            (Measure::Connections, Amount::Rate(_)) => &mut self.connections,
            (Measure::Requests, Amount::Rate(_)) => &mut self.requests,
            (Measure::Handshakes, Amount::Rate(_)) => &mut self.handshakes,
            (Measure::Bandwidth, Amount::Rate(_)) => &mut self.bandwidth,
            (Measure::Concurrent, Amount::Rate(_)) | (_, Amount::Most(_)) => return,
        };
        if let Amount::Rate(rate) = amount {
            *place = Some(rate);
        }
    }

    /// What is counted, and how much of it is let through.
    pub fn iter(&self) -> impl Iterator<Item = (Measure, Amount)> + '_ {
        Measure::ALL.into_iter().filter_map(|measure| Some((measure, self.get(measure)?)))
    }
}

/// How much of a measure is let through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
    /// So many in a time.
    Rate(Rate),
    /// So many at a time: [`Measure::Concurrent`].
    Most(u64),
}

/// `"100/s burst 200"`, `"5/m"`, `"10MB/s burst 20MB"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// So many, at least 1,
    pub count: u64,
    /// in this time: a second, a minute, an hour or a day.
    pub period: Duration,
    /// So many at once, at least 1; if it is not said a fiftieth of a second's count, and at least 1, of bytes at
    /// least 64 KiB. The kernel's clock lets through what two of its ticks are worth in any case.
    pub burst: u64,
}

/// What happens to what is too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitAction {
    /// `reply` for requests, `close` for handshakes and accepted connections, `drop` in the kernel.
    Auto,
    /// Dropped without a word; an accepted connection is closed.
    Drop,
    /// TCP RST.
    Reset,
    /// The connection is closed.
    Close,
    /// 429 with Retry-After and RateLimit fields.
    Reply,
    /// Counted, and let through.
    Observe,
}

impl LimitAction {
    /// Its word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Drop => "drop",
            Self::Reset => "reset",
            Self::Close => "close",
            Self::Reply => "reply",
            Self::Observe => "observe",
        }
    }
}

/// What floods that are aimed at a listener meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GuardConfig {
    /// When SYNs are answered with cookies.
    pub syn_cookies: SynCookies,
    /// With [`SynCookies::Auto`]: SYNs a second above which they are.
    pub syn_threshold: u32,
    /// Bytes to a client for each byte of its own while its flow is young; none: any number.
    pub amplification: Option<u16>,
}

/// When SYNs are answered with cookies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SynCookies {
    /// Above the threshold.
    Auto,
    /// Whatever the rate.
    Always,
    /// Never.
    #[default]
    Off,
}
