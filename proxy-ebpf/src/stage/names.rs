//! What the table of names says of the host that a ClientHello names: its own entry, else that of the longest wildcard,
//! else the listener's.

use proxy_common::sni::{MOST_LABELS, NAME_WORDS, NameEntry, PeekRule, kind};

use crate::hello::{Names, Peek};

/// Finds the entry of the name in `peek`.
#[inline(always)]
pub fn find<W: Names>(world: &W, peek: &mut Peek, listener: u16, rule: PeekRule) -> NameEntry {
    if rule.flags & PeekRule::ENTRIES == 0 {
        return NameEntry::default();
    }
    peek.key.listener = listener;
    if peek.length != 0 {
        peek.key.kind = kind::EXACT;
        if let Some(entry) = world.name_entry(&peek.key) {
            return entry;
        }
        if rule.depths != 0
            && let Some(entry) = wildcard(world, peek, rule.depths)
        {
            return entry;
        }
    }
    if rule.flags & PeekRule::NO_DEFAULT != 0 {
        return NameEntry::default();
    }
    peek.key.name = [0; NAME_WORDS];
    peek.key.kind = kind::DEFAULT;
    world.name_entry(&peek.key).unwrap_or_default()
}

/// The entry of the longest wildcard. Bit `n` of `depths`: there are some of `n + 1` labels.
#[inline(always)]
fn wildcard<W: Names>(world: &W, peek: &mut Peek, depths: u32) -> Option<NameEntry> {
    peek.key.kind = kind::WILDCARD;
    let mut dots = peek.dots;
    for _ in 0..MOST_LABELS {
        if dots == 0 {
            break;
        }
        // As many dots are left as the suffix behind the first of them has labels.
        let labels = dots.count_ones();
        let dot = dots.trailing_zeros();
        dots &= dots - 1;
        if depths >> ((labels - 1) & 31) & 1 == 0 {
            continue;
        }
        let (at, length) = (peek.name.at + 5 + dot + 1, peek.length.wrapping_sub(dot + 1));
        world.name(peek, at, length);
        if let Some(entry) = world.name_entry(&peek.key) {
            return Some(entry);
        }
    }
    None
}
