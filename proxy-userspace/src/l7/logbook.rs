//! A worker's lines for the access log, on their way to the thread that writes them.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::spawn_local;

use super::line::{self, Entry, Relayed};
use super::request::{Connection, Record};
use crate::config::AccessLogFormat;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::requests::Names;

/// Lines are handed over when they are this many bytes,
const ENOUGH: usize = 32 << 10;
/// or this old.
const SOON: Duration = Duration::from_millis(100);

/// A worker's lines. What is left is handed over when it is dropped.
#[derive(Debug)]
pub(super) struct Logbook {
    log: AccessLog,
    format: AccessLogFormat,
    lines: RefCell<Lines>,
    /// Somebody will hand over soon.
    awaited: Cell<bool>,
    this: Weak<Self>,
}

#[derive(Debug, Default)]
struct Lines {
    text: Vec<u8>,
    count: u64,
    clock: Clock,
}

impl Logbook {
    pub(super) fn new(log: AccessLog, format: AccessLogFormat) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            log,
            format,
            lines: RefCell::default(),
            awaited: Cell::new(false),
            this: this.clone(),
        })
    }

    /// Writes down a request that is over.
    pub(super) fn write(&self, connection: &Connection, record: &Record, names: &Names, took_us: u64) {
        self.add(|format, time, text| {
            let entry = Entry { time, took_us, connection, record, names };
            match format {
                AccessLogFormat::Json => line::json(text, entry),
                AccessLogFormat::Combined => line::combined(text, entry),
            }
        });
    }

    /// Writes down a connection that was relayed, or refused.
    pub(super) fn write_relayed(&self, entry: Relayed<'_>) {
        self.add(|format, time, text| match format {
            AccessLogFormat::Json => line::json_relayed(text, Relayed { time, ..entry }),
            AccessLogFormat::Combined => line::combined_relayed(text, Relayed { time, ..entry }),
        });
    }

    fn add(&self, write: impl FnOnce(AccessLogFormat, &str, &mut Vec<u8>)) {
        let mut lines = self.lines.borrow_mut();
        let Lines { text, count, clock } = &mut *lines;
        write(self.format, clock.read(self.format, Timestamp::now()), text);
        *count += 1;
        if text.len() >= ENOUGH {
            drop(lines);
            self.hand_over();
        } else if !self.awaited.replace(true) {
            let this = self.this.clone();
            spawn_local(async move {
                tokio::time::sleep(SOON).await;
                if let Some(book) = this.upgrade() {
                    book.awaited.set(false);
                    book.hand_over();
                }
            });
        }
    }

    fn hand_over(&self) {
        let mut lines = self.lines.borrow_mut();
        if lines.count != 0 {
            let room = Vec::with_capacity(ENOUGH + ENOUGH / 8);
            let text = std::mem::replace(&mut lines.text, room);
            self.log.hand_over(text, std::mem::take(&mut lines.count));
        }
    }
}

impl Drop for Logbook {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// The time as a format wants it. Of a second it is made once; milliseconds are put in.
#[derive(Debug, Default)]
struct Clock {
    second: Option<i64>,
    text: String,
}

impl Clock {
    fn read(&mut self, format: AccessLogFormat, now: Timestamp) -> &str {
        if self.second != Some(now.as_second()) {
            self.second = Some(now.as_second());
            self.text = match format {
                AccessLogFormat::Combined => now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
                AccessLogFormat::Json => now.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string(),
            };
        }
        if format == AccessLogFormat::Json {
            let end = self.text.len();
            let ms = now.subsec_millisecond().clamp(0, 999);
            self.text.replace_range(end - 4.., &format!("{ms:03}Z"));
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l7::testing::request;
    use crate::telemetry::access_log::Place;

    #[test]
    fn the_clock_is_read_as_formats_want_it() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut clock = Clock::default();
        for time in ["1994-11-06T08:49:37.007Z", "1994-11-06T08:49:37.999Z", "1994-11-06T08:49:38.000Z"] {
            assert_eq!(clock.read(AccessLogFormat::Json, at(time)), time);
        }
        let mut clock = Clock::default();
        let combined = clock.read(AccessLogFormat::Combined, at("1994-11-06T08:49:37.5Z"));
        assert_eq!(combined, "06/Nov/1994:08:49:37 +0000");
    }

    #[tokio::test]
    async fn lines_are_written_soon_and_at_the_end() {
        let path = std::env::temp_dir().join(format!("pn-logbook-{}", std::process::id()));
        let log = AccessLog::open(&Place::File(path.clone())).unwrap();
        let book = Logbook::new(log.clone(), AccessLogFormat::Combined);
        let write = || {
            let request = request("/");
            request.keep_seen();
            book.write(&request.connection, &request.record, &Names::default(), 1);
        };
        let tasks = tokio::task::LocalSet::new();
        tasks
            .run_until(async {
                write();
                assert_eq!(book.lines.borrow().count, 1);
                while log.written() == 0 {
                    tokio::task::yield_now().await;
                }
                write();
            })
            .await;
        drop((tasks, book));
        log.finish(Duration::from_secs(10));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        std::fs::remove_file(&path).unwrap();
    }
}
