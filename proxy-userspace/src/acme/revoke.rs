//! Has a certificate revoked by who issued it (RFC 8555 §7.6).

use instant_acme::{RevocationReason, RevocationRequest};
use rustls::pki_types::CertificateDer;

use super::context::Context;
use super::handle::Reason;
use super::held::Held;
use super::protocol::failure::{Failure, FailureKind};

/// Revokes it. That it is revoked already is fine.
pub(super) async fn revoke(context: &Context, held: &Held, reason: Reason) -> Result<(), Failure> {
    let meta = &held.generation.meta;
    if meta.directory.is_empty() {
        // Our own CA has no list of revoked certificates: its certificates are short-lived, and this one is replaced.
        return Ok(());
    }
    let Some(issuer) = context.issuer(&meta.issuer) else {
        let cause = format!("it is from {}, which is no issuer in the configuration any more", meta.issuer);
        return Err(Failure::new(FailureKind::Refused, cause));
    };
    let client = context.client(issuer)?;
    let ready = context.accounts(&client, issuer, &meta.directory).ready().await?;
    let certificate = CertificateDer::from_slice(held.certificate.leaf());
    let reason = match reason {
        Reason::Unspecified => RevocationReason::Unspecified,
        Reason::KeyCompromise => RevocationReason::KeyCompromise,
        Reason::Superseded => RevocationReason::Superseded,
        Reason::CessationOfOperation => RevocationReason::CessationOfOperation,
    };
    let request = RevocationRequest { certificate: &certificate, reason: Some(reason) };
    match ready.account.revoke(&request).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let failure = Failure::of(error, &ready.tap.seen());
            if failure.cause.contains("alreadyRevoked") { Ok(()) } else { Err(failure) }
        }
    }
}
