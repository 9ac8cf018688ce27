//! What the daemon does for the guards: draws the keys of cookies, replaces them in turn, says what the host's TCP is
//! like, and tells which listeners are guarded. The kernel programs guard without it: with the last keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use proxy_common::cookie::Keys;
use proxy_common::guard::{Guard, GuardRule, GuardSettings, Standing};
use serde::Serialize;

use super::clock::Clock;
use super::follow::Followed;
use super::maps::{Action, MapError};
use super::reconcile::Present;
use super::tables::Tables;
use crate::config::KernelConfig;
use crate::net::link::Link;
use crate::net::sysctl;

/// A key is replaced after this; its cookies are good until its successor is replaced.
const KEY_LASTS: Duration = Duration::from_secs(600);
/// Settings of the host are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// What an interface carries that is not there.
const USUAL_MTU: u32 = 1500;
/// Guards are looked at this often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Watch {
    turned: Option<Instant>,
    looked: Option<Instant>,
    written: Option<GuardSettings>,
    asked: Option<Instant>,
    /// Listeners that were guarded when they were looked at last.
    on: BTreeSet<String>,
}

/// What is around the guards.
#[derive(Debug)]
pub(super) struct Around<'a> {
    pub(super) clock: &'a Clock,
    pub(super) config: &'a KernelConfig,
    pub(super) links: &'a BTreeMap<u32, Link>,
    /// Whether the kernel makes sockets of cookies that are checked by a program.
    pub(super) sockets: bool,
}

impl Watch {
    /// Whether it is time to look again.
    pub(super) fn is_due(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY)
    }

    /// Which guards went on or off since the last look.
    pub(super) fn changes(
        &mut self,
        tables: &Tables,
        present: &Present,
        clock: &Clock,
    ) -> Result<Vec<Followed>, MapError> {
        if self.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY) {
            return Ok(Vec::new());
        }
        self.asked = Some(Instant::now());
        let now = clock.now().map_err(|cause| MapError {
            map: proxy_common::names::GUARDS,
            action: Action::Read,
            cause,
        })?;
        let on: BTreeSet<String> = status(tables, present, now)?
            .into_iter()
            .filter(|guard| guard.on && !guard.always)
            .map(|guard| guard.listener)
            .collect();
        let went_on = on.difference(&self.on).cloned().map(Followed::Flooded);
        let went_off = self.on.difference(&on).cloned().map(Followed::Calm);
        let changes = went_on.chain(went_off).collect();
        self.on = on;
        Ok(changes)
    }

    /// Writes what has changed, and a new key when its time has come.
    pub(super) fn look(&mut self, tables: &Tables, around: &Around<'_>) -> Result<(), MapError> {
        let before = match self.written {
            Some(written) => written,
            None => tables.guard_settings.get(&0)?.unwrap_or_default(),
        };
        let mut keys = before.keys;
        if !keys.drawn() || self.turned.is_some_and(|turned| turned.elapsed() >= KEY_LASTS) {
            turn(&mut keys).map_err(|cause| MapError {
                map: proxy_common::names::GUARD_SETTINGS,
                action: Action::Write,
                cause,
            })?;
            self.turned = None;
        }
        self.turned.get_or_insert_with(Instant::now);
        let settings = GuardSettings {
            keys,
            second: around.clock.ticks(Duration::from_secs(1)),
            icmp_limit: around.config.icmp_limit.unwrap_or(0),
            flags: flags(around.sockets),
            mtu: mtu(&around.config.interfaces, around.links),
        };
        if settings != before || self.written.is_none() {
            tables.guard_settings.put(&0, &settings)?;
        }
        (self.written, self.looked) = (Some(settings), Some(Instant::now()));
        Ok(())
    }
}

/// Replaces the older key: the other one is still good.
fn turn(keys: &mut Keys) -> io::Result<()> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let (low, high) = bytes.split_at(8);
    let half = |bytes: &[u8]| bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    let next = (keys.current + 1) & 1;
    keys.keys[next as usize] = [half(low).max(1), half(high)];
    keys.current = next;
    Ok(())
}

/// What the host's TCP would agree to with a client. Where a setting cannot be read, it is on, as it is by default.
fn flags(sockets: bool) -> u32 {
    let is_on = |name: &str| sysctl::read(&format!("net/ipv4/{name}")).map_or(true, |value| value != "0");
    [
        // Cookies are looked at where SYN cookies may be used at all.
        (sockets && is_on("tcp_syncookies"), GuardSettings::SOCKETS),
        (is_on("tcp_timestamps"), GuardSettings::TIMESTAMPS),
        (is_on("tcp_window_scaling"), GuardSettings::WINDOW_SCALE),
        (is_on("tcp_sack"), GuardSettings::SACK),
    ]
    .into_iter()
    .fold(0, |flags, (is_on, flag)| if is_on { flags | flag } else { flags })
}

/// The smallest MTU of the interfaces.
fn mtu(interfaces: &[String], links: &BTreeMap<u32, Link>) -> u32 {
    let ours = links.values().filter(|link| interfaces.contains(&link.name));
    ours.map(|link| link.mtu).min().unwrap_or(USUAL_MTU)
}

/// How a guarded listener stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GuardStatus {
    /// The listener's name.
    pub listener: String,
    /// Whether its SYNs are answered with cookies, or asked for a proof.
    pub on: bool,
    /// Whether that is so whatever the rate.
    pub always: bool,
    /// SYNs of clients that are not known, in the last second that had any.
    pub syns: u32,
}

/// How the listeners stand that can be guarded.
pub(super) fn status(tables: &Tables, present: &Present, now: u32) -> Result<Vec<GuardStatus>, MapError> {
    let second = tables.guard_settings.get(&0)?.unwrap_or_default().second;
    let there: BTreeSet<u16> = present.listeners.values().map(|listener| listener.id).collect();
    let mut all = Vec::new();
    for (id, rule) in &present.guards {
        if rule.threshold == 0 || !there.contains(id) {
            continue;
        }
        let guard = tables.guards.get(&u32::from(*id))?.unwrap_or_default();
        let always = rule.flags & GuardRule::ALWAYS != 0;
        let on = always || Guard::standing(guard.state, now, second) == Standing::Guarded;
        let recent = now.wrapping_sub((guard.count >> 32) as u32) < 2 * second;
        let syns = if recent { guard.count as u32 } else { 0 };
        let listener = present.names.get(id).cloned().unwrap_or_default();
        all.push(GuardStatus { listener, on, always, syns });
    }
    all.sort_by(|a, b| a.listener.cmp(&b.listener));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_turns_and_the_old_one_stays() {
        let mut keys = Keys::default();
        turn(&mut keys).unwrap();
        let first = keys;
        assert!(first.drawn());
        turn(&mut keys).unwrap();
        assert!(keys.drawn() && keys.current != first.current);
        assert_eq!(keys.keys[first.current as usize], first.keys[first.current as usize]);
        turn(&mut keys).unwrap();
        assert_ne!(keys.keys[first.current as usize], first.keys[first.current as usize]);
    }
}
