//! What tests of solvers begin with.

use super::super::solver::Proof;

/// A proof of this name.
pub(in super::super) fn proof(name: &str, wildcard: bool) -> Proof {
    let key_authorization = "token-1.thumb";
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key_authorization.as_bytes());
    Proof {
        name: name.into(),
        wildcard,
        token: "token-1".into(),
        key_authorization: key_authorization.into(),
        dns_value: "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA".into(),
        digest: digest.as_ref().try_into().unwrap(),
    }
}
