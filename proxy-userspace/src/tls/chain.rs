//! The order of a chain: the leaf, who issued it, who issued that one.

use rustls::pki_types::CertificateDer;
use rustls::sign::SigningKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::certificate_error::{CertificateError, CertificateNote};
use super::facts::Facts;

/// The chain in the order in which it is sent (RFC 8446 §4.4.2): the certificate of this key, then each one's issuer.
/// What is of no use is left out.
pub(super) fn in_order(
    chain: Vec<CertificateDer<'static>>,
    key: &dyn SigningKey,
) -> Result<(Vec<CertificateDer<'static>>, Vec<CertificateNote>), CertificateError> {
    let order = order(&chain, key)?;
    let mut notes = Vec::new();
    if !order.is_sorted() {
        notes.push(CertificateNote::WrongOrder);
    }
    if order.len() < chain.len() {
        notes.push(CertificateNote::LeftOut(chain.len() - order.len()));
    }
    if notes.is_empty() {
        return Ok((chain, notes));
    }
    Ok((order.iter().map(|i| chain[*i].clone()).collect(), notes))
}

fn order(chain: &[CertificateDer<'_>], key: &dyn SigningKey) -> Result<Vec<usize>, CertificateError> {
    let mut parsed = Vec::with_capacity(chain.len());
    for (i, der) in chain.iter().enumerate() {
        let unreadable = |why: String| CertificateError::Unreadable { number: i + 1, why: why.into() };
        let (rest, one) = X509Certificate::from_der(der).map_err(|error| unreadable(error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable(format!("{} bytes follow it", rest.len())));
        }
        parsed.push(one);
    }
    let Some(own) = key.public_key() else {
        return Err(CertificateError::BadKey("its public part is not known".into()));
    };
    let Some(mut last) = parsed.iter().position(|one| one.public_key().raw == own.as_ref()) else {
        let names = chain.first().and_then(|leaf| Facts::of(leaf).ok());
        let names = names.map_or_else(|| "of no name".into(), |facts| facts.names.join(", ").into());
        return Err(CertificateError::Mismatch { names });
    };
    let mut order = vec![last];
    // Each is taken once, so that certificates that issued each other are no circle.
    while let Some(next) = (0..parsed.len())
        .find(|i| !order.contains(i) && parsed[*i].subject().as_raw() == parsed[last].issuer().as_raw())
    {
        order.push(next);
        last = next;
    }
    Ok(order)
}
