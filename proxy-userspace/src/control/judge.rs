//! What only those find who compile a configuration: what cannot be served, and routes that can never match.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, ConfigErrors, Diagnostic, Diagnostics, Fact, Severity};
use crate::l7::limit;
use crate::route::{CompileError, Unreachable, unreachable};
use crate::telemetry::abuse::Sink;
use crate::upstream::Registry;

use super::certs::Certs;
use super::serve::{self, ServeError};

/// Warnings about a configuration that was read from `path`, in the order of the file.
///
/// # Errors
/// It cannot be served.
pub fn judge(path: &Path, config: &Arc<Config>) -> Result<Vec<Diagnostic>, ConfigErrors> {
    let found = unreachable(&config.routes).unwrap_or_default();
    let served = serve::compile(
        config,
        0,
        &Registry::new(1),
        &Certs::default(),
        &limit::Registry::default(),
        &Sink::default(),
    );
    if found.is_empty() && served.is_ok() {
        return Ok(Vec::new());
    }
    let unreadable = |error| ConfigErrors::Unreadable { path: path.to_owned(), error };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let name = path.display().to_string();
    if let Err(error) = served
        && let Some(line) = line(&error, &text)
    {
        let at = Diagnostic::at_line(Severity::Error, &name, &text, line, &Unserved(error));
        return Err(ConfigErrors::Wrong(Diagnostics(vec![at])));
    }
    let warn = |route: &Unreachable| Diagnostic::at_line(Severity::Warning, &name, &text, route.line, route);
    Ok(found.iter().map(warn).collect())
}

/// Where in the file's text it stands. What other files hold that listeners name is not its mistake.
fn line(error: &ServeError, text: &str) -> Option<usize> {
    match error {
        ServeError::Pool { pool, .. } => {
            let table = format!("[pool.{pool}]");
            Some(text.lines().position(|line| line.trim() == table).map_or(1, |before| before + 1))
        }
        ServeError::Routes(CompileError { line, .. }) | ServeError::Stack { line, .. } => Some(*line),
        ServeError::Tls(_) => None,
    }
}

impl Fact for Unreachable {
    fn help(&self) -> Option<String> {
        Some(Unreachable::help(self).to_owned())
    }
}

struct Unserved(ServeError);

impl fmt::Display for Unserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Fact for Unserved {}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(routes: &str) -> Result<Vec<String>, ConfigErrors> {
        let file =
            std::env::temp_dir().join(format!("pn-judge-{}-{}.toml", std::process::id(), fastrand::u64(..)));
        let text = format!("[listener.web]\nbind = [\"127.0.0.1:80\"]\nprotocol = \"http\"\n{routes}");
        std::fs::write(&file, text).unwrap();
        let judged = crate::config::load(&file).and_then(|config| judge(&file, &Arc::new(config)));
        std::fs::remove_file(&file).unwrap();
        judged.map(|found| found.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_route_that_can_never_match_is_shown_where_it_stands() {
        let found = judged(
            "[[route]]\npath = \"/a/\"\nrespond = { status = 200 }\n\
             [[route]]\nname = \"dead\"\npath_regex = '^/a/[0-9]+$'\nrespond = { status = 201 }\n",
        );
        let found = found.unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("warning: route dead can never match: "), "{}", found[0]);
        assert!(found[0].contains("route-1 (line 4)") && found[0].contains("7 | [[route]]"), "{}", found[0]);
        assert_eq!(judged("[[route]]\nrespond = { status = 200 }\n").unwrap(), [""; 0]);
    }

    #[test]
    fn what_does_not_compile_is_a_mistake() {
        let error = judged("[[route]]\npath_regex = '(a{1000}){1000}'\nrespond = { status = 200 }\n");
        let error = error.unwrap_err().to_string();
        assert!(error.starts_with("error: ") && error.contains("path_regex"), "{error}");
    }
}
