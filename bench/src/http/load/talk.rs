//! A protocol, as a client of one connection speaks it.

use anyhow::Result;

/// What a client of one connection says and hears.
pub(super) trait Talk {
    /// What is sent before the first exchange. The connection is used once `ready` says so.
    fn opening(&mut self, out: &mut Vec<u8>);

    /// Whether exchanges may begin.
    fn ready(&self) -> bool;

    /// Begins an exchange.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Takes what has come, and says which exchanges have ended, by number since the connection began.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>, ended: &mut Vec<u64>) -> Result<()>;
}
