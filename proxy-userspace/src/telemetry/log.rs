//! The log: who reads it, and in which shape. It goes to standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::fmt;

/// The variable that says what is logged, as `tracing` understands it: `debug`, `proxy_userspace::control=trace`, …
pub const VARIABLE: &str = "PROXY_NOW_LOG";

/// The shape of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log. A second start does nothing.
pub fn start(format: Format) {
    let filter = EnvFilter::builder()
        .with_env_var(VARIABLE)
        .with_default_directive(LevelFilter::INFO.into())
        .from_env_lossy();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // The journal has its own clock.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let _ = match format {
        Format::Json => lines.json().flatten_event(true).try_init(),
        Format::Text if journal => lines.with_ansi(false).without_time().try_init(),
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
}
