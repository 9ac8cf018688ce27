//! What the table of names says of the host that a ClientHello names: its own entry, else that of the longest wildcard,
//! else the listener's.

use proxy_common::sni::{MOST_LABELS, NAME_WORDS, NameEntry, PeekRule, filter_bit, kind};

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
        if world.may_have_name(filter_bit(peek.blended, listener, kind::EXACT))
            && let Some(entry) = world.name_entry(&peek.key)
        {
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
    let (mut dots, mut labels, mut gone) = (peek.dots, peek.dot_count, 0);
    for _ in 0..MOST_LABELS {
        if dots == 0 {
            break;
        }
        let rest = dots;
        dots &= dots - 1;
        // As many dots are left as the suffix behind the first of them has labels.
        labels = labels.wrapping_sub(1);
        if depths >> (labels & 31) & 1 == 0 {
            continue;
        }
        let past = rest.trailing_zeros() + 1;
        let blended = world.suffix(peek, past - gone, peek.length.wrapping_sub(past));
        gone = past;
        if !world.may_have_name(filter_bit(blended, peek.key.listener, kind::WILDCARD)) {
            continue;
        }
        if let Some(entry) = world.name_entry(&peek.key) {
            return Some(entry);
        }
    }
    None
}
