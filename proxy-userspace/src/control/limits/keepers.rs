//! Limits: what is in force, and what operators change of it. The kernel part keeps what it counts, the workers keep the
//! rest; what both count is set in both.

use std::path::Path;

use super::asked::{address, amounts, failed, find, not_by_address};
use crate::admin::api::Refusal;
use crate::admin::limits::{
    AmountChange, Changed, LimitRow, LimitedKey, Limits, LimitsAnswer, LimitsRequest, ResetLimit, SetLimit,
    Top,
};
use crate::config::{Amount, Config, LimitConfig, Measure, amount_text};
use crate::control::dataplane::{Dataplane, DataplaneError, LimitCounts, LimitInForce};
use crate::control::supervisor::Supervisor;
use crate::control::web::Web;
use crate::l7::limit;
use crate::telemetry::audit::{Audited, By, audit};

/// Keys that `limit top` is told of at most.
const TOP: usize = 1000;

impl Supervisor {
    /// Answers. Changes are written down with who asked.
    pub(in crate::control) fn limits(
        &mut self,
        asked: &LimitsRequest,
        uid: Option<u32>,
    ) -> Result<LimitsAnswer, Refusal> {
        let mut limits = Keepers { config: &self.config, kernel: self.kernel.as_deref_mut(), web: &self.web };
        let by = By::Asked(uid);
        match asked {
            LimitsRequest::List => {
                Ok(LimitsAnswer::List(Limits { limits: rows(limits.config, &limits.in_force()) }))
            }
            LimitsRequest::Top => Ok(LimitsAnswer::Top(Top { keys: limits.top().map_err(|e| failed(&e))? })),
            LimitsRequest::Set(wanted) => limits.set(wanted, by).map(LimitsAnswer::Changed),
            LimitsRequest::Reset(wanted) => limits.reset(wanted, by).map(LimitsAnswer::Changed),
        }
    }

    /// What operators have set before this daemon: the kernel part goes by it already, workers shall, too.
    pub(in crate::control) fn adopt_limits(&self) {
        for (limit, measure, amount) in self.kernel.iter().flat_map(|kernel| kernel.limit_overrides()) {
            self.web.limits().set(&limit, measure, amount);
        }
    }

    /// What is in force, for metrics.
    pub(in crate::control) fn limit_rows(&self) -> Vec<LimitRow> {
        rows(&self.config, &in_force(self.kernel.as_deref(), &self.web))
    }
}

/// Those who keep limits, and what the file says of them.
struct Keepers<'a> {
    config: &'a Config,
    kernel: Option<&'a mut (dyn Dataplane + 'static)>,
    web: &'a Web,
}

/// What the workers keep.
fn of_workers(web: &Web) -> impl Iterator<Item = LimitInForce> {
    web.limits().in_force().into_iter().map(|kept| {
        let limit::Counts { passed, refused, observed, exempt } = kept.counts;
        let counts = LimitCounts { passed, refused, observed, exempt };
        LimitInForce { limit: kept.name, measure: kept.measure, amount: kept.amount, counts }
    })
}

