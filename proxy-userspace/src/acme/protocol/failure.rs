//! Why there is no certificate (yet), and what follows from it.

use std::fmt;
use std::time::Duration;

use instant_acme::Problem;

use super::tap::Seen;

/// Why there is no certificate.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// What follows from it.
    pub(crate) kind: FailureKind,
    /// For people.
    pub(crate) cause: Box<str>,
    /// The CA says when it may be asked again.
    pub(crate) retry_after: Option<Duration>,
}

/// What follows from a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FailureKind {
    /// No answer, or none that makes sense: the order stays, and is gone on with.
    Unreachable,
    /// Too many requests: the same, later.
    Limited,
    /// The CA says no.
    Refused,
    /// The CA did not see the proof. That order is spent.
    Unproved,
    /// The proof could not be shown: the CA was not asked to look, the order stays.
    Unshown,
    /// The CA does not know the account.
    AccountLost,
    /// The CA does not know the order, or no longer.
    OrderLost,
    /// The CA does not take what is said to be replaced.
    Replaces,
    /// The storage failed before anything was asked of anybody.
    Storage,
}

impl FailureKind {
    /// The order is still there, and may succeed.
    pub(crate) fn keeps_order(self) -> bool {
        matches!(self, Self::Unreachable | Self::Limited | Self::Unshown | Self::Storage)
    }

    /// As metrics say it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Limited => "limited",
            Self::Refused | Self::AccountLost | Self::OrderLost | Self::Replaces => "refused",
            Self::Unproved | Self::Unshown => "unproved",
            Self::Storage => "storage",
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, cause: impl fmt::Display) -> Self {
        Self { kind, cause: cause.to_string().into(), retry_after: None }
    }

    /// What a CA answered, or did not. `seen`: its last answer's head.
    pub(crate) fn of(error: instant_acme::Error, seen: &Seen) -> Self {
        let retry_after = seen.retry_after;
        let (kind, cause) = match error {
            instant_acme::Error::Api(problem) => return Self::of_problem(&problem, seen),
            // No problem document, where there should be one.
            instant_acme::Error::Json(_) if seen.status == 429 => {
                (FailureKind::Limited, "the CA says that there are too many requests (429)".to_owned())
            }
            instant_acme::Error::Json(_) if seen.status >= 400 => {
                (FailureKind::Unreachable, format!("the CA answered with status {}", seen.status))
            }
            instant_acme::Error::Json(error) => {
                (FailureKind::Unreachable, format!("the CA's answer makes no sense: {error}"))
            }
            other => (FailureKind::Unreachable, other.to_string()),
        };
        Self { kind, cause: clock_hint(cause).into(), retry_after }
    }

    /// What a CA says (RFC 8555 §6.7).
    pub(crate) fn of_problem(problem: &Problem, seen: &Seen) -> Self {
        let kind = kind_of(problem.r#type.as_deref(), problem.detail.as_deref(), seen.status);
        Self { kind, cause: said(problem).into(), retry_after: seen.retry_after }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// What follows from a problem's type.
pub(crate) fn kind_of(kind: Option<&str>, detail: Option<&str>, status: u16) -> FailureKind {
    let kind = kind.and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:")).unwrap_or_default();
    match kind {
        "rateLimited" => FailureKind::Limited,
        "badNonce" | "serverInternal" => FailureKind::Unreachable,
        "accountDoesNotExist" => FailureKind::AccountLost,
        // RFC 9773 §7.4.
        "alreadyReplaced" => FailureKind::Replaces,
        "caa" | "connection" | "dns" | "incorrectResponse" | "tls" => FailureKind::Unproved,
        // Boulder, of an account that was deactivated.
        "unauthorized" if detail.is_some_and(|detail| detail.contains("ccount is not valid")) => {
            FailureKind::AccountLost
        }
        _ if status == 429 => FailureKind::Limited,
        _ if status >= 500 => FailureKind::Unreachable,
        "malformed" if status == 404 => FailureKind::OrderLost,
        _ if detail.is_some_and(|detail| detail.contains("replaces")) => FailureKind::Replaces,
        _ if status == 404 => FailureKind::OrderLost,
        _ => FailureKind::Refused,
    }
}

/// A problem, for people: without the parts that repeat each other.
fn said(problem: &Problem) -> String {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix("urn:ietf:params:acme:error:").unwrap_or(kind);
    let mut said = match (&problem.detail, kind) {
        (Some(detail), "") => detail.clone(),
        (Some(detail), kind) => format!("{detail} ({kind})"),
        (None, kind) => format!("the CA says {kind:?}"),
    };
    for sub in &problem.subproblems {
        if let Some(detail) = &sub.detail {
            said.push_str("; ");
            said.push_str(detail);
        }
    }
    // A CA may say a lot.
    if said.len() > 1000 {
        let end = (0..=1000).rev().find(|end| said.is_char_boundary(*end)).unwrap_or(0);
        said.truncate(end);
        said.push('…');
    }
    said
}

/// A clock that is wrong is first seen by the certificates of others.
fn clock_hint(cause: String) -> String {
    if cause.contains("NotValidYet") || cause.contains("not valid yet") {
        format!("{cause}: the clock of this machine seems to be in the past")
    } else if cause.contains("Expired") || cause.contains("expired") {
        format!(
            "{cause}: the CA's own certificate has expired, or the clock of this machine is in the future"
        )
    } else {
        cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_ca_says_decides_what_follows() {
        let of =
            |kind: &str, status| kind_of(Some(&format!("urn:ietf:params:acme:error:{kind}")), None, status);
        assert_eq!(of("rateLimited", 429), FailureKind::Limited);
        assert_eq!(of("serverInternal", 500), FailureKind::Unreachable);
        assert_eq!(of("badNonce", 400), FailureKind::Unreachable);
        assert_eq!(of("accountDoesNotExist", 400), FailureKind::AccountLost);
        assert_eq!(of("rejectedIdentifier", 400), FailureKind::Refused);
        assert_eq!(of("alreadyReplaced", 409), FailureKind::Replaces);
        assert_eq!(of("dns", 400), FailureKind::Unproved);
        assert_eq!(of("malformed", 404), FailureKind::OrderLost);
        assert_eq!(of("malformed", 400), FailureKind::Refused);
        assert_eq!(kind_of(None, None, 503), FailureKind::Unreachable);
        assert_eq!(kind_of(None, Some("unknown \"replaces\""), 400), FailureKind::Replaces);
    }

    #[test]
    fn a_retry_after_is_kept_with_the_failure() {
        let seen = Seen { status: 429, retry_after: Some(Duration::from_secs(7)), location: None };
        let problem: Problem = serde_json::from_str(
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many new orders"}"#,
        )
        .unwrap();
        let failure = Failure::of(instant_acme::Error::Api(problem), &seen);
        assert_eq!(failure.kind, FailureKind::Limited);
        assert_eq!(failure.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(failure.to_string(), "too many new orders (rateLimited)");
    }

    #[test]
    fn a_clock_that_is_wrong_is_told_by_the_certificates_of_cas() {
        let of = |error: rustls::CertificateError| {
            let cause = rustls::Error::InvalidCertificate(error).to_string();
            Failure::of(instant_acme::Error::Other(cause.into()), &Seen::default()).to_string()
        };
        let past = of(rustls::CertificateError::NotValidYet);
        assert!(past.ends_with("the clock of this machine seems to be in the past"), "{past}");
        let future = of(rustls::CertificateError::Expired);
        assert!(future.ends_with("or the clock of this machine is in the future"), "{future}");
    }
}
