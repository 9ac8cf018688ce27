//! The kernel part as it is, behind [`Dataplane`].

use std::collections::HashMap;

use crate::admin::api::Status;
use crate::config::{Config, KernelConfig};
use crate::l4::{Desired, Kernel, OpenError};

use super::dataplane::{Dataplane, DataplaneError, Known, Observed, Place};

/// Loads the kernel part, or adopts it if it is loaded.
pub(super) fn open(config: &KernelConfig) -> Result<Box<dyn Dataplane>, DataplaneError> {
    let kernel = Kernel::open(config)?;
    for note in kernel.notes() {
        tracing::warn!("{note}");
    }
    tracing::info!("the kernel part is {}", if kernel.adopted() { "taken over as it was" } else { "loaded" });
    Ok(Box::new(kernel))
}

/// What the kernel part does by itself, when no daemon runs.
pub fn status_without_daemon(_config: &Config) -> Result<Status, OpenError> {
    Ok(Status::default())
}

impl Dataplane for Kernel {
    fn known(&self) -> HashMap<Place, Known> {
        let known = self.known_backends().into_iter().map(|known| {
            let place = Place { listener: known.listener.as_str().into(), address: known.address };
            (place, Known { down: known.down, drained_by_hand: known.drained_by_hand })
        });
        known.collect()
    }

    fn apply(&mut self, desired: &Desired) -> Result<Vec<String>, DataplaneError> {
        let applied = Kernel::apply(self, desired)?;
        Ok(applied.unroutable.iter().map(ToString::to_string).collect())
    }

    fn attach(&mut self, config: &KernelConfig) -> Result<Vec<String>, DataplaneError> {
        let attached = Kernel::attach(self, &config.interfaces, config.attach)?;
        Ok(attached.iter().map(ToString::to_string).collect())
    }

    fn keep(&mut self) {
        Kernel::keep(self);
    }

    fn follow(&mut self) -> Result<Vec<String>, DataplaneError> {
        Ok(vec![])
    }

    fn collect(&mut self) -> Result<(), DataplaneError> {
        Kernel::collect(self)?;
        Ok(())
    }

    fn observe(&self) -> Result<Observed, DataplaneError> {
        Ok(Observed::default())
    }

    fn explain(&self, _tuple: &str) -> Result<serde_json::Value, DataplaneError> {
        Err("this build explains nothing yet".into())
    }
}
