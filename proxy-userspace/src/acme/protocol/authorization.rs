//! Authorizations of an order, one at a time (RFC 8555 §7.1.4). instant-acme lends its handles for one use each.

use instant_acme::{AuthorizationStatus, ChallengeStatus, ChallengeType as Theirs, Error, Identifier, Order};

use super::super::solver::Proof;
use crate::config::ChallengeType;

/// An authorization, as the CA says it is.
pub(crate) struct View {
    pub(crate) status: AuthorizationStatus,
    /// The name, without `*.`.
    pub(crate) name: Box<str>,
    pub(crate) wildcard: bool,
    pub(crate) offers: Vec<Offer>,
}

/// A way that the CA offers.
pub(crate) struct Offer {
    pub(crate) kind: ChallengeType,
    pub(crate) status: ChallengeStatus,
    /// What the CA saw instead.
    pub(crate) error: Option<String>,
}

/// How many there are.
pub(crate) fn count(order: &mut Order) -> usize {
    order.state().authorizations.len()
}

/// Looks at one; `again`: asks the CA, whatever is known.
pub(crate) async fn look(order: &mut Order, at: usize, again: bool) -> Result<View, Error> {
    let mut all = order.authorizations();
    let mut i = 0;
    while let Some(found) = all.next().await {
        let mut found = found?;
        if i == at {
            if again {
                found.refresh().await?;
            }
            let identifier = found.identifier();
            let name = match identifier.identifier {
                Identifier::Dns(name) => name.as_str().into(),
                other => other.authorized(false).to_string().into(),
            };
            let wildcard = identifier.wildcard;
            let offers = found.challenges.iter().filter_map(|challenge| {
                let error = challenge.error.as_ref();
                let error = error.map(|error| error.detail.clone().unwrap_or_else(|| error.to_string()));
                Some(Offer { kind: ours(&challenge.r#type)?, status: challenge.status, error })
            });
            return Ok(View { status: found.status, name, wildcard, offers: offers.collect() });
        }
        i += 1;
    }
    Err(Error::Str("authorization"))
}

/// What is to be shown of one.
pub(crate) async fn proof(order: &mut Order, at: usize, kind: ChallengeType) -> Result<Proof, Error> {
    let view = look(order, at, false).await?;
    let mut all = order.authorizations();
    let mut i = 0;
    while let Some(found) = all.next().await {
        let mut found = found?;
        if i == at {
            let challenge = found.challenge(theirs(kind)).ok_or(Error::Str("challenge"))?;
            let answer = challenge.key_authorization();
            let mut digest = [0; 32];
            digest.copy_from_slice(answer.digest().as_ref());
            return Ok(Proof {
                name: view.name,
                wildcard: view.wildcard,
                token: challenge.token.as_str().into(),
                key_authorization: answer.as_str().into(),
                dns_value: answer.dns_value().into(),
                digest,
            });
        }
        i += 1;
    }
    Err(Error::Str("authorization"))
}

/// Tells the CA that it may look.
pub(crate) async fn tell(order: &mut Order, at: usize, kind: ChallengeType) -> Result<(), Error> {
    let mut all = order.authorizations();
    let mut i = 0;
    while let Some(found) = all.next().await {
        let mut found = found?;
        if i == at {
            let mut challenge = found.challenge(theirs(kind)).ok_or(Error::Str("challenge"))?;
            return challenge.set_ready().await;
        }
        i += 1;
    }
    Err(Error::Str("authorization"))
}

fn ours(kind: &Theirs) -> Option<ChallengeType> {
    match kind {
        Theirs::Http01 => Some(ChallengeType::Http01),
        Theirs::TlsAlpn01 => Some(ChallengeType::TlsAlpn01),
        Theirs::Dns01 => Some(ChallengeType::Dns01),
        _ => None,
    }
}

fn theirs(kind: ChallengeType) -> Theirs {
    match kind {
        ChallengeType::Http01 => Theirs::Http01,
        ChallengeType::TlsAlpn01 => Theirs::TlsAlpn01,
        ChallengeType::Dns01 => Theirs::Dns01,
    }
}
