//! nginx as a backend.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::netns::Namespace;
use crate::program::{self, Program};

/// Starts nginx with these lines in its `http` block; `@DIR@` is its folder, where `listening` appears when it is there.
///
/// # Errors
/// When it does not start, with what it said.
pub fn start(namespace: &Namespace, folder: &Path, name: &str, http: &str) -> Result<Program> {
    let folder = folder.join(name);
    fs::create_dir_all(&folder)?;
    let dir = folder.display();
    let paths: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("    {what}_temp_path {dir}/{what};\n"))
        .collect();
    let text = format!(
        "worker_processes 1;\ndaemon off;\nuser root;\npid {dir}/pid;\nerror_log stderr warn;\n\
         events {{ worker_connections 4096; }}\nhttp {{\n    access_log off;\n{paths}{}\n}}\n",
        http.replace("@DIR@", &dir.to_string())
    );
    let config = folder.join("nginx.conf");
    fs::write(&config, text).with_context(|| config.display().to_string())?;
    let command = program::command(&["nginx", "-e", "stderr", "-c", &config.display().to_string()]);
    let mut nginx = Program::start(namespace, &folder, name, command)?;
    // Written when the sockets are bound.
    nginx.wait_for_file(&folder.join("pid"))?;
    Ok(nginx)
}
