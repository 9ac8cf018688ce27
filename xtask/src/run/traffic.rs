//! Requests, and who answered them.

use anyhow::{Context, Result, ensure};
use proxy_tests::client;
use proxy_tests::world::{Family, World};
use std::collections::BTreeMap;

/// How often each backend answered.
pub(super) type Answers = BTreeMap<String, usize>;

/// More than fits into one segment: the answer is as long as the one who asks wants it.
const LONG: usize = 100_000;

/// Sends requests from the client to the service, each on a connection of its own, and one for a long answer.
pub(super) fn send(world: &World, family: Family, count: usize) -> Result<Answers> {
    let service = world.service(family);
    let mut answers = Answers::new();
    for number in 1..=count {
        let answer = client::get(world.client(), service, "/")
            .with_context(|| format!("request {number} of {count} to {service} got no answer"))?;
        *answers.entry(answer.server).or_default() += 1;
    }
    let long = client::get(world.client(), service, &format!("/bytes/{LONG}"))?;
    ensure!(long.body.len() == LONG, "{LONG} bytes were asked for, {} came", long.body.len());
    Ok(answers)
}
