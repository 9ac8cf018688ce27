//! What is known of pools and their backends, as long as somebody uses them: a reload loses nothing of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use super::backend::Group;
use super::pool::Pool;
use super::tls::{PoolTls, TlsError};
use crate::config::{PoolConfig, PoolName};

/// What is known of pools and their backends. One for each process.
#[derive(Debug)]
pub struct Registry {
    workers: usize,
    groups: Mutex<HashMap<PoolName, Weak<Group>>>,
    names: Mutex<HashMap<Box<str>, Vec<IpAddr>>>,
}

impl Registry {
    /// For this many workers.
    pub fn new(workers: usize) -> Self {
        Self { workers, groups: Mutex::default(), names: Mutex::default() }
    }

    /// The pool of this configuration. What is known of backends with the same name and place goes on.
    ///
    /// # Errors
    /// Its backends cannot be spoken to by TLS as configured.
    pub fn pool(&self, config: &PoolConfig) -> Result<Arc<Pool>, TlsError> {
        let web = &config.web;
        let tls = web.tls.as_ref().map(|tls| PoolTls::load(tls, web.protocol)).transpose()?;
        let group = {
            let mut groups = lock(&self.groups);
            let known = groups.get(&config.name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                groups.retain(|_, group| group.strong_count() > 0);
                let group = Arc::new(Group::new(config.name.clone(), self.workers));
                groups.insert(config.name.clone(), Arc::downgrade(&group));
                group
            })
        };
        let names = lock(&self.names).clone();
        Pool::new(config, group, tls, |host| names.get(host).cloned()).map(Arc::new)
    }

    /// Remembers the addresses of a name: pools made from now on begin with them.
    pub fn set_addresses(&self, host: &str, addresses: &[IpAddr]) {
        lock(&self.names).insert(host.into(), addresses.to_vec());
    }

    /// The addresses that are known of a name.
    pub fn addresses(&self, host: &str) -> Vec<IpAddr> {
        lock(&self.names).get(host).cloned().unwrap_or_default()
    }

    /// Closes idle connections whose time is over. To be called every second or so, by any thread.
    pub fn expire(&self, now: Instant) {
        let groups: Vec<_> = lock(&self.groups).values().filter_map(Weak::upgrade).collect();
        groups.iter().for_each(|group| group.expire(now));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
