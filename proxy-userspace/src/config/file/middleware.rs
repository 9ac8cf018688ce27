//! `[middleware.NAME]`, and what a route has of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use http::HeaderName;
use ipnet::IpNet;

use super::users::read_auth;
use crate::config::keys::middleware as keys;
use crate::config::kind::Named;
use crate::config::nested::Short;
use crate::config::reader::Entries;
use crate::config::report::{At, Report, Reported};
use crate::config::table::{Key, Kind};
use crate::config::web::{
    BasicAuthConfig, CompressConfig, Encoding, HeaderEdits, MiddlewareConfig, RewriteConfig, StatusRange,
    Template,
};

/// What a `[middleware.NAME]` says.
#[derive(Debug)]
pub(in crate::config) struct FileMiddleware {
    pub(in crate::config) name: At<Box<str>>,
    pub(in crate::config) parts: Result<Parts, Reported>,
}

/// What is said of middleware in one place; none of what is not.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Parts {
    allow: Option<Vec<IpNet>>,
    deny: Option<Vec<IpNet>>,
    basic_auth: Option<BasicAuthConfig>,
    max_body: Option<u64>,
    request_headers: Option<HeaderEdits>,
    strip_prefix: Option<Box<str>>,
    rewrite_path: Option<RewriteConfig>,
    response_headers: Option<HeaderEdits>,
    compress: Option<CompressConfig>,
    error_pages: Option<BTreeMap<StatusRange, PathBuf>>,
}

impl FileMiddleware {
    /// Reads everything.
    pub(super) fn read(name: At<Box<str>>, entries: &Entries, report: &mut Report<'_>) -> Self {
        Self { name, parts: Parts::read(entries, report) }
    }
}

impl Parts {
    /// Reads everything, then fails if anything was wrong.
    pub(super) fn read(entries: &Entries, report: &mut Report<'_>) -> Result<Self, Reported> {
        let allow = list(entries, &keys::ALLOW, report);
        let deny = list(entries, &keys::DENY, report);
        let basic_auth = part(entries, &keys::BASIC_AUTH, report, |table, report| read_auth(&table, report));
        let max_body = entries.find(&keys::MAX_BODY, report);
        let request_headers =
            part(entries, &keys::REQUEST_HEADERS, report, |table, report| read_edits(&table, report));
        let strip_prefix = entries.find(&keys::STRIP_PREFIX, report);
        let rewrite_path = part(entries, &keys::REWRITE_PATH, report, read_rewrite);
        let response_headers =
            part(entries, &keys::RESPONSE_HEADERS, report, |table, report| read_edits(&table, report));
        let compress = part(entries, &keys::COMPRESS, report, read_compress);
        let error_pages = part(entries, &keys::ERROR_PAGES, report, |pages, _| Ok(read_pages(pages)));
        Ok(Self {
            allow: allow?,
            deny: deny?,
            basic_auth: basic_auth?,
            max_body: max_body?.map(|bytes| bytes.value),
            request_headers: request_headers?,
            strip_prefix: strip_prefix?.map(|prefix| prefix.value),
            rewrite_path: rewrite_path?,
            response_headers: response_headers?,
            compress: compress?,
            error_pages: error_pages?,
        })
    }

    /// Something is said.
    pub(super) const fn is_some(&self) -> bool {
        self.allow.is_some()
            || self.deny.is_some()
            || self.basic_auth.is_some()
            || self.max_body.is_some()
            || self.request_headers.is_some()
            || self.strip_prefix.is_some()
            || self.rewrite_path.is_some()
            || self.response_headers.is_some()
            || self.compress.is_some()
            || self.error_pages.is_some()
    }

    /// What both say; where both say something, what `self` does.
    pub(in crate::config) fn over(self, other: Self) -> Self {
        Self {
            allow: self.allow.or(other.allow),
            deny: self.deny.or(other.deny),
            basic_auth: self.basic_auth.or(other.basic_auth),
            max_body: self.max_body.or(other.max_body),
            request_headers: self.request_headers.or(other.request_headers),
            strip_prefix: self.strip_prefix.or(other.strip_prefix),
            rewrite_path: self.rewrite_path.or(other.rewrite_path),
            response_headers: self.response_headers.or(other.response_headers),
            compress: self.compress.or(other.compress),
            error_pages: self.error_pages.or(other.error_pages),
        }
    }
}

