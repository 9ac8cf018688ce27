//! Limits: what a listener's plan lets through of packets, bytes, new connections, and connections at a time.
//!
//! A client gets entries in the table of keys once it has a flow: what it sends before is charged to the entries it has, else to
//! the sketch. Where a flow proves nothing (`dsr`, datagrams), its entries are lent: there are half as many places for them, and
//! who has proved to be alive takes one of them if there is no other. So spoofed sources shut out nobody who is there.

use proxy_common::{
    addr::{Address, Ip4},
    bucket::{self, Asked, Charge, Key, Make, Right, Who, Wish},
    drop_reason::{DropReason, Notice},
    flow::FlowKind,
    gcra::{Gcra, fractions},
    limit_event::kind,
    plan::{Plan, RULES, Rule, SharedPlan, SharedRule, action, measure, scope},
};

use crate::{
    keys::{AGAIN, Ask, Buckets, FULL, PASSED, Question, REFUSED, least, makes},
    parsed::TCP,
    verdict::{Outcome, dropped},
    work::{Alive, Limited, Step, Work},
    world::{LimitOutcome, Tables, World},
};
use core::ops::ControlFlow::Continue;

/// An address as keys have it: words as they lie in the packet.
#[inline(always)]
fn who<A: Address>(address: &A) -> [u64; 2] {
    let words = address.words();
    let words = words.as_ref();
    if words.len() == 1 {
        [words[0] as u64, 0]
    } else {
        [words[0] as u64 | (words[1] as u64) << 32, words[2] as u64 | (words[3] as u64) << 32]
    }
}

/// Becomes the key of what `source` sends to `backend`, under a rule.
#[inline(always)]
fn set_key<A: Address, U64>(key: &mut Key, rule: &Rule<U64>, seed: u64, source: &A, backend: u16, name: u64) {
    let (kind, who) = whose(rule, source, backend, name);
    key.set(seed, rule.limit, rule.measure, kind, who);
}

/// Whose traffic is counted together under a rule.
#[inline(always)]
fn whose<A: Address, U64>(rule: &Rule<U64>, source: &A, backend: u16, name: u64) -> (Who, [u64; 2]) {
    match rule.scope {
        scope::ADDRESS if A::FAMILY == Ip4::FAMILY => (Who::V4, [who(source)[0] & rule.v4 as u64, 0]),
        scope::ADDRESS => {
            let [high, low] = who(source);
            (Who::V6, [high & rule.v6[0], low & rule.v6[1]])
        }
        scope::BACKEND => (Who::Number, [backend as u64, 0]),
        scope::NAME => (Who::Text, [name, 0]),
        _ => (Who::of(rule.kind), [rule.number, 0]),
    }
}

/// The straight way of an established flow's packet, where its listener has one limit of packets or bytes at most. Whether
/// that is all: if not, nothing is charged, and [`Step::Packet`] says what becomes of it.
#[inline(always)]
pub fn is_within<W: World, A: Address>(world: &W, work: &Work<A>, number: u8) -> bool {
    if number == 0 {
        return true;
    }
    let Some(plan) = world.plan(number) else { return true };
    if plan.straight != Plan::<u64>::STRAIGHT {
        return plan.straight == Plan::<u64>::FREE;
    }
    let rule = &plan.rules[0];
    let (kind, who) = whose(rule, &work.ip.key.source, work.rewrite.backend, work.limit.name);
    let tag = bucket::tag_of(plan.seed, rule.salt, kind, who);
    // Its entry first: what else there is to know need not be kept meanwhile.
    let table = Buckets { world, sets: plan.sets };
    let Some((set, way)) = bucket::located(&table, tag) else { return false };
    let gcra = Gcra { interval: rule.interval.load(), tolerance: rule.tolerance.load() };
    let units = if rule.measure == measure::BYTES { work.ip.end } else { 1 };
    let is_charged = bucket::charges_at_once(set, way, tag, &gcra, units, fractions(world.ticks()));
    if is_charged {
        world.count_passed(rule.counter);
    }
    is_charged
}

