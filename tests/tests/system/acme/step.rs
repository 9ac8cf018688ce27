//! The steps of an order, as a proxy before the server sees them.

/// What a request is about. Paths are Pebble's; nobody but this file knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// The directory
    Directory,
    /// A fresh nonce
    Nonce,
    /// A new account, or the one that is there
    Account,
    /// A new order
    NewOrder,
    /// How an order stands
    Order,
    /// How an authorization stands
    Authorization,
    /// A challenge is ready
    Challenge,
    /// The request to be signed
    Finalize,
    /// The chain
    Certificate,
    /// When to renew (RFC 9773)
    RenewalInfo,
    /// Revocation
    Revocation,
    /// Another account key
    KeyChange,
    /// Something else
    Other,
}

const PATHS: &[(&str, Step)] = &[
    ("/dir", Step::Directory),
    ("/nonce-plz", Step::Nonce),
    ("/sign-me-up", Step::Account),
    ("/order-plz", Step::NewOrder),
    ("/my-order/", Step::Order),
    ("/authZ/", Step::Authorization),
    ("/chalZ/", Step::Challenge),
    ("/finalize-order/", Step::Finalize),
    ("/certZ/", Step::Certificate),
    ("/renewalInfo", Step::RenewalInfo),
    ("/draft-ietf-acme-ari", Step::RenewalInfo),
    ("/revoke-cert", Step::Revocation),
    ("/rollover-account-key", Step::KeyChange),
];

impl Step {
    /// That of a path.
    pub(super) fn of(path: &str) -> Self {
        PATHS.iter().find(|(begin, _)| path.starts_with(begin)).map_or(Self::Other, |(_, step)| *step)
    }
}
