//! Whether a listener is guarded, by how many SYNs come; and which sources are known to be alive.

use proxy_common::{
    addr::Address,
    drop_reason::Notice,
    guard::{Guard, GuardRule, GuardSettings, SharedGuard, Standing, alive, alive::Found},
    settings::Settings,
};

use crate::world::World;

/// What is to become of a SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syn {
    /// It goes on.
    Passes,
    /// It is answered.
    Guarded,
}

/// Counts a SYN of a listener, and says how the listener stands.
#[inline(never)]
pub fn count<W: World>(world: &W, listener: u16, rule: &GuardRule, settings: &GuardSettings) -> Syn {
    let Some(guard) = world.guard(u32::from(listener)) else { return Syn::Passes };
    let (now, second) = (world.now(), settings.second);
    let many = world.gather(u32::from(listener), rule.batch());
    let always = rule.flags & GuardRule::ALWAYS != 0;
    let over = many != 0 && guard.count(many, now, second) > rule.threshold;
    if (over || always) && guard.raise(now, second) {
        world.notice(Notice::GuardOn);
    }
    if always || standing(world, guard, now, second) == Standing::Guarded {
        return Syn::Guarded;
    }
    Syn::Passes
}

/// How a listener stands. Whoever sees first that a guard is over notes it.
#[inline(always)]
pub fn standing<W: World>(world: &W, guard: &SharedGuard, now: u32, second: u32) -> Standing {
    let state = guard.state.load();
    let standing = Guard::standing(state, now, second);
    if standing != Standing::Guarded && state & Guard::ON != 0 && guard.end() {
        world.notice(Notice::GuardOff);
    }
    standing
}

/// Whether a source is known to be alive, and has not sent too many SYNs.
#[inline(never)]
pub fn is_alive<W: World, A: Address>(world: &W, source: A, settings: &Settings, second: u32) -> bool {
    let source = alive::source(source, settings.hash_seed);
    let Some(marks) = world.alive(source.marks) else { return false };
    let marks = marks.load();
    for place in source.places {
        if !source.may_be_at(place, marks) {
            continue;
        }
        let Some(cell) = world.alive(place) else { continue };
        let word = cell.load();
        match source.look(word, second) {
            Found::Other(_) => {}
            Found::TooMany => return false,
            Found::Passes(next) => {
                // What another CPU counts at this instant may be lost.
                cell.replace_if(word, next);
                return true;
            }
        }
    }
    false
}

/// Whether a source is known to be alive, however many SYNs it has sent.
#[inline(never)]
pub fn is_known<W: World, A: Address>(world: &W, source: A, settings: &Settings, second: u32) -> bool {
    let source = alive::source(source, settings.hash_seed);
    let Some(marks) = world.alive(source.marks) else { return false };
    let marks = marks.load();
    for place in source.places {
        if source.may_be_at(place, marks)
            && let Some(cell) = world.alive(place)
            && !matches!(source.look(cell.load(), second), Found::Other(_))
        {
            return true;
        }
    }
    false
}

/// A source has shown that it is alive: it takes its place, a free one, or that of whoever showed it longer ago.
#[inline(never)]
pub fn note_alive<W: World, A: Address>(world: &W, source: A, settings: &Settings, second: u32) {
    let source = alive::source(source, settings.hash_seed);
    let [first, other] = source.places;
    let (Some(a), Some(b), Some(marks)) = (world.alive(first), world.alive(other), world.alive(source.marks))
    else {
        return;
    };
    let (of_a, of_b) = (a.load(), b.load());
    let (place, cell, word) = match (source.look(of_a, second), source.look(of_b, second)) {
        (Found::Passes(_) | Found::TooMany, _) => (first, a, of_a),
        (_, Found::Passes(_) | Found::TooMany) => (other, b, of_b),
        (Found::Other(age), Found::Other(older)) if age >= older => (first, a, of_a),
        _ => (other, b, of_b),
    };
    let next = source.proved(word, second);
    if next != word {
        cell.store(next);
    }
    source.mark_at(place, marks);
}
