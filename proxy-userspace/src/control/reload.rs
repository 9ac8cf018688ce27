//! A new configuration: loaded, compiled, applied; or refused, and then everything is as it was.

use std::sync::Arc;
use std::time::Instant;

use crate::admin::api::{Change, Mistake, Refusal, RefusalKind, Reload};
use crate::admin::{Server, SocketError};
use crate::config::{AdminConfig, Config, ConfigErrors, Diagnostic, KernelConfig, Severity};
use crate::l4::Desired;
use crate::l7::Snapshot;
use crate::l7::relay::hand_off::HandOff;
use crate::upstream::health::CheckKey;

use super::cert_files::CertFiles;
use super::dataplane::DataplaneError;
use super::difference::difference;
use super::health::{checks, names};
use super::kernel::Late;
use super::notes::Source;
use super::occupied::{addresses, refuse_occupied};
use super::outside::{StepBack, patience};
use super::serve::ServeError;
use super::snapshot::compile;
use super::supervisor::Supervisor;
use super::{bans, serve, signal};

impl Supervisor {
    /// Puts the configuration on disk in force, and says what changed; or leaves everything as it was, and says why.
    pub(super) fn reload(&mut self, why: &str) -> Result<Reload, Refusal> {
        if self.leaving.is_some() {
            return Err(Refusal::new(RefusalKind::Failed, "this daemon is about to end"));
        }
        signal::reloading();
        let patience = patience();
        let result = self.load(patience).and_then(|config| self.replace(config, patience));
        match &result {
            Ok(reload) => self.log_applied(why, reload),
            Err(refusal) => self.log_refused(why, refusal),
        }
        signal::ready();
        result
    }

    fn load(&self, patience: Instant) -> Result<Config, Refusal> {
        let _behind = StepBack::until(patience, &self.io);
        (self.outside.load)(&self.file).map_err(|error| refusal(&error))
    }

    /// Puts a configuration in force in place of the present one.
    fn replace(&mut self, config: Config, patience: Instant) -> Result<Reload, Refusal> {
        let config = Arc::new(config);
        let warnings = config.warnings.iter().map(mistake).collect();
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            Refusal::new(RefusalKind::Failed, format!("{what}: {error}; the old configuration stays"))
        };
        self.refuse_what_needs_a_restart(&config)?;
        let served = addresses(&self.config).map(|(_, address, protocol)| (address, protocol)).collect();
        refuse_occupied(&config, &served).map_err(|error| failed("a listener", &error))?;

        let wanted = checks(&config, |host| self.web.registry().addresses(host), &[]);
        let mut findings = self.findings.clone();
        findings.retain(&wanted);
        let mut drained = self.drained.clone();
        drained.retain(&config);

