//! `[acme]`.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::ops::Range;

use super::dns::read_dns;
use super::secret::read_secret;
use crate::config::acme::{
    AcmeConfig, ChallengeType, EabConfig, InternalAcmeConfig, InternalCaConfig, IssuerConfig, OnDemandConfig,
};
use crate::config::diagnostic::Fact;
use crate::config::keys::acme as keys;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};

/// Reads everything, then fails if anything was wrong.
pub(super) fn read_acme(entries: &Entries, report: &mut Report<'_>) -> Result<AcmeConfig, Reported> {
    let default = AcmeConfig::default();
    let email = entries.find(&keys::EMAIL_IS, report);
    let issuers = read_issuers(entries, report);
    let storage = entries.get(&keys::STORAGE, report);
    let dns = entries
        .find(&keys::DNS, report)
        .and_then(|table| table.map(|table| read_dns(&table.value, report)).transpose());
    let challenges = read_challenges(entries, report);
    let key_type = entries.get(&keys::KEY_TYPE, report);
    let on_demand = entries.find(&keys::ON_DEMAND, report).and_then(|table| match table {
        Some(table) => read_on_demand(&table.value, report),
        None => Ok(default.on_demand),
    });
    let internal = entries.find(&keys::INTERNAL, report).and_then(|table| match table {
        Some(table) => read_internal(&table.value, report),
        None => Ok(default.internal),
    });
    Ok(AcmeConfig {
        email: email?.map(|email| email.value),
        issuers: issuers?,
        storage: storage?.value,
        challenges: challenges?,
        dns: dns?,
        key_type: key_type?.value,
        on_demand: on_demand?,
        internal: internal?,
    })
}

/// The list, or the one that `[acme]` itself names.
fn read_issuers(entries: &Entries, report: &mut Report<'_>) -> Result<Vec<IssuerConfig>, Reported> {
    let Some(list) = entries.find(&keys::ISSUERS, report)? else {
        let directory = entries.get(&keys::DIRECTORY, report);
        return Ok(vec![read_issuer(entries, directory, report)?]);
    };
    let of_one = [
        (entries.has(&keys::DIRECTORY), entries.span_of(&keys::DIRECTORY), keys::DIRECTORY.name),
        (entries.has(&keys::DIRECTORY_CA), entries.span_of(&keys::DIRECTORY_CA), keys::DIRECTORY_CA.name),
        (entries.has(&keys::STAGING), entries.span_of(&keys::STAGING), keys::STAGING.name),
        (entries.has(&keys::EAB), entries.span_of(&keys::EAB), keys::EAB.name),
        (entries.has(&keys::PROFILE), entries.span_of(&keys::PROFILE), keys::PROFILE.name),
    ];
    let mut strange = Ok(());
    for (_, span, key) in of_one.iter().filter(|(there, ..)| *there) {
        strange = Err(report.error(span, &OfOneIssuer { key }));
    }
    let mut read = |table: &At<Entries>| {
        let directory = table.value.get(&keys::ISSUER_DIRECTORY, report);
        read_issuer(&table.value, directory, report)
    };
    // Collected twice, so that every entry is read though the first was wrong.
    let issuers: Vec<_> = list.value.iter().map(&mut read).collect::<Vec<_>>();
    let issuers: Vec<IssuerConfig> = issuers.into_iter().collect::<Result<_, _>>()?;
    let mut seen = HashSet::new();
    for (issuer, table) in issuers.iter().zip(&list.value) {
        if !seen.insert(&issuer.name) {
            strange = Err(report.error(&table.span, &IssuerTwice { name: &issuer.name }));
        }
    }
    strange?;
    Ok(issuers)
}

fn read_issuer(
    entries: &Entries,
    directory: Result<At<IssuerConfig>, Reported>,
    report: &mut Report<'_>,
) -> Result<IssuerConfig, Reported> {
    let directory_ca = entries.find(&keys::DIRECTORY_CA, report);
    let staging = entries.find(&keys::STAGING, report);
    let eab = entries.find(&keys::EAB, report);
    let eab = eab.and_then(|table| table.map(|table| read_eab(&table.value, report)).transpose());
    let profile = entries.find(&keys::PROFILE, report);
    let At { value: directory, span } = directory?;
    let eab = eab?;
    if *directory.directory == *IssuerConfig::ZEROSSL && eab.is_none() {
        return Err(report.error(&span, &WantsEab));
    }
    Ok(IssuerConfig {
        directory_ca: directory_ca?.map(|path| path.value),
        staging: match staging? {
            Some(staging) => staging.value.map(|staging| staging.directory),
            None => directory.staging,
        },
        eab,
        profile: profile?.map(|profile| profile.value),
        ..directory
    })
}

