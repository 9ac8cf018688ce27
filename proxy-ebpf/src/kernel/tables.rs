//! The tables, over the maps.

use aya_ebpf::{
    bindings::{BPF_ANY, BPF_NOEXIST},
    btf_maps::lpm_trie::Key,
};
use proxy_common::{
    addr::{Ip4, Ip6},
    backend::{Backend, NatSource},
    ban::Line,
    bucket::{Place, Right, SharedBucketSet},
    cell::Cell64,
    drop_reason::{DropReason, Notice},
    flow::{Flow, FlowKey, FragmentKey, SharedFlow, SharedYoungSlot, Slot},
    guard::{GuardRule, GuardSettings, SharedGuard},
    hop::SharedHop,
    known,
    limit_event::Event,
    limits,
    listener::{DestinationFilter, Listener, ListenerKey, Seen},
    maglev::RING_SLOTS,
    plan::{CountedSet, SharedPlan, count_index},
    room,
    settings::Settings,
    splice::SharedSplice,
};
use proxy_ebpf::{
    keys::{Ask, Keys, makes},
    parsed::Internet,
    work::{Exit, Offer, Options, Step, Work},
    world::{Insert, LimitOutcome, Route, RouteQuery, Socket, Tables, World},
};

use super::{count, keys, maps, packet::Frame};

const EEXIST: i32 = -17;