/// Fills the question about a rule in: everything but what is asked.
#[inline(always)]
fn ask<W: World, A: Address>(world: &W, work: &mut Work<A>, plan: &SharedPlan, rule: &SharedRule) {
    let Work { limit: Limited { ask, name, alive, .. }, ip, rewrite, .. } = work;
    set_key(&mut ask.key, rule, plan.seed, &ip.key.source, rewrite.backend, *name);
    let lent = rule.scope == scope::ADDRESS && *alive != Alive::Yes;
    ask.asked.right = if lent { Right::Lent } else { Right::Own };
    ask.asked.gcra.interval = rule.interval.load();
    ask.asked.gcra.tolerance = rule.tolerance.load();
    ask.asked.now = fractions(world.ticks());
    ask.asked.units = if rule.measure == measure::BYTES { ip.end } else { 1 };
    ask.sets = plan.sets;
}

/// Does a step. Whether what is in hand may go on.
#[inline(always)]
pub fn run<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, step: Step, number: u8) -> bool {
    match step {
        Step::Packet | Step::Unproved | Step::Connection => charges(world, work, step, number),
        Step::Look => looks(world, work, number),
        Step::Establish => establishes(world, work, number),
        Step::Leave => {
            leave(world, work, number);
            true
        }
    }
}

/// [`Step::Packet`], [`Step::Unproved`] and [`Step::Connection`].
#[inline(always)]
pub fn charges<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    step: Step,
    number: u8,
) -> bool {
    world.plan(number).is_none_or(|plan| charge_all(world, work, plan, step).is_continue())
}

/// [`Step::Look`].
#[inline(always)]
pub fn looks<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, number: u8) -> bool {
    world.plan(number).is_none_or(|plan| look(world, work, plan).is_continue())
}

/// [`Step::Establish`].
#[inline(always)]
pub fn establishes<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, number: u8) -> bool {
    world.plan(number).is_none_or(|plan| establish(world, work, plan).is_continue())
}

/// Charges a packet of a listener's clients and its bytes, or a new connection: then it is looked, too, whether one more
/// may be at a time.
#[inline(always)]
fn charge_all<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    plan: &SharedPlan,
    step: Step,
) -> Outcome {
    let connection = matches!(step, Step::Connection);
    work.limit.begin(if matches!(step, Step::Packet) { Alive::of(work.proved) } else { Alive::Unproved });
    for number in 0..RULES {
        let rule = &plan.rules[number];
        if !rule.is_used() || !connection && rule.measure > measure::BYTES {
            break;
        }
        if connection && rule.measure <= measure::BYTES {
            continue;
        }
        let first = rule.flags & Rule::<u64>::EXEMPTS_FIRST != 0 && rule.measure != measure::CONCURRENT;
        if first && exempt(world, work, rule) {
            continue;
        }
        ask(world, work, plan, rule);
        let passes = if rule.measure == measure::CONCURRENT {
            asked(world, work, Question::Count) < rule.interval.load()
        } else {
            charge(world, work, plan, rule)
        };
        if !passes {
            refuse(world, work, plan, rule)?;
        }
    }
    Continue(())
}

/// Looks at what a new connection would be charged: a worker takes it, and charges it.
#[inline(always)]
fn look<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, plan: &SharedPlan) -> Outcome {
    work.limit.begin(Alive::Unproved);
    for number in 0..RULES {
        let rule = &plan.rules[number];
        // What only observes is counted by the worker.
        if rule.measure < measure::CONNECTIONS || rule.action == action::OBSERVE || !rule.is_used() {
            continue;
        }
        ask(world, work, plan, rule);
        let spent = if rule.measure == measure::CONCURRENT {
            asked(world, work, Question::Count) >= rule.interval.load()
        } else {
            asked(world, work, Question::Peek) == REFUSED
        };
        if spent {
            refuse(world, work, plan, rule)?;
        }
    }
    Continue(())
}

