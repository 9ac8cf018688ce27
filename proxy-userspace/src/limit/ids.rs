//! Numbers of limits, by name: a limit keeps its number for as long as its name is there, so that its buckets stay.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Limits at most.
pub const LIMITS: u16 = 256;

/// The numbers. The kernel part remembers them across restarts; without it they last as long as the process.
#[derive(Debug, Default)]
pub struct Ids(Mutex<BTreeMap<String, u16>>);

impl Ids {
    /// As they were remembered.
    pub fn remembered(ids: impl IntoIterator<Item = (String, u16)>) -> Self {
        Self(Mutex::new(ids.into_iter().collect()))
    }

    /// The number of a limit, which is given to it if it has none. None: there are too many limits.
    pub fn of(&self, name: &str) -> Option<u16> {
        let mut ids = self.lock();
        if let Some(id) = ids.get(name) {
            return Some(*id);
        }
        let id = (0..LIMITS).find(|id| !ids.values().any(|taken| taken == id))?;
        ids.insert(name.to_owned(), id);
        Some(id)
    }

    /// The number of a limit, if it has one.
    pub fn get(&self, name: &str) -> Option<u16> {
        self.lock().get(name).copied()
    }

    /// The name of a number.
    pub fn name(&self, id: u16) -> Option<String> {
        self.lock().iter().find(|(_, of)| **of == id).map(|(name, _)| name.clone())
    }

    /// Forgets limits that are no more.
    pub fn keep(&self, wanted: impl Fn(&str) -> bool) {
        self.lock().retain(|name, _| wanted(name));
    }

    /// These names have their numbers again, whoever has them now.
    pub fn put_back(&self, before: impl IntoIterator<Item = (String, u16)>) {
        let mut ids = self.lock();
        for (name, id) in before {
            ids.retain(|other, taken| *taken != id || *other == name);
            ids.insert(name, id);
        }
    }

    /// A thread that panicked with it left it whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u16>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_keeps_its_number_whatever_comes_and_goes() {
        let ids = Ids::remembered([("b".to_owned(), 1)]);
        assert_eq!((ids.of("a"), ids.of("b"), ids.of("c")), (Some(0), Some(1), Some(2)));
        ids.keep(|name| name != "a");
        assert_eq!((ids.of("c"), ids.of("d"), ids.name(1)), (Some(2), Some(0), Some("b".to_owned())));
    }

    #[test]
    fn there_are_not_more_numbers_than_limits() {
        let ids = Ids::default();
        assert!((0..LIMITS).all(|n| ids.of(&n.to_string()) == Some(n)));
        assert_eq!(ids.of("one more"), None);
    }
}
