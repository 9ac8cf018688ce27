//! `proxy-now certs trust`: this machine trusts the internal CA, or no longer does.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::stores::{System, certutil, change_database, databases};
use crate::cli::context::Context;
use crate::cli::daemon::{refused, try_ask};
use crate::cli::outcome::{Failure, Outcome};

/// What the root is called in lists.
const NAME: &str = "proxy-now-internal-ca";

/// Options of `certs trust`.
#[derive(Debug, Args)]
pub(super) struct Trust {
    /// No longer trust it
    #[arg(long)]
    uninstall: bool,
    /// The root to trust [default: what the daemon says, else the file in its storage]
    #[arg(long, value_name = "FILE", conflicts_with = "uninstall")]
    root: Option<PathBuf>,
}

/// The root cannot be had.
#[derive(Debug, thiserror::Error)]
enum NoRoot {
    #[error("{}: {error}", .path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
}

impl Trust {
    pub(super) fn run(self, context: &Context) -> Outcome {
        if self.uninstall {
            let system = System::find(Path::new("/"), Path::new(NAME))?;
            let mut done = system.remove(NAME)?;
            done.extend(browsers(context, None));
            show(context, &done, "the internal CA was not trusted");
            return Ok(());
        }
        let pem = self.pem(context)?;
        let system = System::find(Path::new("/"), self.root.as_deref().unwrap_or(Path::new("the root")))?;
        let mut done = system.add(NAME, &pem)?;
        done.extend(browsers(context, Some(&system.path(NAME))));
        show(context, &done, "nothing was to be done");
        Ok(())
    }

    /// The root: of the file that is named, of the daemon, or of its storage on this machine.
    fn pem(&self, context: &Context) -> Result<String, Failure> {
        if let Some(path) = &self.root {
            return Ok(read(path)?);
        }
        match try_ask(context, async |daemon| daemon.root().await)? {
            Ok(root) => Ok(root.root),
            Err(error) => {
                let stored = context.load_config().ok().map(|config| config.acme.storage.join("ca/root.pem"));
                match stored.filter(|path| path.exists()) {
                    Some(path) => Ok(read(&path)?),
                    None => Err(refused(context, error)),
                }
            }
        }
    }
}

fn read(path: &Path) -> Result<String, NoRoot> {
    let text = fs::read_to_string(path).map_err(|error| NoRoot::Unreadable { path: path.into(), error })?;
    match CertificateDer::from_pem_slice(text.as_bytes()) {
        Ok(_) => Ok(text),
        Err(_) => Err(NoRoot::NoCertificate(path.into())),
    }
}

/// Browsers with lists of their own, of whoever runs this. What cannot be changed there is said, and the rest goes on.
fn browsers(context: &Context, root: Option<&Path>) -> Vec<String> {
    let databases: Vec<_> = homes().iter().flat_map(|home| databases(home)).collect();
    let Some(certutil) = certutil() else {
        if !databases.is_empty() {
            context.output.note(
                "browsers here keep lists of their own: install certutil (libnss3-tools, nss-tools) for them",
            );
        }
        return Vec::new();
    };
    let change = |database: &PathBuf| match change_database(&certutil, database, NAME, root) {
        Ok(done) => Some(done),
        Err(error) => {
            context.output.note(error);
            None
        }
    };
    databases.iter().filter_map(change).collect()
}

/// The home of who runs this, and of who ran `sudo`.
fn homes() -> Vec<PathBuf> {
    let own = std::env::var_os("HOME").map(PathBuf::from);
    let user = std::env::var("SUDO_USER").ok();
    let of_user = user.and_then(|user| {
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let line = users.lines().find(|line| line.split(':').next() == Some(&user))?;
        line.split(':').nth(5).map(PathBuf::from)
    });
    own.into_iter().chain(of_user).collect()
}

fn show(context: &Context, done: &[String], nothing: &str) {
    context.output.answer(&json!({ "done": done }), |output| {
        if done.is_empty() {
            output.line(nothing);
        }
        for line in done {
            output.line(line);
        }
    });
}
