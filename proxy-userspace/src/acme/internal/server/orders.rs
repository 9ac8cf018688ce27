//! Orders and their certificates (RFC 8555 §7.4).

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use rcgen::{CertificateSigningRequestParams, PublicKeyData, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use serde::Deserialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::core::{Asked, Core};
use super::problem::{Kind, Problem};
use super::reply::Reply;
use super::tables::{Authorization, Order, Proof};
use super::token::random;
use crate::config::HostPattern;

/// An order, its proofs and its certificate are remembered for so long.
const LIVES: Duration = Duration::from_secs(3600);
/// Names of an order.
const MOST_NAMES: usize = 100;
/// A shorter RSA key (PKCS#1, DER) has fewer than 2048 bits.
const RSA_2048: usize = 266;

#[derive(Deserialize)]
struct NewOrder {
    identifiers: Vec<Identifier>,
    #[serde(default, rename = "notBefore")]
    from: Option<Value>,
    #[serde(default, rename = "notAfter")]
    until: Option<Value>,
}

#[derive(Deserialize)]
struct Identifier {
    #[serde(rename = "type")]
    kind: String,
    value: String,
}

/// `newOrder`.
pub(super) fn new(core: &Core, asked: &Asked) -> Result<Reply, Problem> {
    let account = asked.account()?;
    let wanted: NewOrder = asked.jws.payload()?;
    if wanted.from.is_some() || wanted.until.is_some() {
        return Err(Problem::malformed("the CA itself says how long a certificate is valid"));
    }
    if wanted.identifiers.is_empty() || wanted.identifiers.len() > MOST_NAMES {
        return Err(Problem::malformed("an order has 1 to 100 names"));
    }
    let mut names: Vec<_> =
        wanted.identifiers.iter().map(|name| permitted(core, name)).collect::<Result<_, _>>()?;
    names.sort_unstable();
    names.dedup();
    let (now, id) = (core.clock.now(), random());
    let until = now + LIVES;
    let proof = |name: &str| {
        let proof = Authorization {
            account: account.into(),
            name: name.into(),
            token: random(),
            state: Proof::Open,
            until,
        };
        (random(), proof)
    };
    let proofs: Vec<_> = names.iter().map(|name| proof(name)).collect();
    let authorizations = proofs.iter().map(|(id, _)| id.clone()).collect();
    let order = Order { account: account.into(), names, authorizations, until, chain: None };
    core.tables().add_order(id.clone(), order.clone(), proofs, now)?;
    Ok(Reply::json(StatusCode::CREATED, &shown(core, &id, &order)).at(address(core, &id)))
}

/// An order is looked at.
pub(super) fn one(core: &Core, id: &str, asked: &Asked) -> Result<Reply, Problem> {
    let order = own(core, id, asked)?;
    Ok(Reply::ok(&shown(core, id, &order)).at(address(core, id)))
}

/// The orders of an account.
pub(super) fn of_account(core: &Core, id: &str, asked: &Asked) -> Result<Reply, Problem> {
    if asked.account()? != id {
        return Err(Problem::new(Kind::Unauthorized, "these are another account's"));
    }
    let tables = core.tables();
    let own = tables.orders.iter().filter(|(_, order)| *order.account == *id);
    let orders: Vec<_> = own.map(|(order, _)| address(core, order)).collect();
    Ok(Reply::ok(&json!({ "orders": orders })))
}

#[derive(Deserialize)]
struct Finalize {
    csr: String,
}

/// The certificate is made.
pub(super) fn finalize(core: &Core, id: &str, asked: &Asked) -> Result<Reply, Problem> {
    let mut order = own(core, id, asked)?;
    if core.tables().order_state(&order) != "ready" {
        return Err(Problem::new(
            Kind::OrderNotReady,
            "not all names of the order are proved, or it is over",
        ));
    }
    let csr: Finalize = asked.jws.payload()?;
    let csr = URL_SAFE_NO_PAD.decode(csr.csr).map_err(|_| bad_csr("it is no base64url"))?;
    let csr = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
        .map_err(|error| Problem::new(Kind::BadCsr, format!("the CSR: {error}")))?;
    let mut names: Vec<_> = csr.params.subject_alt_names.iter().map(name_of).collect::<Result<_, _>>()?;
    names.sort_unstable();
    names.dedup();
    if names != order.names {
        return Err(bad_csr("its alternative names are not those of the order"));
    }
    let key = csr.public_key.der_bytes();
    // A point of a curve does not begin like a SEQUENCE.
    if key.first() == Some(&0x30) && key.len() < RSA_2048 {
        return Err(bad_csr("its RSA key has fewer than 2048 bits"));
    }
    let now = core.clock.now();
    let chain = core.authority.certify(&order.names, &csr.public_key, now).map_err(|error| {
        tracing::warn!("{error}");
        Problem::new(Kind::ServerInternal, "the certificate could not be made")
    })?;
    let (serial, until) = leaf(&chain)?;
    tracing::info!(names = order.names.join(" "), serial, "the internal CA has issued a certificate");
    order.chain = Some(chain);
    let mut tables = core.tables();
    tables.issued(serial, order.account.clone(), until, now);
    tables.orders.insert(id.into(), order.clone());
    drop(tables);
    Ok(Reply::ok(&shown(core, id, &order)).at(address(core, id)))
}

/// The certificate is fetched.
pub(super) fn certificate(core: &Core, id: &str, asked: &Asked) -> Result<Reply, Problem> {
    let chain = own(core, id, asked)?.chain;
    let chain = chain.ok_or(Problem::new(Kind::NotFound, "the order has no certificate yet"))?;
    Ok(Reply::bytes("application/pem-certificate-chain", chain))
}

fn own(core: &Core, id: &str, asked: &Asked) -> Result<Order, Problem> {
    let account = asked.account()?;
    let order = core.tables().orders.get(id).cloned();
    let order = order.filter(|order| order.until > core.clock.now());
    let order = order.ok_or(Problem::new(Kind::NotFound, "no such order, or it is over"))?;
    if *order.account != *account {
        return Err(Problem::new(Kind::Unauthorized, "this is another account's"));
    }
    Ok(order)
}

fn address(core: &Core, id: &str) -> String {
    format!("{}/order/{id}", core.base)
}

fn shown(core: &Core, id: &str, order: &Order) -> Value {
    let base = &core.base;
    let identifiers: Vec<_> = order.names.iter().map(|name| identifier(name)).collect();
    let authorizations: Vec<_> = order.authorizations.iter().map(|id| format!("{base}/proof/{id}")).collect();
    let mut shown = json!({
        "status": core.tables().order_state(order),
        "expires": stamp(order.until),
        "identifiers": identifiers,
        "authorizations": authorizations,
        "finalize": format!("{base}/order/{id}/finalize"),
    });
    if order.chain.is_some() {
        shown["certificate"] = format!("{base}/certificate/{id}").into();
    }
    shown
}

/// A name as clients know it (RFC 8555 §9.7.7, RFC 8738).
pub(super) fn identifier(name: &str) -> Value {
    let kind = if name.parse::<IpAddr>().is_ok() { "ip" } else { "dns" };
    json!({ "type": kind, "value": name })
}

/// A time (RFC 3339).
pub(super) fn stamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let (date, clock) = (time.date(), time.time());
    format!("{date}T{:02}:{:02}:{:02}Z", clock.hour(), clock.minute(), clock.second())
}

