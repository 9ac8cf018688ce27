//! Requests under limits. Of several that hold for one, all are charged or none: a request that one of them refuses costs
//! nothing with the others. The one that it would have to wait for longest answers.

use std::sync::Arc;

use proxy_common::gcra::Charged;
use smallvec::SmallVec;

use super::fields::Fields;
use super::rule::Rule;
use super::whose::Caller;
use crate::config::LimitAction;
use crate::l7::cause::Cause;
use crate::l7::hang_up::HangUp;
use crate::l7::request::Request;
use crate::l7::tls::TlsInfo;
use crate::limit::Key;
use crate::net::stream::Target;

/// Who is under limits.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The request,
    pub request: &'a Request,
    /// its route; empty: none wants it,
    pub route: &'a str,
    /// and its backend, once there is one.
    pub backend: Option<&'a Target>,
    /// Who serves it, by its number.
    pub worker: usize,
}

/// A rule that holds, and whom it counts.
type Charge<'a> = (&'a Rule, Key);

/// Charges a request. What its client is told of limits stands in the request's record; and what happens instead of an
/// answer, if there is to be none.
///
/// # Errors
/// It is too much.
pub fn charge(rules: &[Arc<Rule>], asking: Asking<'_>) -> Result<(), Cause> {
    if rules.is_empty() {
        return Ok(());
    }
    let caller = asking.caller();
    let listener = &asking.request.connection.listener.name;
    let mut charges: SmallVec<[Charge<'_>; 4]> = SmallVec::new();
    for rule in rules.iter().filter(|rule| rule.is_of(listener)) {
        if rule.exempts(caller.client, asking.worker) {
            continue;
        }
        let key = rule.key(&caller);
        if rule.observes() {
            if let Charged::Refused(_) = rule.charge(&key, asking.worker) {
                rule.exceeded(&key, &caller, asking.worker);
            }
        } else {
            charges.push((rule, key));
        }
    }
    // One alone needs no look ahead.
    if charges.len() > 1
        && let Some((worst, wait)) = longest(charges.iter().filter_map(|charge| waits(charge)))
    {
        return Err(refuse(worst, wait, &caller, asking));
    }
    for charge in &charges {
        let (rule, key) = charge;
        match rule.charge(key, asking.worker) {
            Charged::Passed(left) if tells(rule) => {
                tell(asking.request, |fields| fields.passed(&rule.live, left));
            }
            Charged::Passed(_) => {}
            // Somebody was faster in between.
            Charged::Refused(wait) => return Err(refuse(charge, wait, &caller, asking)),
        }
    }
    Ok(())
}

fn waits<'a, 'b>(charge: &'b Charge<'a>) -> Option<(&'b Charge<'a>, u64)> {
    charge.0.peek(&charge.1).err().map(|wait| (charge, wait))
}

fn longest<T>(waits: impl Iterator<Item = (T, u64)>) -> Option<(T, u64)> {
    waits.max_by_key(|(_, wait)| *wait)
}

fn refuse(charge: &Charge<'_>, wait: u64, caller: &Caller<'_>, asking: Asking<'_>) -> Cause {
    let (rule, key) = charge;
    rule.exceeded(key, caller, asking.worker);
    let record = &asking.request.record;
    match rule.action {
        LimitAction::Drop => record.hang_up.set(Some(HangUp::Drop)),
        LimitAction::Close => record.hang_up.set(Some(HangUp::Close)),
        LimitAction::Reset => record.hang_up.set(Some(HangUp::Reset)),
        LimitAction::Auto | LimitAction::Reply | LimitAction::Observe => {
            tell(asking.request, |fields| fields.refused(&rule.live, wait));
        }
    }
    Cause::Limited
}

fn tell(request: &Request, change: impl FnOnce(&mut Fields)) {
    change(request.record.limits.borrow_mut().get_or_insert_default());
}

/// Whether clients are told of it: of one that drops without a word they are not.
fn tells(rule: &Rule) -> bool {
    matches!(rule.action, LimitAction::Auto | LimitAction::Reply)
}

impl<'a> Asking<'a> {
    /// What is known of it.
    pub(super) fn caller(self) -> Caller<'a> {
        let connection = &self.request.connection;
        let tls = connection.tls.as_deref();
        Caller {
            client: self.request.client_ip(),
            listener: connection.listener.name.as_str(),
            sni: tls.and_then(TlsInfo::sni),
            ja4: tls.and_then(|tls| tls.ja4.as_deref()),
            request: Some(self.request),
            route: self.route,
            backend: self.backend,
        }
    }
}
