//! `[server]` and `[access_log]`.

use std::time::Duration;

use crate::config::kind::{AccessLogTo, Flag, Lasting, Number, Size, Word, Words};
use crate::config::table::Presence::{Default, Optional};
use crate::config::table::{Key, Section};
use crate::config::web::AccessLogFormat;

pub(in crate::config) static SERVER: Section = Section {
    title: "[server]",
    meaning: "The workers that serve `http` listeners. Above its limits requests are answered 503 with Retry-After, \
              and nothing that is under way suffers.",
    keys: &[&WORKERS, &MAX_REQUESTS, &MAX_BUFFER_BYTES, &GRACE, &REQUEST_METRICS],
    elsewhere: &[],
};

pub(in crate::config) static WORKERS: Key<Number> = Key {
    name: "workers",
    kind: Number { low: 1, high: 1024 },
    presence: Optional("one for each CPU that the process may use"),
    meaning: "Worker threads.",
    example: "4",
};

pub(in crate::config) static MAX_REQUESTS: Key<Number> = Key {
    name: "max_requests",
    kind: Number { low: 1, high: u32::MAX as u64 },
    presence: Default("100_000"),
    meaning: "Requests under way at a time.",
    example: "20_000",
};

pub(in crate::config) static MAX_BUFFER_BYTES: Key<Size> = Key {
    name: "max_buffer_bytes",
    kind: Size { low: 1 << 20, high: 1 << 50 },
    presence: Default("\"512MiB\""),
    meaning: "Memory for what is read and not yet passed on.",
    example: "\"2GiB\"",
};

pub(in crate::config) static GRACE: Key<Lasting> = Key {
    name: "grace",
    kind: Lasting { low: Duration::ZERO, high: Duration::from_secs(86_400) },
    presence: Default("\"30s\""),
    meaning: "How long requests that are under way may take after SIGTERM or an upgrade.",
    example: "\"2m\"",
};

pub(in crate::config) static REQUEST_METRICS: Key<Flag> = Key {
    name: "request_metrics",
    kind: Flag,
    presence: Default("true"),
    meaning: "Whether requests are counted, with their times, by listener, route and pool. `false`: metrics and \
              `status` say nothing of requests that are over, but for those that the proxy refused.",
    example: "false",
};

pub(in crate::config) static ACCESS_LOG: Section = Section {
    title: "[access_log]",
    meaning: "Writes requests down, one line each. Without this table they are not. Lines that cannot be written \
              fast enough are dropped and counted: no request waits for a log.",
    keys: &[&TO, &FORMAT],
    elsewhere: &[],
};

pub(in crate::config) static TO: Key<AccessLogTo> = Key {
    name: "to",
    kind: AccessLogTo,
    presence: Default("\"stdout\""),
    meaning: "Where to: `stdout`, `syslog` (the local one), or a file, which is opened again at SIGHUP.",
    example: "\"/var/log/proxy-now/access.log\"",
};

pub(in crate::config) static FORMAT: Key<Words<AccessLogFormat>> = Key {
    name: "format",
    kind: Words {
        allowed: &[Word("json", AccessLogFormat::Json), Word("combined", AccessLogFormat::Combined)],
        elsewhere: (&[], ""),
    },
    presence: Default("\"json\""),
    meaning: "`json`: an object a line. `combined`: as Apache and nginx write it.",
    example: "\"combined\"",
};