macro_rules! tables {
    ($family:ty, $slot:ty, $flows:ident, $young:ident, $young_return:ident, $fragments:ident, $listeners:ident, $seen:ident,
     $backends:ident, $sources:ident, $exempt:ident, $charge:ident, $look:ident, $establish:ident, $leave:ident, $route:path) => {
        impl Tables<$family> for Frame {
            #[inline(always)]
            fn flow(&self, key: &FlowKey<$family>) -> Option<&SharedFlow<$family>> {
                let flow = maps::$flows.get_ptr(key)?.cast::<SharedFlow<$family>>();
                // SAFETY: a map value lives for the program's run (RCU); `Flow` and `SharedFlow` are the same bytes
                // (asserted beside them), and everything that changes in them is a cell.
                Some(unsafe { &*flow })
            }
            #[inline(always)]
            fn insert_flow(&self, key: &FlowKey<$family>, flow: &Flow<$family>) -> Insert {
                match maps::$flows.insert(key, flow, BPF_NOEXIST as u64) {
                    Ok(()) => Insert::Done,
                    Err(EEXIST) => Insert::Exists,
                    Err(_) => Insert::Full,
                }
            }
            #[inline(always)]
            fn remove_flow(&self, key: &FlowKey<$family>) {
                // Another CPU or the daemon may have removed it first: then it is gone all the same.
                let _gone = maps::$flows.remove(key);
            }
            #[inline(always)]
            fn take_room(&self, entries: u64) -> bool {
                let Some(cell) = maps::ROOM.get_ptr(room::place::<$family>()) else { return false };
                // SAFETY: an array's value lives for the program's run; `Cell64` is a transparent u64.
                room::take(unsafe { &*cell.cast::<Cell64>() }, entries)
            }
            #[inline(always)]
            fn young(&self, index: u32) -> Option<&impl Slot<$family>> {
                let slot = maps::$young.get_ptr(index & (limits::YOUNG - 1))?;
                // SAFETY: as for flows; a slot is cells throughout.
                Some(unsafe { &*slot.cast::<$slot>() })
            }
            #[inline(always)]
            fn young_return(&self, index: u32) -> Option<&Cell64> {
                let cell = maps::$young_return.get_ptr(index & (limits::YOUNG - 1))?;
                // SAFETY: as for flows; `Cell64` is a transparent u64.
                Some(unsafe { &*cell.cast::<Cell64>() })
            }
            #[inline(always)]
            fn fragment(&self, key: &FragmentKey<$family>) -> Option<FlowKey<$family>> {
                // SAFETY: copied at once; a torn copy, if the entry is recycled meanwhile, finds no flow.
                unsafe { maps::$fragments.get(key) }.copied()
            }
            #[inline(always)]
            fn remember_fragment(&self, key: &FragmentKey<$family>, flow: &FlowKey<$family>) {
                // A fragment that could not be remembered makes later ones drop as `fragment_unknown`, counted.
                let _full = maps::$fragments.insert(key, flow, BPF_ANY as u64);
            }
            #[inline(always)]
            fn listener(&self, key: &ListenerKey<$family>) -> Option<Listener> {
                let epoch = listeners_epoch()?;
                let Some(seen) = maps::$seen.get_ptr_mut(key.place()) else { return None };
                // SAFETY: this CPU's own, and XDP does not preempt itself.
                let seen = unsafe { &mut *seen };
                if seen.epoch == epoch && seen.key.is(key) {
                    return Some(seen.listener);
                }
                // SAFETY: copied at once: eight bytes, one load.
                let listener = unsafe { maps::$listeners.get(key) }.copied()?;
                *seen = Seen { key: *key, listener, epoch };
                Some(listener)
            }
            #[inline(always)]
            fn backend(&self, id: u16) -> Option<&Backend<$family>> {
                maps::$backends.get(id as u32)
            }
            #[inline(always)]
            fn nat_source(&self, index: u16) -> Option<&NatSource<$family>> {
                maps::$sources.get(index as u32)
            }
            #[inline(always)]
            fn limit(&self, work: &mut Work<$family>, step: Step, number: u8) -> bool {
                keys::shared(work);
                let number = number as u32;
                let passes = match step {
                    Step::Packet | Step::Unproved | Step::Connection => keys::$charge(step as u32, number),
                    Step::Look => keys::$look(number),
                    Step::Establish => keys::$establish(number),
                    Step::Leave => keys::$leave(number),
                };
                keys::shared(work);
                passes != 0
            }
            #[inline(always)]
            fn is_exempt(&self, limit: u16, client: &$family) -> bool {
                let data = maps::Exempt { limit: limit as u32, address: *client };
                let bits = 8 * size_of_val(&data) as u32;
                maps::$exempt.get(&Key::new(bits, data)).is_some()
            }
            #[inline(always)]
            fn route(&self, query: &RouteQuery<$family>, exit: &mut Exit<$family>) -> Route {
                $route(self, query, exit)
            }
            #[inline(always)]
            fn socket(&self, key: &FlowKey<$family>) -> Socket {
                super::socket::find(self, key)
            }
            #[inline(always)]
            fn vouch(&mut self, ip: &Internet<$family>, offer: &Offer) -> Option<()> {
                super::socket::vouch(self, ip, offer)
            }
            #[inline(always)]
            fn defer(&mut self, ifindex: u32, neighbour: $family) -> Option<()> {
                super::note::leave(self, ifindex, neighbour)
            }
        }
    };
}

tables!(
    Ip4,
    SharedYoungSlot<3>,
    FLOWS4,
    YOUNG4,
    YOUNG_REVERSE4,
    FRAGMENTS4,
    LISTENERS4,
    SEEN4,
    BACKENDS4,
    NAT_SOURCES4,
    EXEMPT4,
    proxy_charge4,
    proxy_look4,
    proxy_establish4,
    proxy_leave4,
    super::route::v4
);
tables!(
    Ip6,
    SharedYoungSlot<6>,
    FLOWS6,
    YOUNG6,
    YOUNG_REVERSE6,
    FRAGMENTS6,
    LISTENERS6,
    SEEN6,
    BACKENDS6,
    NAT_SOURCES6,
    EXEMPT6,
    proxy_charge6,
    proxy_look6,
    proxy_establish6,
    proxy_leave6,
    super::route::v6
);

/// Ends with each change of the tables of listeners. Read before they are.
#[inline(always)]
fn listeners_epoch() -> Option<u64> {
    let epoch = maps::LISTENERS_EPOCH.get_ptr(0)?;
    // SAFETY: an array's value lives for the program's run; `Cell64` is a transparent u64.
    Some(unsafe { &*epoch.cast::<Cell64>() }.load())
}

