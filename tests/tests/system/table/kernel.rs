//! The program that a daemon has loaded, as an engine.

use anyhow::{Context, Result, bail, ensure};
use proxy_tests::bpf::{Program, Verdict};
use proxy_tests::daemon::Daemon;
use proxy_tests::world::World;

use super::engine::{Engine, Fate, Place, Side};

/// The program that a daemon has loaded, in its world.
pub(super) struct Kernel<'w> {
    world: &'w World,
    daemon: &'w Daemon<'w>,
    program: Program,
    interfaces: [u32; 2],
    place: Place,
}

impl<'w> Kernel<'w> {
    pub(super) fn new(world: &'w World, daemon: &'w Daemon<'w>) -> Result<Self> {
        let program = Program::pinned(&daemon.pins()?.join(proxy_common::names::PROGRAM_XDP))?;
        let back = world.interfaces().last().context("a world has interfaces")?;
        let interfaces = [world.balancer.ifindex("front")?, world.balancer.ifindex(back)?];
        let place = Place {
            backend_macs: world
                .backends
                .iter()
                .map(|host| host.namespace.mac("eth0"))
                .collect::<Result<_>>()?,
            front: world.balancer.mac("front")?,
            back: world.balancer.mac(back)?,
            client_mac: world.client().mac("eth0")?,
            ..Place::new(world.layout)
        };
        Ok(Self { world, daemon, program, interfaces, place })
    }
}

impl Engine for Kernel<'_> {
    fn place(&self) -> &Place {
        &self.place
    }

    fn run(&mut self, side: Side, frame: &[u8]) -> Result<Fate> {
        let index = self.interfaces[usize::from(side == Side::Back)];
        let before = self.daemon.status()?;
        let (verdict, after) = self.world.balancer.enter(|| self.program.run(index, frame))??;
        match verdict {
            Verdict::Tx | Verdict::Redirect => Ok(Fate::Sent(after)),
            Verdict::Pass => {
                ensure!(after == frame, "passed, but changed: {after:02x?}");
                Ok(Fate::Passed)
            }
            Verdict::Drop => {
                let status = self.daemon.status()?;
                let grown = |(reason, count): &(String, u64)| *count > before.dropped(reason);
                let reason = status.drops().into_iter().find(grown).context("a drop without a reason")?;
                Ok(Fate::Dropped(reason.0))
            }
            other => bail!("{other:?}"),
        }
    }

    fn noticed(&self, notice: &str) -> Result<u64> {
        Ok(self.daemon.status()?.noticed(notice))
    }
}
