//! What holds for every command: where the configuration is, where the daemon is, how to print.

use std::path::{Path, PathBuf};

use clap::Args;

use super::output::Output;
use crate::config::{self, Config, ConfigErrors};

/// Where the configuration is looked for.
const CONFIG_PATHS: [&str; 2] = ["/etc/proxy-now/proxy.toml", "proxy.toml"];
/// Where the daemon's socket is, unless anybody says something else.
const SOCKET_PATH: &str = "/run/proxy-now/admin.sock";
/// Where the kernel part is pinned, unless the configuration says something else.
const PIN_DIR: &str = "/sys/fs/bpf/proxy-now";
/// The variable that names the socket.
const SOCKET_VARIABLE: &str = "PROXY_NOW_SOCKET";

/// Options of every command.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// The configuration file [default: /etc/proxy-now/proxy.toml, else ./proxy.toml]
    #[arg(long, short, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's socket [default: $PROXY_NOW_SOCKET, else the configuration's, else /run/proxy-now/admin.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

/// What holds for every command.
#[derive(Debug)]
pub struct Context {
    config: Option<PathBuf>,
    socket: Option<PathBuf>,
    /// Where to print.
    pub output: Output,
    /// Gives unused memory back to the system.
    pub give_back: fn(),
}

impl Context {
    /// What these options say.
    pub(super) fn new(global: Global, give_back: fn()) -> Self {
        Self { config: global.config, socket: global.socket, output: Output::new(global.json), give_back }
    }

    /// The configuration file: the one that was named, else the first that exists, else the first.
    pub fn config_path(&self) -> PathBuf {
        let named = self.config.clone();
        let found = || CONFIG_PATHS.iter().map(PathBuf::from).find(|path| path.exists());
        named.or_else(found).unwrap_or_else(|| CONFIG_PATHS[0].into())
    }

    /// Loads the configuration.
    ///
    /// # Errors
    /// It cannot be read, or has mistakes.
    pub fn load_config(&self) -> Result<Config, ConfigErrors> {
        config::load(&self.config_path())
    }

    /// The daemon's socket. A configuration with mistakes still says where it is, if that much can be read of it: the
    /// daemon that is asked runs with the one before.
    pub fn socket_path(&self) -> PathBuf {
        let variable =
            || std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
        let configured = || {
            self.load_config().map_or_else(|_| self.socket_as_written(), |config| Some(config.admin.socket))
        };
        self.socket
            .clone()
            .or_else(variable)
            .or_else(configured)
            .unwrap_or_else(|| Path::new(SOCKET_PATH).into())
    }

    /// Where the kernel part is pinned. A configuration that cannot be read says nothing about it.
    pub fn pin_dir(&self) -> PathBuf {
        let configured = self.load_config().ok().and_then(|config| config.kernel);
        configured.map_or_else(|| PIN_DIR.into(), |kernel| kernel.pin_dir)
    }

    /// `[admin] socket` of a configuration with mistakes.
    fn socket_as_written(&self) -> Option<PathBuf> {
        let text = std::fs::read_to_string(self.config_path()).ok()?;
        let file: toml::Table = text.parse().ok()?;
        file.get("admin")?.get("socket")?.as_str().map(PathBuf::from)
    }

    /// The socket that was asked for on the command line, if one was: `run` listens there instead of where the
    /// configuration says.
    pub fn socket_override(&self) -> Option<&Path> {
        self.socket.as_deref()
    }
}