        let admin = self.another_admin(&config.admin).map_err(|error| failed("the admin socket", &error))?;
        let named = CertFiles::marks(&config);
        let (changes, snapshot) = self.compile(&config, patience);
        let mut snapshot = snapshot.map_err(|error| failed("the routes", &error))?;
        snapshot.bans = self.bans.view().clone();
        let late = Arc::new(Late::default());
        snapshot.hand_off = match &self.kernel {
            Some(kernel) => kernel.hand_off(),
            None => config.kernel.is_some().then(|| Arc::clone(&late) as Arc<dyn HandOff>),
        };
        serve::tell_pools(&snapshot, &findings, &drained);
        let web = self.web.prepare(Arc::new(snapshot)).map_err(|error| failed("a listener", &error))?;
        let tickets = self.certs.tickets.prepare(&config.tls.tickets);
        let tickets = tickets.map_err(|error| failed("session tickets", &error))?;
        // The last that can fail, since nobody else could put it back.
        if let Some(desired) = compile(&config, &findings, &drained) {
            self.replace_kernel(desired).map_err(|error| failed("the kernel part", &error))?;
        }
        self.kernel.iter().filter_map(|kernel| kernel.hand_off()).for_each(|hand_off| late.come(hand_off));
        self.certs.tickets.put(tickets);
        if let Some(admin) = admin {
            self.admin = admin;
        } else if config.admin.mode != self.config.admin.mode {
            self.admin.set_mode(config.admin.mode);
        }
        (self.config, self.findings, self.drained) = (config, findings, drained);
        self.generation += 1;
        self.certs.put(&self.config, named);
        self.web.put(web);
        self.set_checks();
        self.set_bans();
        Ok(Reload { changes, warnings })
    }

    /// What has changed, and what is to be served.
    fn compile(
        &self,
        config: &Arc<Config>,
        patience: Instant,
    ) -> (Vec<Change>, Result<Snapshot, ServeError>) {
        let _behind = StepBack::until(patience, &self.io);
        let Self { web, certs, .. } = self;
        let generation = self.generation + 1;
        let snapshot = serve::compile(config, generation, web.registry(), certs, web.limits(), web.abuse());
        (difference(&self.config, config), snapshot)
    }

    fn refuse_what_needs_a_restart(&self, config: &Config) -> Result<(), Refusal> {
        let workers = (self.config.server.workers, config.server.workers);
        let what = match (&self.config.kernel, &config.kernel) {
            (Some(_), None) if self.kernel.is_some() => {
                "[kernel] is gone: stop the daemon and run `proxy-now detach`"
            }
            (Some(old), Some(new)) if old.pin_dir != new.pin_dir => {
                "kernel.pin_dir has changed: run `proxy-now detach`, and restart the daemon"
            }
            (Some(old), Some(new)) if old.flows != new.flows => {
                "kernel.flows has changed, and a table cannot grow while it is used: run `proxy-now detach`, and restart the daemon"
            }
            (Some(old), Some(new)) if old.limit_keys != new.limit_keys => {
                "kernel.limit_keys has changed, and a table cannot grow while it is used: run `proxy-now detach`, and restart the daemon"
            }
            _ if workers.0 != workers.1 => {
                "server.workers has changed: `proxy-now upgrade` puts the new configuration in force"
            }
            _ => return Ok(()),
        };
        Err(Refusal::new(RefusalKind::Failed, format!("{what}; the old configuration stays")))
    }

    /// A socket for another path, beside the present one.
    fn another_admin(&self, wanted: &AdminConfig) -> Result<Option<Server>, SocketError> {
        if wanted.socket == self.config.admin.socket {
            return Ok(None);
        }
        let _io = self.io.enter();
        Server::start(&wanted.socket, wanted.mode, self.calls.clone()).map(Some)
    }

    /// Applies and attaches, or leaves the kernel part as it was.
    pub(super) fn replace_kernel(&mut self, desired: Desired) -> Result<(), DataplaneError> {
        let Some(kernel) = &mut self.kernel else {
            let mut kernel = (self.outside.open)(&desired.kernel)?;
            kernel.hear(bans::hear(self.web.abuse()))?;
            let notes = kernel.apply(&desired)?;
            self.notes.log(Source::Attach, kernel.attach(&desired.kernel)?);
            kernel.keep();
            self.kernel = Some(kernel);
            self.applied(desired, notes);
            return Ok(());
        };
        kernel.hear(bans::hear(self.web.abuse()))?;
        let notes = kernel.apply(&desired)?;
        let place = |kernel: &KernelConfig| (kernel.interfaces.clone(), kernel.attach);
        if !self.applied.as_ref().is_some_and(|old| place(&old.kernel) == place(&desired.kernel)) {
            match kernel.attach(&desired.kernel) {
                Ok(notes) => self.notes.log(Source::Attach, notes),
                Err(error) => {
                    self.put_back();
                    return Err(error);
                }
            }
        }
        self.applied(desired, notes);
        Ok(())
    }

    /// After half a change: the tables and interfaces as they were before it.
    fn put_back(&mut self) {
        let (Some(kernel), Some(old)) = (&mut self.kernel, &self.applied) else { return };
        if let Err(error) = kernel.apply(old).and_then(|_| kernel.attach(&old.kernel)) {
            tracing::error!("the kernel part could not be put back as it was: {error}");
        }
    }

    /// Makes the running checks those of the configuration, and the names that are resolved.
    pub(super) fn set_checks(&mut self) {
        let _io = self.io.enter();
        let findings = &self.findings;
        let known = |key: &CheckKey| findings.of(key).map(|f| f.health.clone()).unwrap_or_default();
        let registry = self.web.registry();
        let pools = self.web.snapshot().map_or(&[][..], |snapshot| &snapshot.pools);
        self.checkers.set(checks(&self.config, |host| registry.addresses(host), pools), known);
        self.lookups.set(names(&self.config));
    }

    fn log_applied(&mut self, why: &str, reload: &Reload) {
        self.reloads += 1;
        self.refused = None;
        tracing::info!(changes = reload.changes.len(), "configuration reloaded ({why})");
        for Change { what, name, how } in &reload.changes {
            tracing::info!("{what} {name}: {how}");
        }
        for warning in &reload.warnings {
            tracing::warn!("{}:{}:{}: {}", warning.file, warning.line, warning.column, warning.message);
        }
    }

    fn log_refused(&mut self, why: &str, refusal: &Refusal) {
        self.reloads_refused += 1;
        self.refused = Some(refusal.error.clone());
        tracing::error!("configuration refused ({why}), the old one stays in force: {}", refusal.error);
        for mistake in &refusal.mistakes {
            tracing::error!("{}:{}:{}: {}", mistake.file, mistake.line, mistake.column, mistake.message);
        }
    }
}

fn refusal(error: &ConfigErrors) -> Refusal {
    match error {
        ConfigErrors::Wrong(mistakes) => Refusal {
            kind: RefusalKind::BadConfig,
            error: match mistakes.0.iter().filter(|m| m.severity == Severity::Error).count() {
                1 => "the configuration has 1 mistake".into(),
                n => format!("the configuration has {n} mistakes"),
            },
            mistakes: mistakes.0.iter().map(mistake).collect(),
        },
        other => Refusal::new(RefusalKind::BadConfig, other.to_string()),
    }
}

pub(super) fn mistake(found: &Diagnostic) -> Mistake {
    Mistake {
        severity: match found.severity {
            Severity::Error => "error".into(),
            Severity::Warning => "warning".into(),
        },
        file: found.file.to_string(),
        line: found.line,
        column: found.column,
        message: found.message.clone(),
        help: found.help.clone(),
        text: found.to_string(),
    }
}
