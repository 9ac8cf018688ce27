//! Certificates: where they are found, what proves names to CAs, and who gets them. Made once: it lives through reloads.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::cert_files::CertFiles;
use super::marks::Marks;
use crate::acme::internal::{AcmeServer, Ports};
use crate::acme::{Clock, Handle, Manager, Settings};
use crate::config::{AcmeConfig, Config, InternalCaConfig, TicketsConfig};
use crate::tls::{Challenges, FileTrouble, OnDemand, Store, Tickets, TicketsError, Wanted};

/// Names that handshakes ask for, until somebody looks for their certificates.
const MOST_WANTED: usize = 256;

/// What handshakes go by, whatever the configuration.
#[derive(Debug)]
pub(super) struct Certs {
    /// Certificates that may be served.
    pub(super) store: Arc<Store>,
    /// Names that are being proved.
    pub(super) challenges: Arc<Challenges>,
    /// Keys of session tickets.
    pub(super) tickets: Arc<Tickets>,
    /// Who is asked for certificates that there are none of yet.
    pub(super) on_demand: Option<OnDemand>,
    files: CertFiles,
    manager: Option<Managed>,
    /// The internal CA as an ACME server, and as what.
    server: Option<(InternalCaConfig, PathBuf, AcmeServer)>,
    /// Why it does not serve.
    refused: Option<String>,
    /// Where names come out that handshakes ask for, until there is a manager.
    wanted: Option<mpsc::Receiver<Wanted>>,
}

/// The manager, which runs until this is dropped.
#[derive(Debug)]
struct Managed {
    handle: Handle,
    config: watch::Sender<Arc<Config>>,
}

impl Certs {
    /// Without any.
    ///
    /// # Errors
    /// The secret of tickets cannot be read.
    pub(super) fn new(tickets: &TicketsConfig) -> Result<Self, TicketsError> {
        let (on_demand, wanted) = mpsc::channel(MOST_WANTED);
        let store = Arc::<Store>::default();
        Ok(Self {
            files: CertFiles::new(store.clone()),
            store,
            challenges: Arc::default(),
            tickets: Arc::new(Tickets::new(tickets)?),
            on_demand: Some(on_demand),
            manager: None,
            server: None,
            refused: None,
            wanted: Some(wanted),
        })
    }

    /// Reads the files of this configuration, and manages what it wants. The manager is started with the first that wants
    /// any. `named`: by [`CertFiles::marks`], before it was compiled.
    pub(super) fn put(&mut self, config: &Arc<Config>, named: Marks) {
        self.files.put(config, named);
        self.serve(&config.acme);
        if let Some(managed) = &self.manager {
            // Who manages has ended if it does not listen: that was said then.
            let _ = managed.config.send(config.clone());
            return;
        }
        if config.tls.hosts.is_empty() {
            return;
        }
        let Some(on_demand) = self.wanted.take() else { return };
        let (sender, receiver) = watch::channel(config.clone());
        let settings = Settings {
            store: self.store.clone(),
            challenges: self.challenges.clone(),
            on_demand,
            config: receiver,
            clock: Clock::system(),
        };
        match Manager::start(settings) {
            Ok((handle, _)) => self.manager = Some(Managed { handle, config: sender }),
            Err(error) => tracing::error!("no certificate is got or renewed: {error}; restart the daemon"),
        }
    }

    /// Serves the internal CA as this configuration wants. What cannot be is said, and tried again by [`Certs::look`].
    fn serve(&mut self, config: &AcmeConfig) {
        let AcmeConfig { internal, storage, .. } = config;
        let is = self.server.as_ref().map(|(is, at, _)| (is, at));
        if is == internal.serve.as_ref().map(|_| (internal, storage)) {
            return;
        }
        // The old one first: the new one may want its address.
        self.server = None;
        let before = self.refused.take();
        let Some(serve) = &internal.serve else { return };
        let folder = storage.join("ca");
        match AcmeServer::start(&folder, internal, serve, Clock::system(), Ports::default()) {
            Ok(server) => self.server = Some((internal.clone(), storage.clone(), server)),
            Err(error) => {
                let error = error.to_string();
                if before.as_ref() != Some(&error) {
                    tracing::error!("{error}; tried again every two seconds");
                }
                self.refused = Some(error);
            }
        }
    }

    /// Tries again what could not be done. Called often.
    pub(super) fn look(&mut self, config: &Config) {
        if self.refused.is_some() {
            self.serve(&config.acme);
        }
    }

    /// Certificates of files.
    pub(super) fn files(&mut self) -> &mut CertFiles {
        &mut self.files
    }

    /// What is wrong with files of certificates.
    pub(super) fn file_troubles(&self) -> Vec<FileTrouble> {
        self.files.troubles()
    }

    /// Who manages certificates, if any are managed.
    pub(super) fn manager(&self) -> Option<&Handle> {
        self.manager.as_ref().map(|managed| &managed.handle)
    }

    /// Gets and renews no more certificates: another daemon does.
    pub(super) fn leave(&mut self) {
        self.manager = None;
        (self.server, self.refused) = (None, None);
    }
}

/// For who serves nobody.
impl Default for Certs {
    fn default() -> Self {
        Self::new(&TicketsConfig::default()).expect("no file is read, and the system gives random numbers")
    }
}

#[cfg(test)]
#[path = "certs_tests.rs"]
mod tests;
