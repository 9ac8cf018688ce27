//! Interfaces: driver, queues, offloads, and whose program is on them.

use std::os::fd::AsFd;
use std::path::Path;

use super::around::Around;
use super::finding::{Check, Findings, Severity};
use crate::l4::pins::Pins;
use crate::l4::sys::{self, LinkInfo, ProgramInfo};
use crate::net::ethtool::{Ethtool, Queues};
use crate::net::link::Link;
use crate::net::sysctl;

/// Drivers that send XDP's packets by queues of their own: half of what there is must be free.
const WANT_SPARE_QUEUES: [&str; 3] = ["virtio_net", "gve", "ena"];

pub(super) fn look(around: &Around<'_>, name: &str, pin_dir: &Path, findings: &mut Findings) {
    let Some(link) = around.link(name) else {
        let there: Vec<_> = around.links.iter().map(|link| link.name.as_str()).collect();
        let found = format!("there is no such interface; there are: {}", there.join(", "));
        let fix = "name one that exists in [kernel] interfaces";
        findings.bad(Severity::Error, Check::Link, name, found, fix);
        return;
    };
    up(around, link, findings);
    xdp(link, pin_dir, findings);
    forwarding(around, name, findings);
    reverse_path(name, findings);
    if let Ok(ethtool) = Ethtool::open() {
        driver(&ethtool, name, findings);
    }
    if link.kind == "veth" {
        peer(around, link, findings);
    }
}

fn up(around: &Around<'_>, link: &Link, findings: &mut Findings) {
    if !link.is_up() {
        let fix = format!("ip link set dev {} up", link.name);
        findings.bad(Severity::Error, Check::Link, &link.name, "it is down", fix);
    } else if !link.is_running() {
        findings.add(Severity::Warning, Check::Link, &link.name, "it has no carrier");
    }
    let master = around.by_index(link.master);
    if let Some(master) = master.filter(|master| matches!(master.kind.as_str(), "bond" | "team")) {
        findings.bad(
            Severity::Warning,
            Check::Link,
            &link.name,
            format!("it is a port of {}: packets come to that", master.name),
            format!("name {} in [kernel] interfaces instead", master.name),
        );
    }
}

fn xdp(link: &Link, pin_dir: &Path, findings: &mut Findings) {
    let own = sys::open_pin(&Pins::under(pin_dir).link(&link.name))
        .and_then(|fd| sys::info::<LinkInfo>(fd.as_fd()))
        .ok()
        .map(|info| info.program_id);
    let Some(xdp) = link.xdp else {
        findings.add(
            Severity::Hint,
            Check::Xdp,
            &link.name,
            "nothing is attached: no daemon has been started",
        );
        return;
    };
    if own == Some(xdp.program) {
        let mode = if xdp.native { "native" } else { "generic" };
        findings.good(Check::Xdp, &link.name, format!("attached: {mode} XDP"));
        return;
    }
    let info = sys::program_by_id(xdp.program).and_then(|fd| sys::info::<ProgramInfo>(fd.as_fd()));
    let name = info.map_or_else(|_| "?".into(), |info| sys::object_name(&info.name));
    findings.bad(
        Severity::Error,
        Check::Xdp,
        &link.name,
        format!("somebody else's XDP program is on it: \"{name}\", program {}", xdp.program),
        format!("bpftool prog show id {}; then end what attached it", xdp.program),
    );
}

/// `bpf_fib_lookup` gives no way for packets that came in where forwarding is off.
fn forwarding(around: &Around<'_>, name: &str, findings: &mut Findings) {
    for (v6, family, global) in
        [(false, "ipv4", "net.ipv4.ip_forward"), (true, "ipv6", "net.ipv6.conf.all.forwarding")]
    {
        if !around.balances(v6) {
            continue;
        }
        match sysctl::read(&format!("net/{family}/conf/{name}/forwarding")).as_deref() {
            Ok("1" | "2") => findings.good(Check::Forwarding, name, format!("{family} is forwarded")),
            Ok(_) => findings.bad(
                Severity::Error,
                Check::Forwarding,
                name,
                format!("{family} is not forwarded: packets end here as forwarding_disabled"),
                format!("sysctl -w {global}=1"),
            ),
            Err(_) => findings.add(Severity::Error, Check::Forwarding, name, format!("it has no {family}")),
        }
    }
}

fn reverse_path(name: &str, findings: &mut Findings) {
    let mode = |of: &str| {
        let text = sysctl::read(&format!("net/ipv4/conf/{of}/rp_filter"));
        text.ok().and_then(|text| text.parse::<u8>().ok()).unwrap_or(0)
    };
    // The larger of the two holds (ip-sysctl.rst).
    if mode("all").max(mode(name)) == 1 {
        findings.bad(
            Severity::Hint,
            Check::ReversePath,
            name,
            "the reverse path filter is strict: what the host itself gets from clients that it would answer by \
             another interface is dropped",
            format!("sysctl -w net.ipv4.conf.{name}.rp_filter=2"),
        );
    }
}

fn driver(ethtool: &Ethtool, name: &str, findings: &mut Findings) {
    let driver = ethtool.driver(name).unwrap_or_else(|_| "unknown".into());
    let queues = ethtool.queues(name).ok();
    let count = |q: Queues| format!(", {} of {} queues", q.used, q.most);
    let found = format!("driver {driver}{}", queues.map_or_else(String::new, count));
    match queues {
        Some(queues) if WANT_SPARE_QUEUES.contains(&driver.as_str()) && queues.used * 2 > queues.most => {
            let half = (queues.most / 2).max(1);
            let found = format!("{found}: native XDP wants as many spare queues as there are in use");
            let fix = format!("ethtool -L {name} combined {half}");
            findings.bad(Severity::Warning, Check::Queues, name, found, fix);
        }
        _ => findings.good(Check::Queues, name, found),
    }
    if ethtool.lro(name).unwrap_or(false) {
        let found = "large receive offload is on: native XDP cannot be attached, or sees merged packets";
        findings.bad(Severity::Warning, Check::Offloads, name, found, format!("ethtool -K {name} lro off"));
    }
}

/// What is redirected to a veth device comes out of its peer, if that has XDP or GRO; else it is lost, and nobody
/// counts it.
pub(super) fn peer(around: &Around<'_>, link: &Link, findings: &mut Findings) {
    let name = &link.name;
    if link.below_elsewhere || link.below == 0 {
        findings.bad(
            Severity::Hint,
            Check::Peer,
            name,
            "its peer is in another network namespace: unless it has GRO on (or XDP), packets sent by this \
             interface are lost",
            "in that namespace: ethtool -K PEER gro on tx off",
        );
        return;
    }
    let Some(peer) = around.by_index(link.below) else { return };
    let Ok(ethtool) = Ethtool::open() else { return };
    if peer.xdp.is_none() && !ethtool.gro(&peer.name).unwrap_or(true) {
        findings.bad(
            Severity::Error,
            Check::Peer,
            name,
            format!(
                "its peer {} has neither XDP nor GRO: packets sent by this interface are lost",
                peer.name
            ),
            format!("ethtool -K {} gro on", peer.name),
        );
    }
    if ethtool.tx_checksum(&peer.name).unwrap_or(false) {
        findings.bad(
            Severity::Warning,
            Check::Offloads,
            name,
            format!(
                "its peer {} leaves checksums to hardware that is not there: TCP from it stalls",
                peer.name
            ),
            format!("ethtool -K {} tx off", peer.name),
        );
    }
}
