//! `proxy-now certs export`: a certificate and its key as files.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::admin::certificates::Named;
use crate::cli::context::Context;
use crate::cli::daemon::ask;
use crate::cli::outcome::Outcome;

/// Options of `certs export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The name, as `certs list` shows it
    name: String,
    /// The folder; NAME.crt and NAME.key are written into it
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be written: {error}; --to names a folder that is there and may be written to", .path.display())]
struct CannotWrite {
    path: PathBuf,
    error: io::Error,
}

impl Export {
    pub(super) fn run(self, context: &Context) -> Outcome {
        let which = Named { name: self.name };
        let exported = ask(context, async |daemon| daemon.export(&which).await)?;
        // A file's name must not be a pattern for shells.
        let name = exported.name.replacen('*', "_wildcard", 1);
        let (chain, key) = (self.to.join(format!("{name}.crt")), self.to.join(format!("{name}.key")));
        write(&key, &exported.key, 0o600)?;
        write(&chain, &exported.chain, 0o644)?;
        context.output.answer(&json!({ "certificate": chain, "key": key }), |output| {
            output.line(format_args!("{}\n{}", chain.display(), key.display()));
        });
        Ok(())
    }
}

/// Writes aside and renames: whoever reads these files sees the old or the new one.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CannotWrite> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&aside)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&aside, path));
    written.map_err(|error| CannotWrite { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_for_its_owner_alone_and_replaces_the_one_before() {
        let folder = std::env::temp_dir().join(format!("pn-export-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.key");
        write(&path, "first", 0o600).unwrap();
        write(&path, "second", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left aside");
        let error = write(&folder.join("none/a.key"), "x", 0o600).unwrap_err().to_string();
        assert!(error.contains("none/a.key"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
