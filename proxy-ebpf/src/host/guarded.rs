//! What guards see, on plain memory.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use proxy_common::{
    cell::Cell64,
    cookie::Keys,
    guard::{GuardRule, GuardSettings, SharedGuard, alive},
    limits,
};

use crate::{work::Offer, world::Socket};

/// What guards see.
#[derive(Debug)]
pub struct Guarded {
    /// What the daemon says for all of them.
    pub settings: GuardSettings,
    /// By the listener's number.
    pub rules: Vec<GuardRule>,
    /// Clients that a socket of this host has a connection with.
    pub connected: HashSet<SocketAddr>,
    /// Nothing listens.
    pub deaf: bool,
    /// Notes to the TC program, of cookies that came back.
    pub vouched: Vec<Offer>,
    pub(super) guards: Vec<SharedGuard>,
    pub(super) alive: Vec<Cell64>,
    pub(super) credit: Vec<Cell64>,
    gathered: RefCell<HashMap<u32, u32>>,
}

impl Default for Guarded {
    fn default() -> Self {
        let cells = |count: u32| (0..count).map(|_| Cell64::new(0)).collect();
        Self {
            settings: GuardSettings {
                keys: Keys { keys: [[1, 2], [3, 4]], current: 0 },
                second: 250,
                icmp_limit: 0,
                flags: u32::MAX,
                mtu: 1500,
            },
            rules: vec![GuardRule::default(); 8],
            connected: HashSet::new(),
            deaf: false,
            vouched: Vec::new(),
            guards: (0..limits::GUARDS).map(|_| SharedGuard::default()).collect(),
            alive: cells(alive::ENTRIES),
            credit: cells(limits::CREDITS),
            gathered: RefCell::default(),
        }
    }
}

impl Guarded {
    pub(super) fn socket(&self, client: IpAddr, port: u16) -> Socket {
        if self.connected.contains(&SocketAddr::new(client, port)) {
            Socket::Has
        } else if self.deaf {
            Socket::None
        } else {
            Socket::Listens
        }
    }

    pub(super) fn gather(&self, index: u32, batch: u32) -> u32 {
        let mut all = self.gathered.borrow_mut();
        let count = all.entry(index).or_default();
        *count += 1;
        if *count < batch { 0 } else { std::mem::take(count) }
    }
}
