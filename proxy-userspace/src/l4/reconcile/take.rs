//! Takes steps one after the other: all of them, or none.

use super::goal::PlanError;
use super::present::{Present, Step};
use crate::l4::maps::MapError;

/// Where steps are taken.
pub(crate) trait Store {
    /// Takes one step.
    fn take(&mut self, step: &Step) -> Result<(), MapError>;
}

/// Takes all steps, or none: those taken before a failure are taken back, last first. Steps that cannot be taken back
/// either are left, and the tables are read anew before the next try.
pub(crate) fn take_all(
    store: &mut impl Store,
    present: &mut Present,
    steps: Vec<Step>,
) -> Result<(), Failed> {
    let mut undo = Vec::new();
    for step in steps {
        if let Err(cause) = store.take(&step) {
            // The step may have been half taken: a ring that was filled but not swapped, a value that was written.
            undo.push(present.inverse(&step));
            let stuck = undo.iter().rev().filter(|back| store.take(back).is_err()).count();
            undo.iter().rev().skip(1).for_each(|back| present.note(back));
            return Err(Failed { cause, stuck });
        }
        undo.push(present.inverse(&step));
        present.note(&step);
    }
    Ok(())
}

/// A step failed, and what was done before it was undone.
#[derive(Debug, thiserror::Error)]
#[error("{cause}{}", if *stuck == 0 { "; everything is as it was" } else { "; what was done before could not all be undone" })]
pub struct Failed {
    /// Why.
    #[source]
    pub cause: MapError,
    /// Steps that could not be taken back.
    pub stuck: usize,
}

/// Why what is wanted was not put in place. Everything is as before.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It cannot be.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The kernel refused a step.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// The tables could not be read.
    #[error(transparent)]
    Table(#[from] MapError),
}