/// A word of the set of known flows.
#[inline(always)]
fn known_word(index: u32) -> Option<&'static Cell64> {
    let word = maps::KNOWN.get_ptr(index)?;
    // SAFETY: an array's value lives for the program's run; `Cell64` is a transparent u64.
    Some(unsafe { &*word.cast::<Cell64>() })
}

impl Keys for Frame {
    #[inline(always)]
    fn bucket_set(&self, index: u32) -> Option<&SharedBucketSet> {
        keys::OfKeys.set(index)
    }
    #[inline(always)]
    fn sketch(&self, cell: u32) -> Option<&Cell64> {
        keys::OfKeys.cell(cell)
    }
    #[inline(always)]
    fn claimant(&self) -> u16 {
        keys::OfKeys.claimant()
    }
    #[inline(always)]
    fn locate(&self, tag: u64, sets: u32) -> Option<Place> {
        keys::OfKeys.locate(tag, sets)
    }
    #[inline(always)]
    fn victim(&self, tag: u64, sets: u32, now: u64, right: Right) -> Option<Place> {
        keys::OfKeys.victim(tag, sets, now, right)
    }
    #[inline(always)]
    fn is_alone(&self, tag: u64, sets: u32, own: Place) -> bool {
        keys::OfKeys.is_alone(tag, sets, own)
    }
}

