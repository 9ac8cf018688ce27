//! What `check` says of certificates: which host gets which, and what is wrong with files. Reads the files.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use crate::config::{
    CertificateFrom, ChallengeType, Config, Diagnostic, Fact, HostPattern, HostTlsConfig, ListenerName,
    Severity, is_public,
};
use crate::tls::{FileTrouble, Files, Origin, Store};

/// What is said of certificates.
#[derive(Debug, Default)]
pub struct CertificatesJudged {
    /// Hosts of `https` listeners, in the order of names.
    pub hosts: Vec<HostJudged>,
    /// What is wrong, or odd.
    pub warnings: Vec<Diagnostic>,
}

/// A host, and its certificate.
#[derive(Debug)]
pub struct HostJudged {
    /// As the file says it; `*` is every host.
    pub host: String,
    /// Who serves it.
    pub listeners: Vec<ListenerName>,
    /// Where its certificate comes from: `files (ISSUER)`, `acme (CA, ...)`, `internal`, `on-demand (CA, ...)`, `none`.
    pub certificate: String,
    /// Clients show certificates: `required` or `optional`; none: as the listener says.
    pub client_auth: Option<&'static str>,
}

/// Looks at the files of a configuration that was read from `path`, and at each host.
pub fn judge_certificates(path: &Path, config: &Config) -> CertificatesJudged {
    let mut judged = CertificatesJudged::default();
    if config.tls.hosts.is_empty() && config.tls.certificates.is_empty() && config.tls.directories.is_empty()
    {
        return judged;
    }
    let loaded = Files::default().load(&config.tls);
    let store = Store::default();
    store.put(Origin::Files, loaded.certificates);
    // The file was read a moment ago. If it has gone since, mistakes stand at its first line.
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let name = path.display().to_string();
    let mut warn = |line, fact: &dyn Fact| {
        judged.warnings.push(Diagnostic::at_line(Severity::Warning, &name, &text, line, fact));
    };
    for trouble in &loaded.troubles {
        warn(line_of(trouble, &text), &InFile(trouble));
    }
    let mut lines: HashMap<&HostPattern, usize> = HashMap::new();
    for route in &config.routes {
        for host in &route.hosts {
            lines.entry(host).or_insert(route.line);
        }
    }
    for (host, tls) in &config.tls.hosts {
        let (certificate, from) = certificate(host, tls, &store, config);
        if tls.from == CertificateFrom::Files && from.is_none() {
            warn(lines.get(host).copied().unwrap_or(1), &NotInFiles { host });
        }
        judged.hosts.push(HostJudged {
            host: host.to_string(),
            listeners: tls.listeners.clone(),
            certificate,
            client_auth: tls
                .client_auth
                .as_ref()
                .map(|auth| if auth.optional { "optional" } else { "required" }),
        });
    }
    judged
}

/// Where a host's certificate comes from, in words; and from where, if from anywhere.
fn certificate(
    host: &HostPattern,
    tls: &HostTlsConfig,
    store: &Store,
    config: &Config,
) -> (String, Option<CertificateFrom>) {
    let (name, wildcard) = match host {
        HostPattern::Exact(name) => (name.to_string(), false),
        HostPattern::Wildcard(_) => (host.to_string(), true),
    };
    let below = name.trim_start_matches("*.");
    let issuers = || config.acme.issuers.iter().map(|issuer| &*issuer.name).collect::<Vec<_>>().join(", ");
    let wildcards = config.acme.dns.is_some() && config.acme.challenges.contains(&ChallengeType::Dns01);
    let in_file = || store.find(&name);
    let from = match tls.from {
        CertificateFrom::Auto if in_file().is_some() => CertificateFrom::Files,
        CertificateFrom::Auto if is_public(below) => CertificateFrom::Acme,
        CertificateFrom::Auto => CertificateFrom::Internal,
        other => other,
    };
    let said = match from {
        CertificateFrom::Files => in_file().map(|certificate| format!("files ({})", certificate.issuer)),
        CertificateFrom::Internal => Some("internal".to_owned()),
        CertificateFrom::OnDemand => Some(format!("on-demand ({})", issuers())),
        CertificateFrom::Acme | CertificateFrom::Auto if wildcard && !wildcards => None,
        CertificateFrom::Acme | CertificateFrom::Auto => Some(format!("acme ({})", issuers())),
    };
    match said {
        Some(said) => (said, Some(from)),
        None => ("none".to_owned(), None),
    }
}

/// The line that names the file or its folder; 1 if there is none.
fn line_of(trouble: &FileTrouble, text: &str) -> usize {
    let path = trouble.path.display().to_string();
    let folder = trouble.path.parent().map(|parent| parent.display().to_string());
    let find = |wanted: &str| {
        text.lines()
            .position(|line| line.contains(&format!("\"{wanted}\"")) || line.contains(&format!("'{wanted}'")))
    };
    find(&path).or_else(|| find(&folder?)).map_or(1, |before| before + 1)
}

struct InFile<'a>(&'a FileTrouble);

impl fmt::Display for InFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Fact for InFile<'_> {}

#[derive(Debug)]
struct NotInFiles<'a> {
    host: &'a HostPattern,
}

impl fmt::Display for NotInFiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} wants its certificate from files, and none of them is for it", self.host)
    }
}

impl Fact for NotInFiles<'_> {
    fn help(&self) -> Option<String> {
        Some(
            "add one to [[tls.certificate]] or to the folder of [tls] directory; or remove tls = \"files\""
                .to_owned(),
        )
    }
}