/// Has the question in `work` answered.
#[inline(always)]
fn asked<W: World, A: Address>(world: &W, work: &mut Work<A>, question: Question) -> u64 {
    work.limit.ask.question = question;
    work.limit.ask.asked.wish = match question {
        Question::Enter => Wish::Enter,
        Question::Plant => Wish::Plant,
        _ => Wish::Charge,
    };
    if !makes(question) {
        return world.answer(A::FAMILY, &work.limit.ask);
    }
    for _ in 0..bucket::ROUNDS {
        let answer = world.answer(A::FAMILY, &work.limit.ask);
        if answer != AGAIN {
            return answer;
        }
    }
    FULL
}

/// Charges a rule. Whether it passes.
#[inline(always)]
fn charge<W: World, A: Address>(world: &W, work: &mut Work<A>, plan: &SharedPlan, rule: &SharedRule) -> bool {
    let Ask { key, asked: Asked { gcra, units, now, .. }, .. } = &work.limit.ask;
    let table = Buckets { world, sets: plan.sets };
    // The straight way: the key has an entry.
    let charge = bucket::charge(&table, key, gcra, *units, *now, Make::No);
    let passes = match charge {
        Charge::Passed(_) => true,
        Charge::Refused(_) => false,
        _ => charge_anew(world, work, plan, rule),
    };
    if passes {
        world.count_limit(rule.limit, rule.measure, LimitOutcome::Passed);
    }
    passes
}

/// Charges a key without an entry: it gets one, or the sketch decides. Whether it passes.
#[inline(always)]
fn charge_anew<W: World, A: Address>(
    world: &W,
    work: &mut Work<A>,
    plan: &SharedPlan,
    rule: &SharedRule,
) -> bool {
    let of_address = rule.scope == scope::ADDRESS;
    let [high, _] = who(&work.ip.key.source);
    // /24 and /48, as they lie in the packet.
    let subnet = high & if A::FAMILY == Ip4::FAMILY { 0x00ff_ffff } else { 0xffff_ffff_ffff };
    work.limit.ask.subnet = if of_address { subnet } else { 0 };
    work.limit.ask.seed = plan.seed;
    work.limit.ask.asked.begin = 0;
    if work.limit.alive != Alive::Unproved || !of_address {
        let answer = asked(world, work, Question::Charge);
        if answer != FULL {
            return answer == PASSED;
        }
        world.notice(Notice::LimitTableFull);
    }
    asked(world, work, Question::Sketch) == PASSED
}

/// Whether the packet's source is exempt from a rule; counts that it is.
#[inline(never)]
fn exempt<W: World + Tables<A>, A: Address>(world: &W, work: &Work<A>, rule: &SharedRule) -> bool {
    let is = rule.flags & Rule::<u64>::EXEMPTS != 0
        && Tables::<A>::is_exempt(world, rule.limit, &work.ip.key.source);
    if is {
        world.count_limit(rule.limit, rule.measure, LimitOutcome::Exempt);
    }
    is
}