impl World for Frame {
    #[inline(always)]
    fn now(&self) -> u32 {
        super::now()
    }
    #[inline(always)]
    fn ticks(&self) -> u64 {
        super::ticks()
    }
    #[inline(always)]
    fn ban_line(&self, table: u32, index: u32) -> Option<&Line> {
        super::bans::line(table, index)
    }
    #[inline(always)]
    fn settings(&self) -> Option<&Settings> {
        maps::SETTINGS.get(0)
    }
    #[inline(always)]
    fn filter(&self) -> Option<&DestinationFilter> {
        maps::FILTER.get(0)
    }
    #[inline(always)]
    fn may_be_known(&self, hash: u64) -> bool {
        let (word, bits) = known::place(hash);
        let Some(asked) = known_word(known::ASKED) else { return true };
        known_word(known::of_copy(asked.load(), word)).is_none_or(|word| known::has(word.load(), bits))
    }
    #[inline(always)]
    fn note_known(&self, hash: u64) {
        let (word, bits) = known::place(hash);
        for copy in 0..known::COPIES {
            if let Some(word) = known_word(known::of_copy(u64::from(copy), word))
                && !known::has(word.load(), bits)
            {
                word.fetch_or(bits);
            }
        }
    }
    #[inline(always)]
    fn young_word(&self, seeded: u64) -> Option<&Cell64> {
        known_word(known::young(seeded))
    }
    #[inline(always)]
    fn ring_slot(&self, listener: u16, slot: u32) -> Option<u16> {
        let ring = maps::RINGS.get_value(listener as u32, &0)?;
        (slot < RING_SLOTS).then(|| ring.slots[slot as usize])
    }
    #[inline(always)]
    fn backend_hop(&self, id: u16) -> Option<&SharedHop> {
        let hop = maps::BACKEND_HOPS.get_ptr(id as u32)?;
        // SAFETY: an array's value lives for the program's run; `Hop` and `SharedHop` are the same bytes.
        Some(unsafe { &*hop.cast::<SharedHop>() })
    }
    #[inline(always)]
    fn count_traffic(&self, id: u16, bytes: u32, returning: bool, fresh: bool) {
        let Some(traffic) = maps::TRAFFIC.get_ptr_mut(id as u32) else { return };
        // SAFETY: this CPU's own slot, and XDP does not preempt itself.
        let traffic = unsafe { &mut *traffic };
        if returning {
            traffic.return_packets += 1;
            traffic.return_bytes += bytes as u64;
        } else {
            traffic.packets += 1;
            traffic.bytes += bytes as u64;
        }
        if fresh {
            traffic.new_flows += 1;
        }
    }
    #[inline(always)]
    fn guard_settings(&self) -> Option<&GuardSettings> {
        maps::GUARD_SETTINGS.get(0)
    }
    #[inline(always)]
    fn guard_rule(&self, listener: u16) -> Option<&GuardRule> {
        maps::GUARD_RULES.get(u32::from(listener))
    }
    #[inline(always)]
    fn guard(&self, index: u32) -> Option<&SharedGuard> {
        let guard = maps::GUARDS.get_ptr(index)?;
        // SAFETY: an array's value lives for the program's run; `Guard` and `SharedGuard` are the same bytes.
        Some(unsafe { &*guard.cast::<SharedGuard>() })
    }
    #[inline(always)]
    fn gather(&self, index: u32, batch: u32) -> u32 {
        let Some(count) = maps::GATHERED.get_ptr_mut(index) else { return 0 };
        // SAFETY: this CPU's own slot, and XDP does not preempt itself.
        let count = unsafe { &mut *count };
        *count += 1;
        let many = *count;
        if many < batch {
            return 0;
        }
        *count = 0;
        many
    }
    #[inline(always)]
    fn alive(&self, index: u32) -> Option<&Cell64> {
        let cell = maps::ALIVE.get_ptr(index)?;
        // SAFETY: as above; `Cell64` is a transparent u64.
        Some(unsafe { &*cell.cast::<Cell64>() })
    }
    #[inline(always)]
    fn credit(&self, index: u32) -> Option<&Cell64> {
        let cell = maps::CREDIT.get_ptr(index)?;
        // SAFETY: as above.
        Some(unsafe { &*cell.cast::<Cell64>() })
    }
    #[inline(always)]
    fn plan(&self, number: u8) -> Option<&SharedPlan> {
        let plan = maps::PLANS.get_ptr(number as u32)?;
        // SAFETY: an array's value lives for the program's run; both are the same bytes, and what changes is cells.
        Some(unsafe { &*plan.cast::<SharedPlan>() })
    }
    #[inline(always)]
    fn counted(&self, number: u8) -> Option<&CountedSet> {
        maps::COUNTED.get(number as u32)
    }
    #[inline(always)]
    fn answer(&self, family: u8, ask: &Ask) -> u64 {
        // What the function reads is in memory, and what it writes is read again.
        keys::shared(ask);
        let family = family as u32;
        let answer = if makes(ask.question) { keys::proxy_settle(family) } else { keys::proxy_tell(family) };
        keys::shared(ask);
        answer
    }
    #[inline(always)]
    fn count_limit(&self, limit: u16, measure: u8, outcome: LimitOutcome) {
        let Some(count) = maps::LIMIT_COUNTS.get_ptr_mut(count_index(limit, measure)) else { return };
        // SAFETY: this CPU's own slot, and XDP does not preempt itself.
        let count = unsafe { &mut *count };
        match outcome {
            LimitOutcome::Passed => count.passed += 1,
            LimitOutcome::Refused => count.refused += 1,
            LimitOutcome::Observed => count.observed += 1,
            LimitOutcome::Exempt => count.exempt += 1,
        }
    }
    #[inline(always)]
    fn count_passed(&self, counter: u32) {
        let Some(count) = maps::LIMIT_COUNTS.get_ptr_mut(counter) else { return };
        // SAFETY: as above.
        unsafe { (*count).passed += 1 };
    }
    #[inline(always)]
    fn splice(&self, number: u32) -> Option<&SharedSplice> {
        super::splice::entry(number)
    }
    #[inline(always)]
    fn option_step(&self, family: u8, number: u32, options: &mut Options) {
        keys::shared(options);
        super::splice::proxy_option(family as u32, number);
        keys::shared(options);
    }
    #[inline(always)]
    fn hold(&self, number: u32) -> bool {
        super::hold::copy(self.ctx, number)
    }
    #[inline(always)]
    fn tell(&self, event: &Event) {
        if maps::EVENTS.output(event, 0).is_err() {
            count(&maps::NOTICES, Notice::EventsLost.index());
        }
    }
    #[inline(always)]
    fn count_drop(&self, reason: DropReason) {
        super::count_drop(reason);
    }
    #[inline(always)]
    fn notice(&self, notice: Notice) {
        count(&maps::NOTICES, notice.index());
    }
}