impl Keepers<'_> {
    fn in_force(&self) -> Vec<LimitInForce> {
        in_force(self.kernel.as_deref(), self.web)
    }

    /// What a measure lets through now.
    fn amount(&self, limit: &LimitConfig, measure: Measure) -> Option<Amount> {
        let kept =
            self.in_force().into_iter().find(|kept| kept.limit == limit.name && kept.measure == measure);
        kept.map(|kept| kept.amount).or_else(|| limit.measures.get(measure))
    }

    /// The limit of a name.
    fn find(&self, name: &str) -> Result<LimitConfig, Refusal> {
        find(&self.config.limits, |limit| limit.name.as_str(), name).cloned()
    }

    /// Sets all that is wanted, or nothing.
    fn set(&mut self, wanted: &SetLimit, by: By) -> Result<Changed, Refusal> {
        let limit = self.find(&wanted.limit)?;
        let counted: Vec<Measure> = limit.measures.iter().map(|(measure, _)| measure).collect();
        let amounts = amounts(&counted, wanted)?;
        let mut before = Vec::with_capacity(amounts.len());
        for (measure, amount) in &amounts {
            let from = self.amount(&limit, *measure);
            if let Err(error) = self.put(&limit, *measure, *amount) {
                self.put_back(&limit, &before);
                return Err(failed(&error));
            }
            before.push((*measure, from));
        }
        let changes = amounts.iter().zip(before).map(|((measure, amount), (_, from))| {
            self.changed("limit set", &limit, *measure, (from, Some(*amount)), by)
        });
        Ok(Changed { limit: wanted.limit.clone(), changes: changes.collect(), forgotten: None })
    }

    fn put(&mut self, limit: &LimitConfig, measure: Measure, amount: Amount) -> Result<(), DataplaneError> {
        if let Some(kernel) = &mut self.kernel {
            kernel.set_limit(&limit.name, measure, amount)?;
        }
        self.web.limits().set(&limit.name, measure, amount);
        Ok(())
    }

    /// What was set before a step that failed is taken back.
    fn put_back(&mut self, limit: &LimitConfig, before: &[(Measure, Option<Amount>)]) {
        for (measure, amount) in before {
            let Some(amount) = amount else { continue };
            if let Err(error) = self.put(limit, *measure, *amount) {
                tracing::warn!("limit {}: {} is not as it was before: {error}", limit.name, measure.name());
            }
        }
    }

    fn reset(&mut self, wanted: &ResetLimit, by: By) -> Result<Changed, Refusal> {
        let limit = self.find(&wanted.limit)?;
        if let Some(key) = &wanted.key {
            return self.reset_key(&limit, key, by);
        }
        let before: Vec<_> = limit.measures.iter().map(|(measure, _)| self.amount(&limit, measure)).collect();
        if let Some(kernel) = &mut self.kernel {
            kernel.reset_limit(&limit.name).map_err(|error| failed(&error))?;
        }
        self.web.limits().reset(&limit.name);
        let mut changes = Vec::new();
        for ((measure, amount), from) in limit.measures.iter().zip(before) {
            if from != Some(amount) {
                changes.push(self.changed("limit reset", &limit, measure, (from, Some(amount)), by));
            }
        }
        Ok(Changed { limit: wanted.limit.clone(), changes, forgotten: None })
    }

    fn reset_key(&mut self, limit: &LimitConfig, key: &str, by: By) -> Result<Changed, Refusal> {
        let address = address(key)?;
        let masked = crate::limit::masked(&limit.per, address)
            .ok_or_else(|| not_by_address(limit.name.as_str(), &limit.per.text()))?;
        let mut forgotten = self.web.limits().forget(&limit.name, masked);
        if let Some(kernel) = &mut self.kernel {
            forgotten += kernel.reset_limit_key(&limit.name, masked).map_err(|error| failed(&error))?;
        }
        let name = format!("{} {address}", limit.name);
        let change = Audited { what: "limit reset", name: &name, from: "", to: "", by };
        audit(self.audit_log(), &change);
        Ok(Changed { limit: limit.name.to_string(), changes: Vec::new(), forgotten: Some(forgotten) })
    }

    /// Those who were refused the most, of each keeper.
    fn top(&self) -> Result<Vec<LimitedKey>, DataplaneError> {
        let kernel = self.kernel.as_ref().map(|kernel| kernel.limited()).transpose()?.unwrap_or_default();
        let mut keys: Vec<_> = kernel.into_iter().chain(self.of_workers_refused()).collect();
        keys.sort_by(|a, b| b.refused.cmp(&a.refused).then_with(|| a.cmp(b)));
        // The kernel part's table is the workers' too: both tell of the same keys.
        keys.dedup();
        keys.truncate(TOP);
        Ok(keys)
    }

    fn of_workers_refused(&self) -> Vec<LimitedKey> {
        let Config { listeners, web_listeners, .. } = self.config;
        let names = listeners.iter().map(|listener| &listener.name);
        let names = names.chain(web_listeners.iter().map(|listener| &listener.name));
        let names: Vec<&str> = names.map(|name| name.as_str()).collect();
        let key = |refused: limit::Refused| LimitedKey {
            limit: refused.name.to_string(),
            measure: refused.measure.name().to_owned(),
            key: refused.whose,
            refused: refused.refused,
        };
        self.web.limits().refused(&names).into_iter().map(key).collect()
    }

    fn audit_log(&self) -> Option<&Path> {
        self.config.admin.audit_log.as_deref()
    }

    fn changed(
        &self,
        what: &str,
        limit: &LimitConfig,
        measure: Measure,
        (from, to): (Option<Amount>, Option<Amount>),
        by: By,
    ) -> AmountChange {
        let text =
            |amount: Option<Amount>| amount.map_or_else(String::new, |amount| amount_text(measure, amount));
        let (from, to) = (text(from), text(to));
        let name = format!("{} {}", limit.name, measure.name());
        audit(self.audit_log(), &Audited { what, name: &name, from: &from, to: &to, by });
        AmountChange { measure: measure.name().to_owned(), from, to }
    }
}

fn in_force(kernel: Option<&(dyn Dataplane + 'static)>, web: &Web) -> Vec<LimitInForce> {
    let kernel = kernel.map(Dataplane::limits).unwrap_or_default();
    kernel.into_iter().chain(of_workers(web)).collect()
}

/// One for each measure, in the order of the file.
fn rows(config: &Config, in_force: &[LimitInForce]) -> Vec<LimitRow> {
    let of = |limit: &LimitConfig| {
        let rows = limit.measures.iter().map(|(measure, file)| row(limit, measure, file, in_force));
        rows.collect::<Vec<_>>()
    };
    config.limits.iter().flat_map(of).collect()
}

fn row(limit: &LimitConfig, measure: Measure, file: Amount, in_force: &[LimitInForce]) -> LimitRow {
    let mut counts = LimitCounts::default();
    let mut amount = file;
    for kept in in_force.iter().filter(|kept| kept.limit == limit.name && kept.measure == measure) {
        counts += kept.counts;
        amount = kept.amount;
    }
    LimitRow {
        limit: limit.name.to_string(),
        measure: measure.name().to_owned(),
        amount: amount_text(measure, amount),
        file: (amount != file).then(|| amount_text(measure, file)),
        per: Some(limit.per.text()),
        action: Some(limit.action.name().to_owned()),
        passed: counts.passed,
        refused: counts.refused,
        observed: counts.observed,
        exempt: counts.exempt,
    }
}