/// What the rule of the question in `work` is exceeded by: counted, told, and, if the rule says so, refused.
#[inline(never)]
fn refuse<W: World + Tables<A>, A: Address>(
    world: &W,
    work: &mut Work<A>,
    plan: &SharedPlan,
    rule: &SharedRule,
) -> Outcome {
    let asked_before = rule.flags & Rule::<u64>::EXEMPTS_FIRST != 0 && rule.measure != measure::CONCURRENT;
    if !asked_before && exempt(world, work, rule) {
        return Continue(());
    }
    work.limit.ask.pause = plan.hz;
    let count = asked(world, work, Question::Refuse);
    if count != 0 {
        let is_nat = FlowKind::of(work.rewrite.kind) == FlowKind::NatForward;
        let proved = work.limit.alive == Alive::Yes && is_nat && work.ip.key.protocol == TCP;
        let event = &mut work.limit.event;
        event.kind = if proved { kind::LIMIT_PROVED } else { kind::LIMIT };
        event.who_kind = (work.limit.ask.key.info >> 32) as u8;
        event.measure = rule.measure;
        event.action = rule.action;
        event.limit = rule.limit;
        event.listener = plan.listener;
        event.count = count as u32;
        event.family = if A::FAMILY == Ip4::FAMILY { 4 } else { 6 };
        event.who = work.limit.ask.key.who;
        event.source = who(&work.ip.key.source);
        world.tell(event);
    }
    if rule.action == action::OBSERVE {
        world.count_limit(rule.limit, rule.measure, LimitOutcome::Observed);
        return Continue(());
    }
    world.count_limit(rule.limit, rule.measure, LimitOutcome::Refused);
    work.limit.reset = rule.action == action::RESET;
    dropped(DropReason::Limit)
}

/// A client has proved to be alive: its keys get entries, which begin where the sketch has them. Then one more
/// connection at a time is counted; the number of the set of counts is left in `work.rewrite`.
#[inline(always)]
fn establish<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, plan: &SharedPlan) -> Outcome {
    work.limit.begin(Alive::of(work.proved));
    for number in 0..RULES {
        let rule = &plan.rules[number];
        if rule.is_used() && rule.measure != measure::CONCURRENT && rule.scope == scope::ADDRESS {
            ask(world, work, plan, rule);
            work.limit.ask.asked.begin = least(world, &work.limit.ask.key);
            asked(world, work, Question::Plant);
        }
    }
    if plan.of_counts != 0 { enter(world, work, plan) } else { Continue(()) }
}

/// Counts one more for each rule, or for none.
#[inline(always)]
fn enter<W: World + Tables<A>, A: Address>(world: &W, work: &mut Work<A>, plan: &SharedPlan) -> Outcome {
    work.limit.entered = 0;
    for number in 0..RULES {
        let rule = &plan.rules[number];
        if rule.measure != measure::CONCURRENT || !rule.is_used() {
            continue;
        }
        ask(world, work, plan, rule);
        // Who is exempt takes a place, and finds one.
        let free = rule.action == action::OBSERVE || exempt(world, work, rule);
        let most = rule.interval.load().min(u32::MAX as u64);
        work.limit.ask.asked.units = if free { u32::MAX } else { most as u32 };
        let there = asked(world, work, Question::Enter);
        if there == FULL {
            world.notice(Notice::LimitTableFull);
            back_out(world, work, plan);
            return Continue(());
        }
        if there == 0 || there > most {
            let refused = refuse(world, work, plan, rule);
            if there == 0 {
                back_out(world, work, plan);
                return refused;
            }
        } else {
            world.count_limit(rule.limit, rule.measure, LimitOutcome::Passed);
        }
        work.limit.entered |= 1 << number;
    }
    work.rewrite.counted = plan.counted;
    Continue(())
}

/// Takes back what was counted of `work.limit.entered`.
#[inline(always)]
fn back_out<W: World, A: Address>(world: &W, work: &mut Work<A>, plan: &SharedPlan) {
    for number in 0..RULES {
        if work.limit.entered & 1 << number != 0 {
            ask(world, work, plan, &plan.rules[number]);
            asked(world, work, Question::Leave);
        }
    }
}

/// A connection is over: counts one less for each rule of the set that it was counted under.
#[inline(always)]
pub fn leave<W: World, A: Address>(world: &W, work: &mut Work<A>, counted: u8) {
    let Some(set) = world.counted(counted) else { return };
    for number in 0..RULES {
        if number >= set.count as usize {
            break;
        }
        let Limited { ask, client, backend, .. } = &mut work.limit;
        set_key(&mut ask.key, &set.rules[number], set.seed, client, *backend, 0);
        work.limit.ask.sets = set.sets;
        asked(world, work, Question::Leave);
    }
}
