//! What is written down of a request that is over.

use super::limit::deeds;
use super::request::{Connection, Record};
use super::worker::Worker;
use crate::telemetry::requests::Over;

/// Counts a request that is over, and writes it to the access log.
pub(super) fn finished(worker: &Worker, connection: &Connection, record: &Record) {
    let took_us = record.started.elapsed().as_micros() as u64;
    let held = worker.snapshot();
    let book = if connection.listener.access_log { held.logbook(&worker.shared) } else { None };
    if held.config.server.request_metrics || book.is_some() {
        let counts = record.counts.take();
        let counts = counts.unwrap_or_else(|| worker.counts(&held, None, &connection.listener.name));
        if held.config.server.request_metrics {
            counts.record(over(record, took_us));
        }
        if let Some(book) = book {
            book.write(connection, record, &counts.names, took_us);
        }
    }
    deeds::request(&held.abuse, connection, record);
    if let Some(cause) = record.cause.get() {
        worker.causes.record(cause);
    }
}

fn over(record: &Record, took_us: u64) -> Over {
    Over {
        status: record.status.get(),
        took_us,
        first_byte_us: record.first_byte_us.get(),
        received: record.received.get(),
        sent: record.sent.get(),
        retries: record.retries.get(),
    }
}
