//! Names that were refused: asked about again only after a while. Bounded: who asks for ever more names pushes out the
//! oldest, which costs a question, not memory.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use crate::tls::Denied;

/// Names, why, and until when.
#[derive(Debug, Default)]
pub(super) struct Refused {
    names: HashMap<Box<str>, (Denied, Instant)>,
    /// In the order in which they came; may have names twice, of which the later counts.
    order: VecDeque<(Box<str>, Instant)>,
}

impl Refused {
    /// Why a name is refused now.
    pub(super) fn get(&self, name: &str, now: Instant) -> Option<Denied> {
        let (why, until) = self.names.get(name)?;
        (now < *until).then(|| why.clone())
    }

    /// Refused until then. No more than so many are remembered.
    pub(super) fn put(&mut self, name: &str, why: Denied, until: Instant, now: Instant, most: usize) {
        while let Some((_, end)) = self.order.front()
            && (*end <= now || self.order.len() >= most)
        {
            self.forget_oldest();
        }
        if most == 0 {
            return;
        }
        self.names.insert(name.into(), (why, until));
        self.order.push_back((name.into(), until));
    }

    /// All of them.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn forget_oldest(&mut self) {
        let Some((name, end)) = self.order.pop_front() else { return };
        if self.names.get(&name).is_some_and(|(_, until)| *until == end) {
            self.names.remove(&name);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert!(self.names.len() <= self.order.len());
        self.order.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn names_are_remembered_for_a_while_and_never_too_many_of_them() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut refused = Refused::default();
        refused.put("a", Denied::NotPermitted, at(10), at(0), 3);
        refused.put("b", Denied::Failed("why".into()), at(11), at(0), 3);
        assert_eq!(refused.get("a", at(9)), Some(Denied::NotPermitted));
        assert_eq!(refused.get("a", at(10)), None);
        assert_eq!(refused.get("b", at(10)), Some(Denied::Failed("why".into())));
        for number in 0..10_000 {
            refused.put(&number.to_string(), Denied::NotPermitted, at(20), at(1), 3);
            assert!(refused.len() <= 3);
        }
        assert_eq!(refused.get("b", at(1)), None);
        assert_eq!(refused.get("9999", at(1)), Some(Denied::NotPermitted));
        // Again, later: the later time counts, and the earlier entry does not end it.
        refused.put("9999", Denied::NotPermitted, at(40), at(20), 3);
        refused.put("x", Denied::NotPermitted, at(41), at(21), 3);
        assert_eq!(refused.get("9999", at(39)), Some(Denied::NotPermitted));
        assert_eq!(refused.len(), 2, "what has ended is forgotten");
        refused.put("y", Denied::NotPermitted, at(41), at(21), 0);
        assert_eq!((refused.get("y", at(22)), refused.len()), (None, 0));
    }
}
