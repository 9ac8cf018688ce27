//! `proxy-now detach`: takes everything out of the kernel.

use std::path::PathBuf;

use clap::Args;

use super::context::Context;
use super::outcome::Outcome;
use crate::l4;

/// Options of `detach`.
#[derive(Debug, Args)]
pub(super) struct Detach {
    /// Where the kernel part is pinned [default: the configuration's pin_dir, else /sys/fs/bpf/proxy-now]
    #[arg(long, value_name = "DIR")]
    pin_dir: Option<PathBuf>,
}

impl Detach {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let pin_dir = self.pin_dir.unwrap_or_else(|| context.pin_dir());
        let detached = l4::detach_all(&pin_dir)?;
        context.output.answer(&detached, |output| match (detached.pins, &detached.interfaces[..]) {
            (0, _) => output.line(format_args!("nothing is pinned under {}", pin_dir.display())),
            (pins, []) => output.line(format_args!("removed {pins} pins under {}", pin_dir.display())),
            (pins, interfaces) => output.line(format_args!(
                "detached from {}, removed {pins} pins under {}",
                interfaces.join(", "),
                pin_dir.display()
            )),
        });
        Ok(())
    }
}
