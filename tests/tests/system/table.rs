//! Packet in, packet out, verdict, counters: every situation of a table, on every engine that can run it.

/// What runs a packet.
mod engine;
/// The pipeline on plain memory, as an engine.
mod host;
/// The loaded program, as an engine.
mod kernel;
/// Packets of one flow, one after another.
mod sequence;
/// Single packets, each a situation of its own.
mod single;

use anyhow::Result;
use proxy_tests::config::{self, Listener};
use proxy_tests::daemon::Daemon;
use proxy_tests::facts;
use proxy_tests::runner::Fact;
use proxy_tests::world::{Family, Layout, World};

use engine::Engine;
use host::{OnHost, ports_of_listeners_are_not_given_to_flows};
use kernel::Kernel;

pub(crate) const FACTS: &[Fact] = facts![
    single_packets_by_nat_in_the_kernel,
    single_packets_by_dsr_in_the_kernel,
    flows_by_nat_in_the_kernel,
    flows_by_dsr_in_the_kernel,
];

pub(crate) const ROOTLESS: &[Fact] = facts![rootless:
    single_packets_by_nat_on_the_host,
    single_packets_by_dsr_on_the_host,
    flows_by_nat_on_the_host,
    flows_by_dsr_on_the_host,
    the_corpus_on_the_host,
    ports_of_listeners_are_not_given_to_flows,
];

/// Shows something on the loaded program, for both families.
fn in_the_kernel(world: &World, show: impl Fn(&mut dyn Engine, Family) -> Result<()>) -> Result<()> {
    let daemon = Daemon::start(world, &config::text(world, &Listener::all(world)))?;
    let mut kernel = Kernel::new(world, &daemon)?;
    Family::BOTH.into_iter().try_for_each(|family| show(&mut kernel, family))
}

fn single_packets_by_nat_in_the_kernel() -> Result<()> {
    in_the_kernel(&World::routed().build()?, single::all)
}

fn single_packets_by_dsr_in_the_kernel() -> Result<()> {
    in_the_kernel(&World::flat().build()?, single::all)
}

fn flows_by_nat_in_the_kernel() -> Result<()> {
    in_the_kernel(&World::routed().build()?, sequence::nat)
}

fn flows_by_dsr_in_the_kernel() -> Result<()> {
    in_the_kernel(&World::flat().build()?, sequence::dsr)
}

/// Shows something on the host build, for both families.
fn on_the_host(layout: Layout, show: impl Fn(&mut dyn Engine, Family) -> Result<()>) -> Result<()> {
    Family::BOTH.into_iter().try_for_each(|family| show(&mut OnHost::new(layout), family))
}

fn single_packets_by_nat_on_the_host() -> Result<()> {
    on_the_host(Layout::Routed, single::all)
}

fn single_packets_by_dsr_on_the_host() -> Result<()> {
    on_the_host(Layout::Flat, single::all)
}

fn flows_by_nat_on_the_host() -> Result<()> {
    on_the_host(Layout::Routed, sequence::nat)
}

fn flows_by_dsr_on_the_host() -> Result<()> {
    on_the_host(Layout::Flat, sequence::dsr)
}

fn the_corpus_on_the_host() -> Result<()> {
    [Layout::Routed, Layout::Flat].into_iter().try_for_each(host::corpus)
}
