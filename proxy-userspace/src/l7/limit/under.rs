//! A request under limits, from when it has come to its answer.

use std::rc::Rc;

use super::bandwidth::Bandwidth;
use super::compile::RequestRules;
use super::requests::{Asking, charge};
use crate::l7::cause::Cause;
use crate::l7::request::{Record, Request, Response};

/// A request under limits.
#[derive(Debug)]
pub struct UnderLimits {
    record: Rc<Record>,
    bandwidth: Option<Bandwidth>,
}

impl UnderLimits {
    /// This one.
    pub fn new(request: &Request) -> Self {
        Self { record: Rc::clone(&request.record), bandwidth: None }
    }

    /// Charges it, by the rules of its route, and slows its body down.
    ///
    /// # Errors
    /// It is too much.
    pub fn begin(
        &mut self,
        rules: &RequestRules,
        request: &mut Request,
        route: &str,
        worker: usize,
    ) -> Result<(), Cause> {
        let asking = Asking { request, route, backend: None, worker };
        charge(&rules.requests, asking)?;
        self.bandwidth = Bandwidth::of(&rules.bandwidth, asking);
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.slow_request(request);
        }
        Ok(())
    }

    /// Tells the client of its limits, and slows the answer's body down.
    pub fn answer(self, response: &mut Response) {
        if let Some(fields) = self.record.limits.take() {
            fields.put(response);
        }
        if let Some(bandwidth) = self.bandwidth {
            bandwidth.slow_answer(response);
        }
    }
}
