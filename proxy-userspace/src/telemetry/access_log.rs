//! Where lines about requests are written: a thread of its own, so that no worker ever waits for a disk or a pipe.
//! Workers hand over many lines at once; what the thread cannot keep up with is dropped, and counted.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use super::sink::Place;
use super::sink::Sink;

/// Lines that are handed over together.
#[derive(Debug)]
struct Batch {
    /// Each ends with a newline.
    text: Vec<u8>,
    lines: u64,
}

/// The way to the thread. Cheap to clone; the thread ends with the last clone, when everything is written.
#[derive(Clone, Debug)]
pub struct AccessLog {
    batches: SyncSender<Batch>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    reopen: AtomicBool,
    dropped: AtomicU64,
    written: AtomicU64,
    /// Everything is written, and the thread is about to go.
    over: Mutex<bool>,
    ended: Condvar,
}

/// Batches that may wait. With those of a worker's size, 4 MiB.
const MOST_WAITING: usize = 128;
/// A log that cannot be written is complained of no more often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

impl AccessLog {
    /// Opens the log.
    ///
    /// # Errors
    /// It cannot be opened, or there is no thread.
    pub fn open(place: &Place) -> io::Result<Self> {
        let sink = Sink::open(place)?;
        let (batches, waiting) = sync_channel(MOST_WAITING);
        let state = Arc::new(State::default());
        let (place, of_thread) = (place.clone(), state.clone());
        let run = move || {
            Writer { sink: Some(sink), place, state: &of_thread, complained: None }.run(&waiting);
            *of_thread.over.lock().unwrap_or_else(PoisonError::into_inner) = true;
            of_thread.ended.notify_all();
        };
        thread::Builder::new().name("access-log".into()).spawn(run)?;
        Ok(Self { batches, state })
    }

    /// Hands over whole lines, `lines` of them. Never waits: if there is no room, they are dropped.
    pub fn hand_over(&self, text: Vec<u8>, lines: u64) {
        if self.batches.try_send(Batch { text, lines }).is_err() {
            self.state.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Opens the file again, before the next lines: somebody has moved it away.
    pub fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Relaxed);
    }

    /// Lines that were dropped.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.state.written.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, if this is the last clone; not for ever: a pipe may have no reader.
    pub fn finish(self, patience: Duration) {
        let Self { batches, state } = self;
        drop(batches);
        let over = state.over.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever runs out of patience leaves the rest to the thread.
        let _ = state.ended.wait_timeout_while(over, patience, |over| !*over);
    }
}

struct Writer<'a> {
    /// None: it could not be opened again.
    sink: Option<Sink>,
    place: Place,
    state: &'a State,
    complained: Option<Instant>,
}

impl Writer<'_> {
    fn run(mut self, waiting: &Receiver<Batch>) {
        while let Ok(batch) = waiting.recv() {
            if self.state.reopen.swap(false, Ordering::Relaxed) || self.sink.is_none() {
                // The old one is closed first: syslog may have a new socket.
                self.sink = None;
                match Sink::open(&self.place) {
                    Ok(sink) => self.sink = Some(sink),
                    Err(error) => self.complain(&error),
                }
            }
            let lost = match &mut self.sink {
                None => batch.lines,
                Some(sink) => match sink.write(&batch.text) {
                    Ok(lost) => lost,
                    Err(error) => {
                        self.sink = None;
                        self.complain(&error);
                        batch.lines
                    }
                },
            };
            self.state.dropped.fetch_add(lost, Ordering::Relaxed);
            self.state.written.fetch_add(batch.lines - lost.min(batch.lines), Ordering::Relaxed);
        }
        if let Some(sink) = &mut self.sink
            && let Err(error) = sink.flush()
        {
            self.complain(&error);
        }
    }

    fn complain(&mut self, error: &io::Error) {
        if self.complained.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            tracing::warn!("the access log cannot be written, lines are lost: {error}");
            self.complained = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("pn-access-log-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn lines_are_written_in_order_and_a_moved_file_is_left_alone() {
        let folder = folder("order");
        let path = folder.join("access.log");
        let log = AccessLog::open(&Place::File(path.clone())).unwrap();
        log.hand_over(b"one\n".to_vec(), 1);
        log.hand_over(b"two\nthree\n".to_vec(), 2);
        while log.written() < 3 {
            thread::yield_now();
        }
        std::fs::rename(&path, folder.join("access.log.1")).unwrap();
        log.reopen();
        log.hand_over(b"four\n".to_vec(), 1);
        let other = log.clone();
        log.finish(Duration::ZERO);
        other.finish(Duration::from_secs(10));
        assert_eq!(std::fs::read_to_string(folder.join("access.log.1")).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "four\n");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_counted_and_nobody_waits() {
        let folder = folder("full");
        let path = folder.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        // Both ends: it opens at once, and nobody reads.
        let reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let log = AccessLog::open(&Place::File(path)).unwrap();
        for _ in 0..MOST_WAITING + 20 {
            log.hand_over([&[b'x'; 32 << 10][..], b"\n"].concat(), 7);
        }
        assert!(log.dropped() >= 7 && log.dropped().is_multiple_of(7), "{}", log.dropped());
        drop(reader);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_log_that_cannot_be_opened_is_an_error() {
        assert!(AccessLog::open(&Place::File("/nonexistent/access.log".into())).is_err());
    }
}
