//! What operators ask for of limits: whether it makes sense.

use crate::admin::api::{Refusal, RefusalKind};
use crate::admin::limits::SetLimit;
use crate::config::{Amount, Measure, nearest_name, parse_amount};

/// Finds a limit by its name, among those that are known.
pub(super) fn find<'a, L>(
    known: &'a [L],
    name_of: impl Fn(&L) -> &str,
    name: &str,
) -> Result<&'a L, Refusal> {
    known.iter().find(|limit| name_of(limit) == name).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(name_of).collect();
        let what = if known.is_empty() {
            "the configuration has no [limit.NAME]".to_owned()
        } else {
            nearest_name(name, &known).map_or_else(
                || format!("limits are: {}", known.join(", ")),
                |near| format!("did you mean {near:?}?"),
            )
        };
        Refusal::new(RefusalKind::NotFound, format!("there is no limit {name:?}; {what}"))
    })
}

/// What shall be let through, if all of it makes sense; else everything that does not. `measures`: what the limit counts.
pub(super) fn amounts(measures: &[Measure], wanted: &SetLimit) -> Result<Vec<(Measure, Amount)>, Refusal> {
    let counted: Vec<&str> = measures.iter().map(|measure| measure.name()).collect();
    let limit = &wanted.limit;
    let mut amounts = Vec::new();
    let mut wrong = Vec::new();
    for (name, text) in &wanted.amounts {
        let measure = Measure::of(name).filter(|measure| measures.contains(measure));
        match measure.map(|measure| (measure, parse_amount(measure, text))) {
            Some((measure, Ok(amount))) => amounts.push((measure, amount)),
            Some((_, Err(why))) => wrong.push(format!("{name} = {text:?}: {why}")),
            None => {
                let near = nearest_name(name, &counted).map(|near| format!("; did you mean {near:?}?"));
                let counted = counted.join(", ");
                wrong.push(format!(
                    "limit {limit:?} counts {counted}, and no {name:?}{}",
                    near.unwrap_or_default()
                ));
            }
        }
    }
    if amounts.is_empty() && wrong.is_empty() {
        wrong.push(format!("say how much limit {limit:?} shall let through of {}", counted.join(", ")));
    }
    if wrong.is_empty() { Ok(amounts) } else { Err(Refusal::new(RefusalKind::BadRequest, wrong.join("; "))) }
}

/// An address, to forget what it has used up.
pub(super) fn address(text: &str) -> Result<std::net::IpAddr, Refusal> {
    let bad = || format!("{text:?} is no address: write it as \"192.0.2.1\" or \"2001:db8::1\"");
    let address: std::net::IpAddr = text.parse().map_err(|_| Refusal::new(RefusalKind::BadRequest, bad()))?;
    Ok(address.to_canonical())
}

/// A limit that does not count by address has no key that is one.
pub(super) fn not_by_address(limit: &str, per: &str) -> Refusal {
    let error = format!("limit {limit:?} counts per {per:?}, not per address");
    Refusal::new(RefusalKind::BadRequest, error)
}

/// It was tried, and failed.
pub(super) fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalKind::Failed, format!("not done: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_not_there_is_told_with_the_nearest() {
        let known = ["per-client"];
        let find = |name| find(&known, |known| known, name);
        assert!(find("per-client").is_ok());
        let error = find("per-cleint").unwrap_err();
        assert_eq!(error.error, "there is no limit \"per-cleint\"; did you mean \"per-client\"?");
        let error = find("x").unwrap_err();
        assert_eq!(error.error, "there is no limit \"x\"; limits are: per-client");
    }

    #[test]
    fn all_that_makes_no_sense_is_told_at_once() {
        let amounts = |wanted: &[(&str, &str)]| {
            let one = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
            let amounts_ = wanted.iter().map(one).collect();
            let wanted = SetLimit { limit: "per-client".to_owned(), amounts: amounts_ };
            super::amounts(&[Measure::Connections, Measure::Concurrent], &wanted)
        };
        let good = amounts(&[("connections", "500/s burst 9"), ("concurrent", "7")]).unwrap();
        assert_eq!(good.len(), 2);
        assert_eq!(good[0], (Measure::Concurrent, Amount::Most(7)));
        let error =
            amounts(&[("connection", "5/s"), ("concurrent", "none"), ("connections", "0/s")]).unwrap_err();
        assert_eq!(error.kind, RefusalKind::BadRequest);
        for part in ["did you mean \"connections\"?", "concurrent = \"none\"", "connections = \"0/s\""] {
            assert!(error.error.contains(part), "{part}: {}", error.error);
        }
        assert!(amounts(&[]).unwrap_err().error.contains("connections, concurrent"));
    }
}