/// A name in the one form that names are compared in, if it may be ordered.
fn permitted(core: &Core, wanted: &Identifier) -> Result<Box<str>, Problem> {
    let refused = |why| Problem::new(Kind::RejectedIdentifier, why);
    let name: Box<str> = match wanted.kind.as_str() {
        "ip" => {
            let address: IpAddr =
                wanted.value.parse().map_err(|_| refused("an identifier of type ip is no address"))?;
            address.to_string().into()
        }
        "dns" => wanted.value.strip_suffix('.').unwrap_or(&wanted.value).to_ascii_lowercase().into(),
        _ => return Err(refused("an identifier is of another type than dns and ip")),
    };
    if name.starts_with("*.") {
        return Err(refused("a pattern would need dns-01, which is not offered"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    if name.is_empty() || name.len() > 253 || !name.bytes().all(plain) {
        return Err(refused("an identifier is no name of a host"));
    }
    let covers = |pattern: &HostPattern| match pattern {
        HostPattern::Exact(exact) => *exact == name,
        HostPattern::Wildcard(parent) if parent.is_empty() => true,
        HostPattern::Wildcard(parent) => {
            name.strip_suffix(&**parent).is_some_and(|below| below.len() > 1 && below.ends_with('.'))
        }
    };
    if core.names.iter().any(covers) { Ok(name) } else { Err(refused("the CA may not certify this name")) }
}

fn name_of(san: &SanType) -> Result<Box<str>, Problem> {
    match san {
        SanType::DnsName(name) => Ok(name.as_str().to_ascii_lowercase().into()),
        SanType::IpAddress(address) => Ok(address.to_string().into()),
        _ => Err(bad_csr("it has alternative names that are neither names of hosts nor addresses")),
    }
}

fn bad_csr(why: &str) -> Problem {
    Problem::new(Kind::BadCsr, format!("the CSR: {why}"))
}

/// The serial number of a chain's first certificate, hexadecimal, and when it ends.
fn leaf(chain: &str) -> Result<(String, SystemTime), Problem> {
    let failed = || Problem::new(Kind::ServerInternal, "the certificate could not be read");
    let leaf = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|_| failed())?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&leaf).map_err(|_| failed())?;
    Ok((parsed.raw_serial_as_string(), parsed.validity().not_after.to_datetime().into()))
}
