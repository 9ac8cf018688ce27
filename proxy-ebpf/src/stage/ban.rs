//! Who is kept out, whatever they ask for. Nobody is banned on most hosts, and few addresses are on any: both cost one
//! look. Whom the configuration never keeps out is asked only about those whom a ban may be for.

use proxy_common::{
    ban::{Family, Line, Lines, moment, table},
    drop_reason::DropReason,
};

use crate::{
    verdict::{Outcome, dropped},
    world::{Bans, World},
};
use core::ops::ControlFlow::Continue;

/// One of the tables.
struct Table<'a, W> {
    world: &'a W,
    number: u32,
}

impl<W: World> Lines for Table<'_, W> {
    #[inline(always)]
    fn line(&self, index: u32) -> Option<&Line> {
        self.world.ban_line(self.number, index)
    }
}

/// Drops what comes from a banned address.
#[inline(never)]
pub fn source<W: World + Bans<A>, A: Family>(world: &W, source: &A) -> Outcome {
    let (bans, allows) = (table(A::FAMILY, false), table(A::FAMILY, true));
    let Some(banned) = A::suspect(&Table { world, number: bans }, source) else { return Continue(()) };
    let now = moment(world.ticks());
    if let Some(allowed) = A::suspect(&Table { world, number: allows }, source)
        && world.has(allows, source, allowed, now)
    {
        return Continue(());
    }
    if world.has(bans, source, banned, now) { dropped(DropReason::Banned) } else { Continue(()) }
}
