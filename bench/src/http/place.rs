//! Namespace, folder, ports: where a run of the bench is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use proxy_tests::leftovers::{self, RUN_DIR};
use proxy_tests::netns::Namespace;

use super::case::{BODY, FILES};
use super::certificate;

/// Where it all is. Gone when dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// The network.
    pub(super) namespace: Namespace,
    /// Configurations, logs, files.
    pub(super) folder: PathBuf,
}

/// The backend's port.
pub(super) const BACKEND: u16 = 8001;
/// The port of the echo of WebSockets.
pub(super) const ECHO: u16 = 8002;

/// The ports of a peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    /// HTTP/1.1
    pub(super) h1: u16,
    /// HTTP/2
    pub(super) h2: u16,
    /// WebSockets
    pub(super) ws: u16,
    /// HTTP/1.1 and HTTP/2 by TLS
    pub(super) tls: u16,
}

impl Ports {
    /// Of the peer with this number.
    pub(super) fn of(number: usize) -> Self {
        let base = 9000 + 10 * number as u16;
        Self { h1: base + 1, h2: base + 2, ws: base + 3, tls: base + 4 }
    }
}

impl Place {
    /// A fresh one.
    pub(super) fn make() -> Result<Self> {
        leftovers::prepare()?;
        let name = leftovers::unique_name();
        let folder = Path::new(RUN_DIR).join(&name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let namespace = Namespace::create(&name)?;
        namespace.sysctl("core/somaxconn", "16384")?;
        namespace.sysctl("ipv4/tcp_max_syn_backlog", "16384")?;
        // Peers listen below, clients leave from above.
        namespace.sysctl("ipv4/ip_local_port_range", "10240 65535")?;
        for (name, bytes) in FILES {
            fs::write(folder.join(name), vec![b'x'; *bytes])?;
        }
        certificate::write(&folder)?;
        Ok(Self { namespace, folder })
    }

    /// A folder of its own for a program.
    pub(super) fn folder_of(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// Writes a configuration from its template.
    pub(super) fn write(&self, path: &Path, template: &str, ports: Ports) -> Result<()> {
        let folder = path.parent().unwrap_or(&self.folder).display().to_string();
        let body = "x".repeat(BODY);
        let values = [
            ("@H1@", ports.h1.to_string()),
            ("@H2@", ports.h2.to_string()),
            ("@WS@", ports.ws.to_string()),
            ("@TLS@", ports.tls.to_string()),
            ("@CERT@", self.folder.join(certificate::CHAIN).display().to_string()),
            ("@KEY@", self.folder.join(certificate::KEY).display().to_string()),
            ("@BOTH@", self.folder.join(certificate::BOTH).display().to_string()),
            ("@BACKEND@", BACKEND.to_string()),
            ("@ECHO@", ECHO.to_string()),
            ("@CONNECTIONS@", "12000".to_owned()),
            ("@BODY@", body),
            ("@DIR@", folder),
        ];
        let text = values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
        fs::write(path, text).with_context(|| path.display().to_string())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        leftovers::remove(&self.folder);
    }
}
