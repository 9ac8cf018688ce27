//! Limits while no daemon runs, out of the pinned tables: what the kernel part keeps is changed at once, and what workers
//! keep is remembered for the daemon that starts next.

use std::path::Path;

use super::asked::{address, amounts, failed, find, not_by_address};
use crate::admin::api::Refusal;
use crate::admin::limits::{
    AmountChange, Changed, LimitRow, LimitedKey, Limits, LimitsAnswer, LimitsRequest, ResetLimit, SetLimit,
    Top,
};
use crate::config::{Amount, Config, Measure, amount_text};
use crate::l4::{LimitMaps, MapError, PinnedError, RememberedLimit};
use crate::telemetry::audit::{Audited, By, audit};

/// What can go wrong without a daemon.
#[derive(Debug, thiserror::Error)]
pub enum LimitsAloneError {
    /// The maps cannot be had.
    #[error(transparent)]
    Maps(#[from] PinnedError),
    /// Nothing is loaded.
    #[error("no daemon answers, and no kernel part is loaded: nothing keeps limits")]
    Nothing,
    /// A table cannot be read.
    #[error(transparent)]
    Map(#[from] MapError),
    /// It was refused.
    #[error("{}", .0.error)]
    Refused(Refusal),
}

/// Answers an operator. `config`: what is on disk, if it has no mistake.
///
/// # Errors
/// Nothing is loaded, a daemon runs after all, or what is asked is refused.
pub fn limits_without_daemon(
    pin_dir: &Path,
    config: Option<&Config>,
    request: &LimitsRequest,
) -> Result<LimitsAnswer, LimitsAloneError> {
    let maps = LimitMaps::alone(pin_dir)?.ok_or(LimitsAloneError::Nothing)?;
    let log = config.and_then(|config| config.admin.audit_log.as_deref());
    let mut alone = Alone { known: maps.remembered()?, maps, log };
    Ok(match request {
        LimitsRequest::List => LimitsAnswer::List(Limits { limits: rows(&alone.known) }),
        LimitsRequest::Top => {
            LimitsAnswer::Top(Top { keys: alone.maps.refused().into_iter().map(key).collect() })
        }
        LimitsRequest::Set(wanted) => {
            LimitsAnswer::Changed(alone.set(wanted).map_err(LimitsAloneError::Refused)?)
        }
        LimitsRequest::Reset(wanted) => {
            LimitsAnswer::Changed(alone.reset(wanted).map_err(LimitsAloneError::Refused)?)
        }
    })
}

/// The tables, and what stood in them.
struct Alone<'a> {
    maps: LimitMaps,
    known: Vec<RememberedLimit>,
    log: Option<&'a Path>,
}

impl Alone<'_> {
    fn find(&self, name: &str) -> Result<RememberedLimit, Refusal> {
        find(&self.known, |limit| limit.name.as_str(), name).cloned()
    }

    fn set(&mut self, wanted: &SetLimit) -> Result<Changed, Refusal> {
        let limit = self.find(&wanted.limit)?;
        let counted: Vec<Measure> = limit.measures.iter().map(|measure| measure.measure).collect();
        let mut changes = Vec::new();
        for (measure, amount) in amounts(&counted, wanted)? {
            let from = limit.measures.iter().find(|known| known.measure == measure).map(|known| known.amount);
            self.maps.set(&limit.name, measure, amount).map_err(failed)?;
            changes.push(self.changed("limit set", &limit, measure, (from, amount)));
        }
        Ok(Changed { limit: wanted.limit.clone(), changes, forgotten: None })
    }

    fn reset(&mut self, wanted: &ResetLimit) -> Result<Changed, Refusal> {
        let limit = self.find(&wanted.limit)?;
        if let Some(key) = &wanted.key {
            return self.reset_key(&limit, key);
        }
        self.maps.reset(&limit.name).map_err(failed)?;
        let other = limit.measures.iter().filter(|measure| measure.amount != measure.file);
        let changes = other.map(|measure| {
            self.changed("limit reset", &limit, measure.measure, (Some(measure.amount), measure.file))
        });
        Ok(Changed { limit: wanted.limit.clone(), changes: changes.collect(), forgotten: None })
    }

    fn reset_key(&self, limit: &RememberedLimit, key: &str) -> Result<Changed, Refusal> {
        let address = address(key)?;
        let forgotten = self.maps.forget(&limit.name, address);
        let forgotten = forgotten.ok_or_else(|| not_by_address(limit.name.as_str(), &limit.per))?;
        let name = format!("{} {address}", limit.name);
        audit(self.log, &Audited { what: "limit reset", name: &name, from: "", to: "", by: by() });
        Ok(Changed { limit: limit.name.to_string(), changes: Vec::new(), forgotten: Some(forgotten) })
    }

    fn changed(
        &self,
        what: &str,
        limit: &RememberedLimit,
        measure: Measure,
        (from, to): (Option<Amount>, Amount),
    ) -> AmountChange {
        let from = from.map_or_else(String::new, |from| amount_text(measure, from));
        let to = amount_text(measure, to);
        let name = format!("{} {}", limit.name, measure.name());
        audit(self.log, &Audited { what, name: &name, from: &from, to: &to, by: by() });
        AmountChange { measure: measure.name().to_owned(), from, to }
    }
}

fn by() -> By {
    By::Offline(rustix::process::getuid().as_raw())
}

fn rows(known: &[RememberedLimit]) -> Vec<LimitRow> {
    let of = |limit: &RememberedLimit| {
        let row = |kept: &crate::l4::RememberedMeasure| LimitRow {
            limit: limit.name.to_string(),
            measure: kept.measure.name().to_owned(),
            amount: amount_text(kept.measure, kept.amount),
            file: (kept.amount != kept.file).then(|| amount_text(kept.measure, kept.file)),
            per: Some(limit.per.clone()),
            action: Some(limit.action.clone()),
            passed: kept.counts.passed,
            refused: kept.counts.refused,
            observed: kept.counts.observed,
            exempt: kept.counts.exempt,
        };
        limit.measures.iter().map(row).collect::<Vec<_>>()
    };
    known.iter().flat_map(of).collect()
}

/// A key that was refused, as it is told.
pub(super) fn key(refused: crate::l4::RefusedKey) -> LimitedKey {
    let crate::l4::RefusedKey { limit, measure, key, refused } = refused;
    LimitedKey { limit: limit.to_string(), measure: measure.name().to_owned(), key, refused }
}
