//! Who is banned for what they do: counts events of clients, and says when it is enough.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv6Net};

use crate::config::{AutoBanConfig, AutoBanEvent};
use crate::telemetry::abuse::{Deed, Event};

/// Clients that are watched at a time, and those whose bans are remembered: of more the oldest are forgotten.
const CLIENTS: usize = 65_536;
/// A window is counted in so many parts: an event counts for a window, or for an eighth less.
const PARTS: u64 = 8;

/// A ban that somebody has earned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Earned {
    /// Who is banned.
    pub prefix: IpNet,
    /// The client alone, if more than that is.
    pub client: IpNet,
    /// For how long.
    pub time: Duration,
    /// The rule, and what was counted.
    pub why: String,
}

/// Who counts.
#[derive(Debug)]
pub struct Watch {
    rules: Vec<AutoBanConfig>,
    began: Instant,
    counts: HashMap<(usize, IpNet), Window>,
    banned: HashMap<(Box<str>, IpNet), Before>,
}

/// What a client did of late.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// The part that it is in now.
    part: u64,
    counted: [u32; PARTS as usize],
    answers: [u32; PARTS as usize],
}

/// Bans of a client before.
#[derive(Clone, Copy, Debug)]
struct Before {
    times: u32,
    /// When the last one ends.
    until: Instant,
}

impl Watch {
    /// Goes by these rules.
    pub fn new(rules: &[AutoBanConfig], now: Instant) -> Self {
        Self { rules: rules.to_vec(), began: now, counts: HashMap::new(), banned: HashMap::new() }
    }

    /// Goes by other rules. Bans that were earned are remembered, by the rules' names.
    pub fn set_rules(&mut self, rules: &[AutoBanConfig]) {
        if self.rules != rules {
            self.rules = rules.to_vec();
            self.counts.clear();
        }
    }

    /// Counts an event, and says whose bans it has earned.
    pub fn see(&mut self, event: &Event, now: Instant) -> Vec<Earned> {
        let prefix = client(event.client);
        let mut earned = Vec::new();
        for number in 0..self.rules.len() {
            let rule = &self.rules[number];
            if !rule.listeners.is_empty()
                && !rule.listeners.iter().any(|name| name.as_str() == &*event.listener)
            {
                continue;
            }
            let counts = rule.events.iter().any(|kind| is(*kind, event, &rule.ja4));
            let answers = rule.share > 0.0 && event.deed == Deed::Answered;
            if !counts && !answers {
                continue;
            }
            let part = (rule.within / PARTS as u32).as_nanos().max(1);
            let part = (now.duration_since(self.began).as_nanos() / part) as u64 + PARTS;
            let empty = Window { part, counted: [0; PARTS as usize], answers: [0; PARTS as usize] };
            if !self.counts.contains_key(&(number, prefix)) {
                make_room(&mut self.counts, |window| window.part);
            }
            let window = self.counts.entry((number, prefix)).or_insert(empty);
            window.step(part, counts, event.deed == Deed::Answered);
            if counts && window.is_enough(rule) {
                let counted = window.sum(&window.counted);
                self.counts.remove(&(number, prefix));
                let client = event.client.to_canonical().into();
                earned.push(self.earn(number, (prefix, client), counted, now));
            }
        }
        earned
    }

    fn earn(
        &mut self,
        number: usize,
        (prefix, client): (IpNet, IpNet),
        counted: u64,
        now: Instant,
    ) -> Earned {
        let rule = &self.rules[number];
        let key = (rule.name.clone(), prefix);
        // Whoever behaved for as long as the longest ban begins anew.
        let before = self.banned.get(&key).filter(|before| before.until + rule.longest > now);
        let times = before.map_or(0, |before| before.times);
        let factor = f64::from(rule.growth).powi(times.min(64) as i32);
        let time = Duration::try_from_secs_f64(rule.duration.as_secs_f64() * factor).unwrap_or(rule.longest);
        let time = time.min(rule.longest);
        let why = format!("{}: {counted} in {}", rule.name, crate::config::format_duration(rule.within));
        let until = now + time;
        if !self.banned.contains_key(&key) {
            make_room(&mut self.banned, |before| before.until);
        }
        self.banned.insert(key, Before { times: times + 1, until });
        Earned { prefix, client, time, why }
    }
}

