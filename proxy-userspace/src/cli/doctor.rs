//! `proxy-now doctor`: what keeps packets from flowing, and the command that mends it.

use clap::Args;
use serde_json::json;

use super::context::Context;
use super::outcome::{Failure, Outcome};
use super::output::{Output, Style};
use crate::config::ConfigErrors;
use crate::l4::{self, Finding, Severity};

/// Options of `doctor`.
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Show what is well, too
    #[arg(long, short)]
    all: bool,
}

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let config = match context.load_config() {
            Ok(config) => Some(config),
            // Without a file the host alone is looked at; one with mistakes is to be mended first.
            Err(error @ ConfigErrors::Wrong(_)) => return Err(error.into()),
            Err(_) => None,
        };
        if config.is_none() {
            let path = context.config_path();
            context
                .output
                .note(format_args!("{} cannot be read: only the host is looked at", path.display()));
        }
        let findings = l4::doctor(config.as_ref());
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
        context.output.answer(&json!({ "findings": findings, "errors": errors }), |output| {
            print(output, &findings, self.all);
        });
        if errors == 0 { Ok(()) } else { Err(Failure::Shown) }
    }
}

fn print(output: &Output, findings: &[Finding], all: bool) {
    let shown = |finding: &&Finding| all || finding.severity != Severity::Good;
    for finding in findings.iter().filter(shown) {
        let (word, style) = match finding.severity {
            Severity::Good => ("good   ", Style::Good),
            Severity::Hint => ("hint   ", Style::Faint),
            Severity::Warning => ("warning", Style::Warning),
            Severity::Error => ("error  ", Style::Bad),
        };
        output.line(format_args!("{}  {}: {}", output.paint(word, style), finding.subject, finding.found));
        if let Some(fix) = &finding.fix {
            output.line(format_args!("         -> {fix}"));
        }
    }
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    output.line(format_args!(
        "{} looked at: {} errors, {} warnings, {} hints",
        findings.len(),
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Hint)
    ));
}