fn read_eab(entries: &Entries, report: &mut Report<'_>) -> Result<EabConfig, Reported> {
    let key_id = entries.get(&keys::KEY_ID, report);
    let key = read_secret(entries, &keys::HMAC_KEY, &keys::HMAC_KEY_FILE, None, report);
    let missing = || entries.missing(&keys::HMAC_KEY);
    let key = key?.ok_or_else(|| missing().unwrap_or_else(|| report.error(&entries.span, &NoHmacKey)))?;
    let key = key.trim_end_matches('=');
    if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
        return Err(report.error(&key_span(entries), &NotBase64Url));
    }
    Ok(EabConfig { key_id: key_id?.value, hmac_key: key.into() })
}

fn key_span(entries: &Entries) -> Range<usize> {
    match entries.has(&keys::HMAC_KEY) {
        true => entries.span_of(&keys::HMAC_KEY),
        false => entries.span_of(&keys::HMAC_KEY_FILE),
    }
}

fn read_challenges(entries: &Entries, report: &mut Report<'_>) -> Result<Vec<ChallengeType>, Reported> {
    let list = entries.get(&keys::CHALLENGES, report)?;
    let mut challenges = Vec::new();
    for At { value, span } in list.value {
        if challenges.contains(&value) {
            return Err(report.error(&span, &ChallengeTwice));
        }
        challenges.push(value);
    }
    if challenges == [ChallengeType::Dns01] && !entries.has(&keys::DNS) {
        return Err(report.error(&list.span, &NoDns));
    }
    Ok(challenges)
}

fn read_on_demand(entries: &Entries, report: &mut Report<'_>) -> Result<OnDemandConfig, Reported> {
    let default = OnDemandConfig::default();
    let ask = entries.get(&keys::ASK, report);
    let per_minute = entries.get(&keys::PER_MINUTE, report);
    let remember_refused = entries.get(&keys::REMEMBER_REFUSED, report);
    let remember_most = entries.get(&keys::REMEMBER_MOST, report);
    let wait = entries.get(&keys::WAIT, report);
    Ok(OnDemandConfig {
        ask: Some(ask?.value),
        per_minute: NonZeroU32::new(per_minute?.value as u32).unwrap_or(default.per_minute),
        remember_refused: remember_refused?.value,
        remember_most: remember_most?.value as u32,
        wait: wait?.value,
    })
}

fn read_internal(entries: &Entries, report: &mut Report<'_>) -> Result<InternalCaConfig, Reported> {
    let name = entries.get(&keys::CA_NAME, report);
    let lifetime = entries.get(&keys::LIFETIME, report);
    let serve = entries
        .find(&keys::SERVE, report)
        .and_then(|table| table.map(|table| read_serve(&table.value, report)).transpose());
    Ok(InternalCaConfig { name: name?.value, lifetime: lifetime?.value, serve: serve? })
}

fn read_serve(entries: &Entries, report: &mut Report<'_>) -> Result<InternalAcmeConfig, Reported> {
    let bind = entries.get(&keys::SERVE_BIND, report);
    let host = entries.get(&keys::SERVE_HOST, report);
    let names = entries.get(&keys::SERVE_NAMES, report);
    let names = names?.value.into_iter().map(|name| name.value).collect();
    Ok(InternalAcmeConfig { bind: bind?.value, host: host?.value, names })
}

#[derive(Debug, thiserror::Error)]
#[error("[acme] has a list of issuers, and {key} says something of one")]
struct OfOneIssuer<'a> {
    key: &'a str,
}

impl Fact for OfOneIssuer<'_> {
    fn help(&self) -> Option<String> {
        Some(format!("move {} into one of [[acme.issuer]]", self.key))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the issuer {name} stands here twice")]
struct IssuerTwice<'a> {
    name: &'a str,
}

impl Fact for IssuerTwice<'_> {
    fn help(&self) -> Option<String> {
        Some("remove one of them".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("ZeroSSL gives certificates only to accounts that it knows already")]
struct WantsEab;

impl Fact for WantsEab {
    fn help(&self) -> Option<String> {
        Some(
            "add eab = { key_id = \"…\", hmac_key = \"…\" }: app.zerossl.com/developer makes them".to_owned(),
        )
    }
}

#[derive(Debug, thiserror::Error)]
#[error("eab has neither hmac_key nor hmac_key_file")]
struct NoHmacKey;

impl Fact for NoHmacKey {
    fn help(&self) -> Option<String> {
        Some("add the one that the CA gave".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the key of eab is not base64url")]
struct NotBase64Url;

impl Fact for NotBase64Url {
    fn help(&self) -> Option<String> {
        Some("copy it as the CA shows it: letters, digits, - and _".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("challenges names one of them twice")]
struct ChallengeTwice;

impl Fact for ChallengeTwice {
    fn help(&self) -> Option<String> {
        Some("remove one of them".to_owned())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("dns-01 is the only challenge, and there is no [acme.dns]")]
struct NoDns;

impl Fact for NoDns {
    fn help(&self) -> Option<String> {
        Some("add [acme.dns], or another challenge".to_owned())
    }
}
