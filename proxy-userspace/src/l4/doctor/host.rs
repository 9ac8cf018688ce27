//! The host: rights, kernel, file system.

use super::finding::{Check, Findings, Severity};
use crate::config::KernelConfig;
use crate::l4::capability::{self, Capability, Feature};
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_named_with_what_it_lacks() {
        let mut findings = Findings::default();
        features(&[Feature::XdpFragments], &mut findings);
        let finding = &findings.0[0];
        assert_eq!((finding.severity, finding.check), (Severity::Error, Check::Kernel));
        assert!(finding.found.contains("bpf_xdp_load_bytes"), "{finding:?}");
    }
}
