//! Sizes of the kernel's tables: what does not fit is said before anything is attached.

use std::collections::HashMap;

use proxy_common::limits::{BACKENDS, LISTENER_ADDRESSES, LISTENERS, NAT_SOURCES};

use crate::config::diagnostic::Fact;
use crate::config::file::File;
use crate::config::report::Report;

/// Counts what the tables will hold.
pub(super) fn check(file: &File, report: &mut Report<'_>) {
    let backends_of: HashMap<&str, usize> = file
        .pools
        .iter()
        .map(|pool| (&*pool.name.value, pool.backends.as_ref().map_or(0, Vec::len)))
        .collect();
    let (mut listeners, mut backends, mut addresses) = (0, 0, [0; 2]);
    for listener in &file.listeners {
        let mut families = [0; 2];
        for address in listener.bind.iter().flatten() {
            families[usize::from(address.value.is_ipv6())] += 1;
        }
        listeners += families.iter().filter(|count| **count > 0).count();
        backends +=
            listener.pool.as_ref().map_or(0, |pool| backends_of.get(&*pool.value).copied().unwrap_or(0));
        addresses = [addresses[0] + families[0], addresses[1] + families[1]];
        let span = &listener.name.span;
        let mut limit = |what, count: usize, most: u32| {
            if count > most as usize {
                report.error(span, &TooMany { what, most });
            }
        };
        limit("listeners, counted once for each address family", listeners, LISTENERS);
        limit("backends, counted once for each listener that uses them", backends, BACKENDS);
        limit("listener addresses of one family", addresses[0].max(addresses[1]), LISTENER_ADDRESSES);
    }
    let Ok(Some(kernel)) = &file.kernel else {
        return;
    };
    let v6 = kernel.nat_source.iter().filter(|source| source.value.is_ipv6()).count();
    let most = v6.max(kernel.nat_source.len() - v6);
    if let Some(first) = kernel.nat_source.first().filter(|_| most > NAT_SOURCES as usize) {
        report.error(
            &first.span,
            &TooMany { what: "addresses of one family in nat_source", most: NAT_SOURCES },
        );
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there are more than {most} {what}")]
struct TooMany {
    what: &'static str,
    most: u32,
}

impl Fact for TooMany {}
