//! The host: rights, kernel, file system.

use super::finding::{Check, Findings, Severity};
use crate::config::KernelConfig;
use crate::l4::capability::{self, Capability, Feature};
use crate::l4::kfunc;
use crate::l4::object;
use crate::l4::pins::Pins;
use crate::net::sysctl;

const HOST: &str = "host";

pub(super) fn look(kernel: Option<&KernelConfig>, findings: &mut Findings) {
    rights(&capability::missing().unwrap_or_default(), findings);
    features(&capability::lacking(), findings);
    match sysctl::read("net/core/bpf_jit_enable").as_deref() {
        Ok("0") => findings.bad(
            Severity::Warning,
            Check::Jit,
            HOST,
            "BPF programs are interpreted: many times slower",
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        _ => findings.good(Check::Jit, HOST, "BPF programs are compiled"),
    }
    if let Some(kernel) = kernel {
        bpffs(&Pins::under(&kernel.pin_dir), findings);
        let allowed = sysctl::read("net/ipv4/tcp_syncookies").map_or(true, |value| value != "0");
        syn_cookies(kfunc::patched().1, allowed, findings);
    }
    match object::abi_version() {
        _ if object::BYTES.is_empty() => findings.bad(
            Severity::Error,
            Check::Object,
            HOST,
            "this build has no kernel programs in it",
            "cargo xtask setup, then build it again",
        ),
        version => {
            let layout = version.map_or_else(|| "?".into(), |version| version.to_string());
            findings.good(Check::Object, HOST, format!("the embedded programs have layout {layout}"));
        }
    }
}

fn rights(missing: &[Capability], findings: &mut Findings) {
    if missing.is_empty() {
        findings.good(Check::Capabilities, HOST, "may load and attach programs");
        return;
    }
    let names: Vec<_> = missing.iter().map(|capability| capability.name()).collect();
    findings.bad(
        Severity::Error,
        Check::Capabilities,
        HOST,
        format!("this process lacks {}", names.join(", ")),
        "run it as root, or grant them",
    );
}

fn features(lacks: &[Feature], findings: &mut Findings) {
    let release = capability::kernel_release();
    if lacks.is_empty() {
        findings.good(Check::Kernel, HOST, format!("Linux {release} has everything that is needed"));
        return;
    }
    let names: Vec<_> = lacks.iter().map(|feature| feature.name()).collect();
    findings.bad(
        Severity::Error,
        Check::Kernel,
        HOST,
        format!("Linux {release} lacks {}", names.join(", ")),
        "Linux 6.1 or newer is needed",
    );
}

fn bpffs(pins: &Pins, findings: &mut Findings) {
    if pins.on_bpffs().unwrap_or(false) {
        findings.good(Check::Bpffs, HOST, format!("{} is on a BPF file system", pins.root().display()));
        return;
    }
    findings.bad(
        Severity::Error,
        Check::Bpffs,
        HOST,
        format!("{} is not on a BPF file system", pins.root().display()),
        format!("mount -t bpf bpf {}", pins.expected_mount().display()),
    );
}

/// Whether listeners of sockets can be guarded by cookies of the kernel part.
fn syn_cookies(made: bool, allowed: bool, findings: &mut Findings) {
    let release = capability::kernel_release();
    match (made, allowed) {
        (_, false) => findings.bad(
            Severity::Warning,
            Check::SynCookies,
            HOST,
            "SYN cookies are off: a flood of SYNs shuts clients of http and https listeners out",
            "sysctl -w net.ipv4.tcp_syncookies=1",
        ),
        (false, true) => findings.add(
            Severity::Hint,
            Check::SynCookies,
            HOST,
            format!(
                "Linux {release} makes no sockets of our cookies (6.8 does): http and https listeners are guarded by \
                 the host's own, at several times the cost; tcp listeners are guarded all the same"
            ),
        ),
        (true, true) => {
            findings.good(Check::SynCookies, HOST, "floods of SYNs are answered with cookies by the kernel part");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_floods_of_syns_is_told() {
        let told = |made, allowed| {
            let mut findings = Findings::default();
            syn_cookies(made, allowed, &mut findings);
            (findings.0[0].severity, findings.0[0].fix.is_some())
        };
        assert_eq!(told(true, true), (Severity::Good, false));
        assert_eq!(told(false, true), (Severity::Hint, false));
        assert_eq!(told(true, false), (Severity::Warning, true));
    }

    #[test]
    fn an_old_kernel_is_named_with_what_it_lacks() {
        let mut findings = Findings::default();
        features(&[Feature::XdpFragments], &mut findings);
        let finding = &findings.0[0];
        assert_eq!((finding.severity, finding.check), (Severity::Error, Check::Kernel));
        assert!(finding.found.contains("bpf_xdp_load_bytes"), "{finding:?}");
    }
}
