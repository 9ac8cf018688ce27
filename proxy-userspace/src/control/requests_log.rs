//! The access log as the configuration wants it.

use std::io;
use std::time::Duration;

use crate::config::{AccessLogConfig, AccessLogFormat, AccessLogTarget};
use crate::telemetry::access_log::{AccessLog, Place};

/// What is not written by then, at the end, is lost: a pipe may have no reader.
const PATIENCE: Duration = Duration::from_secs(1);

/// The access log, if there is one. Dropped, it waits until everything is written, but not for long.
#[derive(Debug, Default)]
pub(super) struct RequestsLog(Option<(AccessLogConfig, AccessLog)>);

impl RequestsLog {
    /// The log that is wanted, opened; none if it is this one.
    pub(super) fn change(&self, wanted: Option<&AccessLogConfig>) -> io::Result<Option<Self>> {
        let is = self.0.as_ref().map(|(config, _)| config);
        if is == wanted {
            return Ok(None);
        }
        let open = |config: &AccessLogConfig| {
            let same = self.0.as_ref().filter(|(is, _)| is.to == config.to);
            let log = same.map_or_else(|| AccessLog::open(&place(&config.to)), |(_, log)| Ok(log.clone()));
            Ok::<_, io::Error>((config.clone(), log?))
        };
        Ok(Some(Self(wanted.map(open).transpose()?)))
    }

    /// Opens the file again: somebody may have moved it away.
    pub(super) fn reopen(&self) {
        if let Some((_, log)) = &self.0 {
            log.reopen();
        }
    }

    /// For the workers.
    pub(super) fn get(&self) -> Option<(AccessLog, AccessLogFormat)> {
        self.0.as_ref().map(|(config, log)| (log.clone(), config.format))
    }

    /// Lines written, and lines dropped.
    pub(super) fn lines(&self) -> Option<(u64, u64)> {
        self.0.as_ref().map(|(_, log)| (log.written(), log.dropped()))
    }
}

impl Drop for RequestsLog {
    fn drop(&mut self) {
        if let Some((_, log)) = self.0.take() {
            log.finish(PATIENCE);
        }
    }
}

fn place(target: &AccessLogTarget) -> Place {
    match target {
        AccessLogTarget::Stdout => Place::Stdout,
        AccessLogTarget::File(path) => Place::File(path.clone()),
        AccessLogTarget::Syslog => Place::Syslog,
    }
}