impl From<Parts> for MiddlewareConfig {
    fn from(parts: Parts) -> Self {
        Self {
            allow: parts.allow.unwrap_or_default(),
            deny: parts.deny.unwrap_or_default(),
            basic_auth: parts.basic_auth,
            max_body: parts.max_body,
            request_headers: parts.request_headers.unwrap_or_default(),
            strip_prefix: parts.strip_prefix,
            rewrite_path: parts.rewrite_path,
            response_headers: parts.response_headers.unwrap_or_default(),
            compress: parts.compress,
            error_pages: parts.error_pages.unwrap_or_default(),
        }
    }
}

/// A key's value made into what it means, if it is there.
fn part<K: Kind, T>(
    entries: &Entries,
    key: &'static Key<K>,
    report: &mut Report<'_>,
    read: impl FnOnce(K::Value, &mut Report<'_>) -> Result<T, Reported>,
) -> Result<Option<T>, Reported> {
    entries.find(key, report)?.map(|found| read(found.value, report)).transpose()
}

fn list<K, T>(
    entries: &Entries,
    key: &'static Key<K>,
    report: &mut Report<'_>,
) -> Result<Option<Vec<T>>, Reported>
where
    K: Kind<Value = Vec<At<T>>>,
{
    part(entries, key, report, |list, _| Ok(list.into_iter().map(|entry| entry.value).collect()))
}

fn read_edits(entries: &Entries, report: &mut Report<'_>) -> Result<HeaderEdits, Reported> {
    let remove = list(entries, &keys::REMOVE, report);
    let set = entries.find(&keys::SET, report);
    let add = entries.find(&keys::ADD, report);
    let set: Named<HeaderName, Template> = set?.map_or_else(Vec::new, |set| set.value);
    let add: Named<HeaderName, Vec<At<Template>>> = add?.map_or_else(Vec::new, |add| add.value);
    let lines = |(name, lines): (At<HeaderName>, Vec<At<Template>>)| {
        lines.into_iter().map(move |line| (name.value.clone(), line.value))
    };
    Ok(HeaderEdits {
        remove: remove?.unwrap_or_default(),
        set: set.into_iter().map(|(name, value)| (name.value, value)).collect(),
        add: add.into_iter().flat_map(lines).collect(),
    })
}

fn read_rewrite(rewrite: Short<Template>, report: &mut Report<'_>) -> Result<RewriteConfig, Reported> {
    match rewrite {
        Short::One(to) => Ok(RewriteConfig::To(to)),
        Short::Table(table) => {
            let regex = table.get(&keys::REWRITE_REGEX, report);
            let to = table.get(&keys::REWRITE_TO, report);
            Ok(RewriteConfig::Regex { regex: regex?.value, to: to?.value })
        }
    }
}

fn read_compress(
    compress: Short<Vec<At<Encoding>>>,
    report: &mut Report<'_>,
) -> Result<CompressConfig, Reported> {
    let (table, short) = match compress {
        Short::One(encodings) => (Entries::absent(keys::COMPRESS_SECTION.title), Some(encodings)),
        Short::Table(table) => (table, None),
    };
    let encodings = match short {
        Some(encodings) => Ok(encodings),
        None => table.get(&keys::ENCODINGS_ARE, report).map(|encodings| encodings.value),
    };
    let min_bytes = table.get(&keys::MIN_BYTES, report);
    let types = table.get(&keys::TYPES, report);
    Ok(CompressConfig {
        encodings: encodings?.into_iter().map(|encoding| encoding.value).collect(),
        min_bytes: min_bytes?.value,
        types: types?.value.into_iter().map(|media_type| media_type.value).collect(),
    })
}

fn read_pages(pages: Named<RangeInclusive<u16>, PathBuf>) -> BTreeMap<StatusRange, PathBuf> {
    let page = |(range, path): (At<RangeInclusive<u16>>, PathBuf)| {
        (StatusRange { first: *range.value.start(), last: *range.value.end() }, path)
    };
    pages.into_iter().map(page).collect()
}