impl Window {
    fn step(&mut self, part: u64, counted: bool, answer: bool) {
        let gone = part.saturating_sub(self.part).min(PARTS);
        for old in 0..gone {
            let place = ((part - old) % PARTS) as usize;
            (self.counted[place], self.answers[place]) = (0, 0);
        }
        self.part = self.part.max(part);
        let place = (self.part % PARTS) as usize;
        self.counted[place] = self.counted[place].saturating_add(u32::from(counted));
        self.answers[place] = self.answers[place].saturating_add(u32::from(answer));
    }

    fn sum(&self, of: &[u32; PARTS as usize]) -> u64 {
        of.iter().map(|count| u64::from(*count)).sum()
    }

    fn is_enough(&self, rule: &AutoBanConfig) -> bool {
        let (counted, answers) = (self.sum(&self.counted), self.sum(&self.answers));
        counted >= rule.count && (rule.share == 0.0 || counted as f64 >= rule.share * answers as f64)
    }
}

/// Forgets the eighth that is oldest, if there is no room for one more.
fn make_room<K: Eq + Hash + Clone, V, A: Ord + Copy>(of: &mut HashMap<K, V>, age: impl Fn(&V) -> A) {
    if of.len() < CLIENTS {
        return;
    }
    let mut ages: Vec<A> = of.values().map(&age).collect();
    let place = ages.len() / PARTS as usize;
    let (_, limit, _) = ages.select_nth_unstable(place);
    let limit = *limit;
    let mut room = place + 1;
    of.retain(|_, value| {
        let goes = room > 0 && age(value) <= limit;
        room -= usize::from(goes);
        !goes
    });
}

/// Who is banned for a client: of IPv6 the /64, which is one customer's at the least (RFC 6177 §2).
fn client(address: IpAddr) -> IpNet {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4).into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            let network = Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0);
            Ipv6Net::new(network, 64).map_or_else(|_| IpAddr::V6(v6).into(), IpNet::V6)
        }
    }
}

