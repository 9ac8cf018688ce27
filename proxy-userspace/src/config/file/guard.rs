//! What a listener says of floods.

use crate::config::keys::guard::{
    AMPLIFICATION, SYN_COOKIES, SYN_THRESHOLD, SYN_THRESHOLD_KNOWN, SYN_THRESHOLD_UNKNOWN,
};
use crate::config::limit::GuardConfig;
use crate::config::model::Forward;
use crate::config::reader::Entries;
use crate::config::report::{Report, Reported};

/// What a listener of sockets says.
pub(super) fn read_local(entries: &Entries, report: &mut Report<'_>) -> Result<GuardConfig, Reported> {
    read_syns(entries, SYN_THRESHOLD_UNKNOWN, report)
}

/// What a `tcp` listener that is balanced says.
pub(super) fn read_tcp(
    forward: Forward,
    entries: &Entries,
    report: &mut Report<'_>,
) -> Result<GuardConfig, Reported> {
    // Answers of `dsr` backends pass by: nobody is known there by having been served.
    let default = if forward == Forward::Dsr { SYN_THRESHOLD_UNKNOWN } else { SYN_THRESHOLD_KNOWN };
    read_syns(entries, default, report)
}

/// What a `udp` listener says.
pub(super) fn read_udp(entries: &Entries, report: &mut Report<'_>) -> Result<GuardConfig, Reported> {
    let factor = entries.find(&AMPLIFICATION, report)?;
    Ok(GuardConfig { amplification: factor.map(|factor| factor.value as u16), ..GuardConfig::default() })
}

fn read_syns(entries: &Entries, default: u32, report: &mut Report<'_>) -> Result<GuardConfig, Reported> {
    let syn_cookies = entries.get(&SYN_COOKIES, report);
    let syn_threshold = entries.or(&SYN_THRESHOLD, default, report);
    Ok(GuardConfig { syn_cookies: syn_cookies?.value, syn_threshold: syn_threshold?, amplification: None })
}
