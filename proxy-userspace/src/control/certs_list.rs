//! What is told of certificates: rows of `certs list`, and metrics.

use std::time::{Duration, SystemTime};

use super::certs::Certs;
use crate::acme::{CertificateStatus, Clock, Kind, unix};
use crate::admin::certificates::{CertificateRow, Certificates};
use crate::telemetry::prometheus::Kind::{Counter, Gauge};
use crate::telemetry::prometheus::Text;
use crate::tls::{Certificate, FileTrouble, Origin};

/// All that is known, by name.
pub(super) fn list(certs: &Certs) -> Certificates {
    let now = Clock::system().now();
    let managed = certs.manager().map(|manager| manager.list()).unwrap_or_default();
    let mut certificates: Vec<_> = managed.into_iter().map(|status| managed_row(status, now)).collect();
    certificates.extend(certs.store.all(Origin::Files).iter().map(|certificate| file_row(certificate, now)));
    certificates.extend(certs.file_troubles().iter().map(trouble_row));
    certificates.sort_by(|a, b| (&a.name, &a.from).cmp(&(&b.name, &b.from)));
    Certificates { certificates }
}

fn managed_row(status: CertificateStatus, now: SystemTime) -> CertificateRow {
    let from = match status.kind {
        Kind::Acme => "acme",
        Kind::Internal => "internal",
    };
    CertificateRow {
        name: status.name.into(),
        from: from.into(),
        issuer: status.issuer.map(Into::into),
        file: None,
        not_after: status.not_after.map(unix),
        expires_in: status.not_after.map(|then| seconds_until(then, now)),
        serial: status.serial.map(Into::into),
        fingerprint: status.fingerprint.map(Into::into),
        renews_in: status.next_renewal.map(|then| seconds_until(then, now).max(0).unsigned_abs()),
        on_demand: status.on_demand,
        stored: status.stored,
        last_error: status.last_error.map(Into::into),
    }
}

fn file_row(certificate: &Certificate, now: SystemTime) -> CertificateRow {
    CertificateRow {
        name: certificate.names.join(" "),
        from: "files".into(),
        issuer: Some(certificate.issuer.to_string()),
        not_after: Some(unix(certificate.not_after)),
        expires_in: Some(seconds_until(certificate.not_after, now)),
        serial: Some(certificate.serial.to_string()),
        fingerprint: Some(certificate.fingerprint.to_string()),
        stored: true,
        ..CertificateRow::default()
    }
}

/// A file that something is wrong with: what is served of it, if anything, has a row of its own.
fn trouble_row(trouble: &FileTrouble) -> CertificateRow {
    CertificateRow {
        name: trouble.path.display().to_string(),
        from: "files".into(),
        last_error: Some(trouble.to_string()),
        ..CertificateRow::default()
    }
}

/// Negative: so long ago.
fn seconds_until(then: SystemTime, now: SystemTime) -> i64 {
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    then.duration_since(now).map_or_else(|ago| -seconds(ago.duration()), seconds)
}

/// Text for Prometheus.
pub(super) fn metrics(text: &mut Text, certs: &Certs) {
    let Certificates { certificates } = list(certs);
    let mut expiry = text.metric(
        "proxy_now_certificate_expiry_seconds",
        Gauge,
        "Until a certificate is no longer valid; negative: it is not.",
    );
    for row in &certificates {
        if let Some(left) = row.expires_in {
            expiry.sample(&[("name", &row.name), ("from", &row.from)], left as f64);
        }
    }
    let mut missing =
        text.metric("proxy_now_certificate_missing", Gauge, "1 for each name that has no certificate yet.");
    for row in certificates.iter().filter(|row| row.not_after.is_none() && row.from != "files") {
        missing.count(&[("name", &row.name), ("from", &row.from)], 1);
    }
    let Some(manager) = certs.manager() else { return };
    let counted = manager.metrics();
    let mut orders = text.metric(
        "proxy_now_certificate_orders_total",
        Counter,
        "Certificates that were asked for, by issuer and by what became of it.",
    );
    for order in &counted.issued {
        orders.count(&[("issuer", &order.issuer), ("result", order.result)], order.count);
    }
    let demanded = manager.on_demand();
    let mut demands = text.metric(
        "proxy_now_certificate_demands_total",
        Counter,
        "Names that handshakes asked a certificate for, by what became of it.",
    );
    for (result, count) in [
        ("issued", demanded.issued),
        ("failed", demanded.failed),
        ("refused", demanded.refused),
        ("too_many", demanded.too_many),
        ("unanswered", demanded.unanswered),
    ] {
        demands.count(&[("result", result)], count);
    }
    text.metric("proxy_now_certificate_orders_in_flight", Gauge, "Names that are being worked on.")
        .count(&[], counted.in_flight);
    text.metric(
        "proxy_now_certificate_storage_failures_total",
        Counter,
        "Reads and writes of the certificates' storage that failed.",
    )
    .count(&[], counted.storage_failures);
    text.metric("proxy_now_certificates_unstored", Gauge, "Certificates that are in memory only.")
        .count(&[], counted.unstored);
}