fn is(kind: AutoBanEvent, event: &Event, ja4: &[Box<str>]) -> bool {
    let deed = match kind {
        AutoBanEvent::Limit => Deed::Limited,
        AutoBanEvent::Unauthorized => Deed::Unauthorized,
        AutoBanEvent::Forbidden => Deed::Forbidden,
        AutoBanEvent::NotFound => Deed::NotFound,
        AutoBanEvent::Handshake => Deed::Handshake,
        AutoBanEvent::UnknownSni => Deed::UnknownSni,
        AutoBanEvent::H2Attack => Deed::H2Attack,
        AutoBanEvent::Malformed => Deed::Malformed,
        AutoBanEvent::Ja4 => return event.ja4.as_ref().is_some_and(|fingerprint| ja4.contains(fingerprint)),
    };
    deed == event.deed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, events: &[AutoBanEvent], count: u64, share: f64) -> AutoBanConfig {
        AutoBanConfig {
            name: name.into(),
            listeners: Vec::new(),
            events: events.to_vec(),
            count,
            within: Duration::from_secs(8),
            share,
            duration: Duration::from_secs(60),
            growth: 3,
            longest: Duration::from_secs(600),
            ja4: vec!["bad".into()],
            line: 1,
        }
    }

    fn event(client: &str, deed: Deed) -> Event {
        Event { client: client.parse().unwrap(), listener: "web".into(), deed, ja4: None }
    }

    const UNAUTHORIZED: [AutoBanEvent; 1] = [AutoBanEvent::Unauthorized];

    #[test]
    fn so_many_within_the_time_earn_a_ban_and_fewer_do_not() {
        let start = Instant::now();
        let mut watch = Watch::new(&[rule("logins", &UNAUTHORIZED, 3, 0.0)], start);
        let bad = event("192.0.2.1", Deed::Unauthorized);
        for second in [0, 1] {
            assert_eq!(watch.see(&bad, start + Duration::from_secs(second)), []);
        }
        assert_eq!(watch.see(&event("192.0.2.2", Deed::Unauthorized), start), [], "somebody else");
        assert_eq!(watch.see(&event("192.0.2.1", Deed::NotFound), start), [], "something else");
        let earned = watch.see(&bad, start + Duration::from_secs(2));
        let wanted = Earned {
            prefix: "192.0.2.1/32".parse().unwrap(),
            client: "192.0.2.1/32".parse().unwrap(),
            time: Duration::from_secs(60),
            why: "logins: 3 in 8s".into(),
        };
        assert_eq!(earned, [wanted]);
    }

    #[test]
    fn what_is_longer_ago_than_the_window_does_not_count() {
        let start = Instant::now();
        let mut watch = Watch::new(&[rule("logins", &UNAUTHORIZED, 3, 0.0)], start);
        for second in (0..100).step_by(4) {
            let now = start + Duration::from_secs(second);
            assert_eq!(watch.see(&event("192.0.2.1", Deed::Unauthorized), now), [], "{second}");
        }
    }

    #[test]
    fn bans_grow_up_to_the_longest_and_a_long_peace_ends_that() {
        let start = Instant::now();
        let mut watch = Watch::new(&[rule("logins", &UNAUTHORIZED, 1, 0.0)], start);
        let bad = event("2001:db8::1", Deed::Unauthorized);
        let mut at = |second: u64| {
            let earned = watch.see(&bad, start + Duration::from_secs(second));
            (earned[0].prefix.to_string(), earned[0].time.as_secs())
        };
        let net = "2001:db8::/64".to_owned();
        assert_eq!(at(0), (net.clone(), 60));
        assert_eq!(at(100).1, 180);
        assert_eq!(at(400).1, 540);
        assert_eq!(at(1000).1, 600);
        assert_eq!(at(1000 + 600 + 601), (net, 60));
    }

    #[test]
    fn a_share_spares_who_is_mostly_right() {
        let start = Instant::now();
        let mut watch = Watch::new(&[rule("logins", &UNAUTHORIZED, 2, 0.5)], start);
        let mut see = |client: &str, deed| {
            let answered = watch.see(&event(client, Deed::Answered), start).len();
            answered + if deed == Deed::Answered { 0 } else { watch.see(&event(client, deed), start).len() }
        };
        for _ in 0..10 {
            assert_eq!(see("192.0.2.1", Deed::Answered), 0);
        }
        let bad = Deed::Unauthorized;
        assert_eq!((see("192.0.2.1", bad), see("192.0.2.1", bad)), (0, 0));
        assert_eq!((see("192.0.2.2", bad), see("192.0.2.2", bad)), (0, 1));
    }

    #[test]
    fn only_listed_fingerprints_and_named_listeners_count() {
        let start = Instant::now();
        let mut rules = [rule("robots", &[AutoBanEvent::Ja4], 1, 0.0)];
        rules[0].listeners = vec!["web".into()];
        let mut watch = Watch::new(&rules, start);
        let of = |ja4: &str| Event { ja4: Some(ja4.into()), ..event("192.0.2.1", Deed::Ja4) };
        assert_eq!(watch.see(&of("good"), start), []);
        let elsewhere = Event { listener: "other".into(), ..of("bad") };
        assert_eq!(watch.see(&elsewhere, start), []);
        assert_eq!(watch.see(&of("bad"), start).len(), 1);
    }

    #[test]
    fn clients_without_end_are_not_remembered_without_end() {
        let start = Instant::now();
        let mut watch = Watch::new(&[rule("logins", &UNAUTHORIZED, 2, 0.0)], start);
        for i in 0..200_000u32 {
            let client = IpAddr::from(i.to_be_bytes());
            let event = Event { client, listener: "web".into(), deed: Deed::Unauthorized, ja4: None };
            watch.see(&event, start + Duration::from_millis(u64::from(i / 1000)));
        }
        assert!(watch.counts.len() <= CLIENTS);
    }
}
